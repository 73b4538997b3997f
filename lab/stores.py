"""The lab's store: one server, or a cluster of several that share this machine.

1. Each server has a directory; clients and members find it by unix sockets there.
"""

from __future__ import annotations

import json
import pathlib

from onehop.lab.checks import eventually
from onehop.lab.hosts import command_line
from onehop.lab.lab import Lab
from onehop.lab.processes import kill, services
from onehop.lab.state import LabError

SERVICE = "store"
ELECTED_S = 30.0


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


def leader(lab: Lab) -> int:
    """The number of the server that leads, once one does."""
    found: list[int] = []

    def look() -> str:
        found[:] = [n for n in range(1, lab.state.options.store + 1) if _leads(lab, n)]
        return "" if found else "no server of the store leads"

    eventually(look, ELECTED_S)
    return found[0]


def _leads(lab: Lab, number: int) -> bool:
    place = str(_place(lab.directory, number))
    try:
        told = command_line(["store", "cluster", "status", "--json", "--directory", place])
    except LabError:  # it does not run
        return False
    return bool(json.loads(told)["role"] == "leader")


def kill_one(lab: Lab, number: int) -> None:
    """Kill a server; its files stay."""
    pid = int((_place(lab.directory, number) / "store.pid").read_text())
    if pid in services(SERVICE):
        kill([pid])


def _found(directory: pathlib.Path, number: int) -> None:
    """Make the files of a member."""
    raft = [f"unix:{_place(directory, n)}/raft{n}.sock" for n in range(1, number + 1)]
    options = ["--directory", str(_place(directory, number)), "--address", raft[-1]]
    words = ["init"] if number == 1 else ["join", *raft[:-1]]
    command_line(["store", "cluster", *words, *options], service=SERVICE)


def _place(directory: pathlib.Path, number: int) -> pathlib.Path:
    return directory / (SERVICE if number == 1 else f"{SERVICE}{number}")
