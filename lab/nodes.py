"""Handles on the lab's nodes, for any process: run commands in them, open sockets in them.

1. A handle holds no resource: it may be copied, kept and used from any thread.
2. Commands join the node's network and mount namespaces (`mnexec -a`); sockets may be opened
   in them without a process (`Node.socket`).
"""

from __future__ import annotations

import pathlib
import socket
import subprocess
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from onehop.lab import netns
from onehop.lab.processes import alive, environment
from onehop.lab.state import LabError, NodeState


class Counters(NamedTuple):
    """Bytes and packets of one device; what it sent is counted after shaping."""

    rx_bytes: int
    rx_packets: int
    tx_bytes: int
    tx_packets: int


class Node:
    """One node of the lab."""

    def __init__(self, state: NodeState) -> None:
        self.state = state

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def pid(self) -> int:
        return self.state.pid

    @property
    def address(self) -> str:
        """The first IPv4 address, without its prefix length."""
        return next(a for a in self.state.addresses if "." in a).partition("/")[0]

    @property
    def address6(self) -> str:
        """The first IPv6 address, without its prefix length."""
        return next(a for a in self.state.addresses if ":" in a).partition("/")[0]

    @property
    def alive(self) -> bool:
        return alive(self.state.pid, self.state.started)

    @property
    def directory(self) -> pathlib.Path:
        return pathlib.Path(self.state.directory)

    def command(self, command: Sequence[str]) -> list[str]:
        """`command` as it is run from outside the node."""
        if not self.alive:
            raise LabError(f"node {self.name}: it is gone; `onehop lab down` clears what is left")
        return ["mnexec", "-a", str(self.pid), *command]

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float | None = 30.0,
        input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` to its end; a failure is a LabError with what it said."""
        done = subprocess.run(
            self.command(command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment(),
            input=input,
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"node {self.name}: {' '.join(command)}: {said or done.returncode}")
        return done

    def popen(
        self,
        command: Sequence[str],
        *,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.PIPE,
        service: str = "",
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start `command` and return at once."""
        return subprocess.Popen(
            self.command(command),
            stdout=stdout,
            stderr=stderr,
            text=True,
            env=environment(service),
            **options,
        )

    def sh(self, script: str, *, service: str = "", timeout_s: float = 30.0) -> str:
        """Run a shell script that stops at its first failure; its output."""
        done = subprocess.run(
            self.command(["sh", "-eu"]),
            input=script,
            capture_output=True,
            text=True,
            env=environment(service),
            timeout=timeout_s,
        )
        if done.returncode:
            raise LabError(f"node {self.name}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def socket(
        self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0
    ) -> socket.socket:
        """A new socket that lives in the node's network."""
        with netns.inside(self.pid):
            return socket.socket(family, type, proto)

    def counters(self) -> dict[str, Counters]:
        """What every device of the node has carried so far."""
        return read_counters(self.pid)


def read_counters(pid: int) -> dict[str, Counters]:
    """The devices in the network of process `pid`, without entering it."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]:
        device, _, figures = line.partition(":")
        fields = [int(figure) for figure in figures.split()]
        found[device.strip()] = Counters(fields[0], fields[1], fields[8], fields[9])
    return found
