"""The lab's processes: how they are started, told apart, found again and ended.

1. A process is known by its id and its start time: a reused id is nobody's.
2. Everything that the lab starts carries `MARK` in its environment, so that it can be found
   again after any crash, without a record and without guessing by name.
"""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress

from onehop.lab.state import home

MARK = "ONEHOP_LAB"  # its value: the lab's directory
SERVICE = "ONEHOP_LAB_SERVICE"  # its value: the node whose switch, agent or FRR the process is


def environment(service: str = "") -> dict[str, str]:
    """What the lab's processes are started with; services of a node are marked as such."""
    marks = {MARK: str(home())} | ({SERVICE: service} if service else {})
    return {name: value for name, value in os.environ.items() if name != SERVICE} | marks


def spawn(
    command: Sequence[str], *, log: pathlib.Path, service: str, stdout: int | None = None
) -> int:
    """Start a daemon of its own session, saying what it says to `log`; its id."""
    appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(log), appended, 0o644),
        (os.POSIX_SPAWN_DUP2, 2 if stdout is None else stdout, 1),
    ]
    return os.posix_spawnp(
        command[0],
        list(command),
        environment(service),
        file_actions=actions,
        setsid=True,
    )


def started(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot; None where there is none, or it died."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # proc(5): from field 3 on, after the name
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, since: int) -> bool:
    return started(pid) == since


def of_lab(directory: str) -> list[int]:
    """The processes of the lab that lives in `directory`, oldest first."""
    return _marked({f"{MARK}={directory}".encode()})


def services(node: str) -> list[int]:
    """The switch, agent and FRR of `node` in this lab, oldest first."""
    return _marked({f"{MARK}={home()}".encode(), f"{SERVICE}={node}".encode()})


def _marked(marks: set[bytes]) -> list[int]:
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return sorted(pid for pid in pids if marks.issubset(_environment(pid)))


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _environment(pid: int) -> list[bytes]:
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
