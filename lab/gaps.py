"""What a probe stream tells about the network: its gaps.

Definition.  A stream is *owed* a packet from the moment that one was sent of which neither it
nor any later one has arrived yet, until such a packet arrives.  The time for which it is owed is
the gap.  In a healthy network a gap is the one-way delay of a packet; a loss or a stall prolongs
it.  A sender that rests or is held up owes nothing, so it makes no gap.

1. Times are nanoseconds of the wall clock; a gap's length is in milliseconds.
2. What never arrives is owed until `end_ns`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]


class Gap(NamedTuple):
    """A stretch of time for which a stream was owed a packet."""

    start_ns: int
    end_ns: int

    @property
    def ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


def gaps(sent: Times, received: Times, *, end_ns: int) -> list[Gap]:
    """All gaps of a stream, in order, from its first packet to `end_ns`.

    1. Take the arrivals in the order of their times; keep those that bring the highest number
       so far: only these end a gap.
    2. After such an arrival, the next debt starts with the packet after it: when that was sent,
       but not before the arrival itself.
    3. It ends with the next such arrival, or at `end_ns`.
    """
    numbers, times = _advances(received)  # 1
    after = np.concatenate(([0], numbers + 1))
    since = np.concatenate(([0], times))
    owing = after < len(sent)
    starts = np.maximum(sent[after[owing]], since[owing])  # 2
    ends = np.concatenate((times, [end_ns]))[owing]  # 3
    return [Gap(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b > a]


def longest(found: list[Gap], *, start_ns: int, end_ns: int) -> Gap | None:
    """The longest gap that reaches into the given time, whole, even where it sticks out."""
    inside = (gap for gap in found if gap.end_ns > start_ns and gap.start_ns < end_ns)
    return max(inside, key=lambda gap: gap.end_ns - gap.start_ns, default=None)


def lost_in_a_row(received: Times) -> int:
    """The most packets of a stream, one after another, of which none has arrived."""
    arrived = np.concatenate(([-1], np.flatnonzero(received), [len(received)]))
    return int(np.diff(arrived).max()) - 1


def _advances(received: Times) -> tuple[npt.NDArray[np.int64], Times]:
    arrived = np.flatnonzero(received)
    order = arrived[np.argsort(received[arrived], kind="stable")]
    highest = np.maximum.accumulate(order) if len(order) else order
    news = np.concatenate(([True], highest[1:] > highest[:-1])) if len(order) else order > 0
    numbers = order[news]
    return numbers, received[numbers]
