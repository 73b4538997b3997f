"""Writes to the store, one after another, and when each was accepted.

1. A user's command makes them: one `onehop shell`, which answers each line before the next one.
2. What was answered with success is accepted.  What was not may be there nevertheless, once.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from onehop.lab.hosts import command_line, onehop
from onehop.lab.processes import environment

KIND, PREFIX = "address-group", "written-"
PAUSE_S = 0.02  # between two writes: the agents, who hear of each, share these cores
PATIENCE_S = 30


class Counts(NamedTuple):
    """What became of the writes."""

    accepted: int
    lost: int  # accepted, and not there
    twice: int  # tried again by the client after they had happened
    unanswered: int  # not accepted, and there


class Writer:
    """Writes from its making until `end`."""

    def __init__(self, remote: str) -> None:
        self.times: list[float] = []  # of the accepted writes, by the monotonic clock
        self._remote = remote
        self._accepted: list[str] = []
        self._refused: list[str] = []
        self._ending = threading.Event()
        self._shell = subprocess.Popen(
            [onehop(), "shell", "--store", remote],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            env=environment(),
        )
        self._thread = threading.Thread(target=self._write, name="writer")
        self._thread.start()

    def _write(self) -> None:
        assert self._shell.stdin and self._shell.stdout
        number = 0
        while not self._ending.wait(PAUSE_S):
            name, number = f"{PREFIX}{number}", number + 1
            self._shell.stdin.write(f"create {KIND} {name} --timeout {PATIENCE_S}\n")
            answer = self._shell.stdout.readline()
            if answer.startswith("put "):
                self._accepted.append(name)
                self.times.append(time.monotonic())
            else:
                self._refused.append(answer)

    def end(self) -> Counts:
        """Stop, and count what is there; it is removed again."""
        self._ending.set()
        self._thread.join()
        self._shell.communicate(timeout=PATIENCE_S)
        there = _written(self._remote)
        if there:
            command_line(["delete", KIND, *sorted(there), "--store", self._remote])
        accepted = set(self._accepted)
        return Counts(
            len(accepted),
            len(accepted - there),
            sum("already" in answer for answer in self._refused),
            len(there - accepted),
        )


def _written(remote: str) -> set[str]:
    names = command_line(["get", KIND, "-o", "name", "--store", remote]).split()
    return {name for name in names if name.startswith(PREFIX)}


def gap_s(times: Sequence[float], at: float) -> float:
    """From `at` until writes were accepted again: the end of the longest silence around it."""
    pairs = zip(times, times[1:], strict=False)
    silences = [(after - before, after) for before, after in pairs if after > at]
    return max(silences)[1] - at if silences else float("inf")
