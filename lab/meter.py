"""Goodput over a window of time, by two counts that know nothing of one another.

1. The receivers' count is the figure: bytes that TCP handed to the receivers, by their kernels.
2. The wires' count checks it: what the uplinks' interfaces carried in the load's direction after
   shaping, less HEADER_BYTES for each packet.  It also says how much each uplink carried.
3. A rate is between two samples that were taken at known instants; nothing is averaged twice,
   smoothed or left out.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

from onehop.lab.lab import Lab, Wire
from onehop.lab.traffic import LoadDirection

# Ethernet 14, IPv4 20, TCP 20 and its timestamps 12: what a full segment carries besides data.
HEADER_BYTES = 66


class Sample(NamedTuple):
    """What had arrived at one instant."""

    at_ns: int  # of the wall clock
    received_bytes: int
    wires: dict[str, int]  # by gateway: payload bytes on its uplink's wire


class Rate(NamedTuple):
    """What arrived between two samples."""

    seconds: float
    bps: float  # the receivers' goodput
    wires_bps: dict[str, float]  # by gateway: the payload on its wire

    @property
    def wire_bps(self) -> float:
        return sum(self.wires_bps.values())

    @property
    def disagreement(self) -> float:
        """How far the wires' count is from the receivers', as a share of the latter."""
        return abs(self.wire_bps - self.bps) / self.bps if self.bps else float(self.wire_bps > 0)


class Counter(Protocol):
    """What counts the receivers' bytes."""

    def read(self) -> int: ...


class Meter:
    """Takes samples of a load."""

    def __init__(self, lab: Lab, receivers: Counter, direction: LoadDirection) -> None:
        self.lab, self.receivers, self.direction = lab, receivers, direction

    def sample(self) -> Sample:
        wires = self.lab.uplink_counters()
        return Sample(
            time.time_ns(),
            self.receivers.read(),
            {name: payload(wire, self.direction) for name, wire in wires.items()},
        )


def payload(wire: Wire, direction: LoadDirection) -> int:
    """The bytes that a wire carried, without the headers of full segments."""
    if direction == "downstream":
        return wire.down_bytes - HEADER_BYTES * wire.down_packets
    return wire.up_bytes - HEADER_BYTES * wire.up_packets


def between(first: Sample, last: Sample) -> Rate:
    seconds = (last.at_ns - first.at_ns) / 1e9
    return Rate(
        seconds,
        8 * (last.received_bytes - first.received_bytes) / seconds,
        {
            name: 8 * (count - first.wires.get(name, count)) / seconds
            for name, count in last.wires.items()
        },
    )
