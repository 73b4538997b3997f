"""The process that keeps Mininet's nodes alive between the commands of a lab.

    python -m onehop.lab.holder DIRECTORY      (plan.json and options.json are there)

It makes the nodes, saying each name on its standard output, then an empty line; from then on it
answers requests on DIRECTORY/holder.sock, each a line of JSON: {"build": plan}, {"remove": host}.
When it ends, however it ends, every node's shell loses its terminal and ends too.
"""

from __future__ import annotations

import pathlib
import signal
import socket
import sys
from typing import Any

import msgspec

from onehop.lab.net import Net
from onehop.lab.state import NodeState, Options
from onehop.lab.topo import Plan

TIMEOUT_S = 60.0


class Request(msgspec.Struct, omit_defaults=True):
    """One line to the holder."""

    build: Plan | None = None
    remove: str | None = None


class Reply(msgspec.Struct, omit_defaults=True):
    """One line from it."""

    nodes: dict[str, NodeState] = {}
    error: str = ""


def ask(directory: pathlib.Path, request: Request) -> dict[str, NodeState]:
    """Have the holder change the lab; all nodes afterwards. RuntimeError: what went wrong."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(directory / "holder.sock"))
        connection.sendall(msgspec.json.encode(request) + b"\n")
        with connection.makefile("rb") as lines:
            reply = msgspec.json.decode(lines.readline(), type=Reply)
    if reply.error:
        raise RuntimeError(reply.error)
    return reply.nodes


def main(directory: pathlib.Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    plan = msgspec.json.decode((directory / "plan.json").read_bytes(), type=Plan)
    options = msgspec.json.decode((directory / "options.json").read_bytes(), type=Options)
    net = Net(options, directory)
    try:
        net.build(plan, lambda name: print(name, flush=True))
        listener = _listen(directory)
        (directory / "nodes.json").write_bytes(msgspec.json.encode(net.states))
        print(flush=True)
        while True:
            _serve(net, listener)
    finally:
        net.stop()


def _listen(directory: pathlib.Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / "holder.sock"))
    listener.listen()
    return listener


def _serve(net: Net, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as lines:
        connection.settimeout(TIMEOUT_S)
        lines.write(msgspec.json.encode(_answer(net, lines.readline())) + b"\n")


def _answer(net: Net, line: bytes) -> Any:
    try:
        request = msgspec.json.decode(line, type=Request)
        if request.build is not None:
            net.build(request.build)
        if request.remove is not None:
            net.remove(request.remove)
        return Reply(nodes=net.states)
    except Exception as error:  # the holder must outlive whatever one request does
        return Reply(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
