"""What was measured, as values: samples.

1. A sample is one figure of one rival at one scale; tables and charts are made of nothing else.
2. `value` is in `unit`: where that ends in "/s" more is better, otherwise less is.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pytest

US = "µs"  # of CPU time, per packet
OURS = "onehop"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    what: str  # is measured
    value: float  # the median
    unit: str
    who: str = OURS
    spread: float = 0.0  # between the quartiles
    rounds: int = 1
    scale: dict[str, int] = {}  # what it was measured at
    note: str = ""

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")


def write(samples: Iterable[Sample], path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for sample in samples:
            file.write(json.dumps(msgspec.to_builtins(sample)) + "\n")


def read(path: pathlib.Path) -> Iterator[Sample]:
    lines = path.read_text().splitlines() if path.exists() else []
    return (msgspec.json.decode(line, type=Sample) for line in lines)


class Meter:
    """Measures calls with pytest-benchmark, and keeps the figures."""

    def __init__(self, benchmark: Any, samples: list[Sample]) -> None:
        self._benchmark = benchmark
        self._samples = samples
        self.on = not benchmark.disabled

    def time(
        self,
        what: str,
        call: Callable[..., Any],
        *,
        n: int,
        unit: str = US,
        who: str = OURS,
        rounds: int = 30,
        setup: Callable[[], tuple[Any, ...]] | None = None,
        note: str = "",
        **scale: int,
    ) -> None:
        """Have `call` do `n` of what is measured; `setup` makes its arguments, off the clock."""
        self._benchmark.group = what
        if setup is None:
            rounds_of = {"rounds": rounds, "warmup_rounds": 1}
            self._benchmark.pedantic(call, **rounds_of)
        else:
            self._benchmark.pedantic(call, setup=lambda: (setup(), {}), rounds=rounds)
        if not self.on:
            return
        stats = self._benchmark.stats.stats
        if unit.endswith("/s"):
            quartiles = sorted((n / stats.q1, n / stats.median, n / stats.q3))
        else:
            per = {"µs": 1e6, "ms": 1e3}[unit] / n
            quartiles = [per * t for t in (stats.q1, stats.median, stats.q3)]
        low, median, high = quartiles
        self.note(what, median, unit, who=who, spread=high - low, rounds=stats.rounds,
                  note=note, **scale)  # fmt: skip

    def note(
        self,
        what: str,
        value: float,
        unit: str,
        *,
        who: str = OURS,
        spread: float = 0.0,
        rounds: int = 1,
        note: str = "",
        **scale: int,
    ) -> None:
        """Keep a figure that was measured otherwise."""
        self._samples.append(
            Sample(what=what, value=value, unit=unit, who=who, spread=spread, rounds=rounds,
                   scale=scale, note=note)
        )  # fmt: skip

    def once(self, call: Callable[[], Any]) -> Any:
        """Do what measures itself; a run without clocks does not."""
        if not self.on:
            pytest.skip("measures itself")
        self._benchmark.group = "measured by themselves"
        return self._benchmark.pedantic(call, rounds=1)
