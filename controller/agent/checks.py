"""How a member of a pool is asked whether it is well, and what its answers mean.

It must not import the engine: the process that asks is a small one.

1. `rise` good answers in a row make it healthy, `fall` bad ones in a row end that; fewer change
   nothing, so that one lost packet does not.
2. A verdict is told when it is new, the first one too; and why, when that is another reason.
"""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True):
    """How one member is asked."""

    member: str
    address: str
    port: int
    type: str  # "tcp" or "http"
    path: str  # of http
    interval_s: float
    timeout_s: float
    rise: int
    fall: int


class Judge:
    """The judge of one member."""

    def __init__(self, *, rise: int, fall: int) -> None:
        self._rise, self._fall = rise, fall
        self._good = self._bad = 0  # answers in a row
        self._said: tuple[bool, str] | None = None

    def heard(self, problem: str) -> tuple[bool, str] | None:
        """An answer, "" for a good one; whether the member is healthy and why not, if new."""
        self._good, self._bad = (0, self._bad + 1) if problem else (self._good + 1, 0)
        if self._good < self._rise and self._bad < self._fall:
            return None
        verdict = (not problem, problem)
        if verdict == self._said:
            return None
        self._said = verdict
        return verdict
