"""The lab's store: one server, or a cluster of several that share this machine.

1. Each server has a directory; clients and members find it by unix sockets there.
"""

from __future__ import annotations

import pathlib

from onehop.lab.hosts import command_line
from onehop.lab.lab import Lab

SERVICE = "store"


def addresses(directory: pathlib.Path, servers: int) -> str:
    """Where clients find the store."""
    return ",".join(f"unix:{_place(directory, n)}/store.sock" for n in range(1, servers + 1))


def start(lab: Lab) -> None:
    """Start every server."""
    count = lab.state.options.store
    for number in range(1, count + 1):
        if count > 1:
            _found(lab.directory, number)
        start_one(lab, number)


def start_one(lab: Lab, number: int) -> None:
    """Start a server whose files are there, or the only one."""
    place = _place(lab.directory, number)
    remote = f"unix:{place}/store.sock"
    command_line(
        ["store", "run", "--detach", "--remote", remote, "--directory", str(place)],
        service=SERVICE,
    )


def _found(directory: pathlib.Path, number: int) -> None:
    """Make the files of a member."""
    raft = [f"unix:{_place(directory, n)}/raft{n}.sock" for n in range(1, number + 1)]
    options = ["--directory", str(_place(directory, number)), "--address", raft[-1]]
    words = ["init"] if number == 1 else ["join", *raft[:-1]]
    command_line(["store", "cluster", *words, *options], service=SERVICE)


def _place(directory: pathlib.Path, number: int) -> pathlib.Path:
    return directory / (SERVICE if number == 1 else f"{SERVICE}{number}")
