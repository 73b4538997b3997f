"""Time, as a scenario spends it: samples of the load every quarter of a second.

1. The scenario waits only here, so no part of the timeline is without samples.
2. A steady window is the time that `window` waits for; what came before it settles, and is in
   the timeline, but in no figure.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from onehop.lab.meter import Meter, Rate, Sample, between
from onehop.lab.results import Event, Moment
from onehop.lab.screen import Screen

TICK_S = 0.25


class Recorder:
    """The samples and events of one load."""

    def __init__(self, meter: Meter, screen: Screen, check: Callable[[], None]) -> None:
        self.meter, self.screen, self._check = meter, screen, check
        self.samples: list[Sample] = [meter.sample()]
        self.events: list[tuple[int, str]] = []

    def hold(self, seconds: float) -> None:
        """Go on for this long."""
        self.until(lambda rate: False, seconds)

    def until(self, condition: Callable[[Rate], bool], timeout_s: float) -> bool:
        """Go on until the rate of the last tick meets the condition; whether it did."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(TICK_S, left))
            if condition(self._tick()):
                return True
        return False

    def during(self, job: Callable[[], object]) -> None:
        """Do something that takes its time, and go on meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(job)
            self.until(lambda rate: done.done(), 120.0)
            done.result()

    def window(self, seconds: float) -> tuple[Sample, Sample]:
        """A steady window: its first and its last sample."""
        first = self.meter.sample()
        self.samples.append(first)
        self.hold(seconds)
        return first, self.samples[-1]

    def event(self, what: str) -> int:
        """Note that something happens now; when that is."""
        now_ns = time.time_ns()
        self.events.append((now_ns, what))
        self.screen.event(what)
        return now_ns

    def t(self, at_ns: int) -> float:
        return round((at_ns - self.samples[0].at_ns) / 1e9, 3)

    def timeline(self) -> tuple[Moment, ...]:
        """Goodput between every two samples, at the time of the later one."""
        rates = ((b, between(a, b)) for a, b in pairwise(self.samples) if _apart(a, b))
        return tuple(Moment(self.t(at.at_ns), round(rate.bps / 1e6, 1)) for at, rate in rates)

    def noted(self) -> tuple[Event, ...]:
        return tuple(Event(self.t(at_ns), what) for at_ns, what in self.events)

    def after(self, times_s: Iterable[float]) -> dict[str, int]:
        """By event, how many of these times (as `time.time`) are between it and the next one."""
        starts = [at_ns for at_ns, _ in self.events]
        numbers = (bisect_right(starts, int(1e9 * at_s)) - 1 for at_s in times_s)
        return dict(Counter(self.events[n][1] if n >= 0 else "the start" for n in numbers))

    def _tick(self) -> Rate:
        self._check()
        self.samples.append(self.meter.sample())
        rate = between(self.samples[-2], self.samples[-1])
        self.screen.rate(rate)
        return rate


def _apart(first: Sample, last: Sample) -> bool:
    """Whether two samples are far enough from each other for a rate that means something."""
    return last.at_ns - first.at_ns > TICK_S * 1e9 / 5
