"""Probe streams aimed at gateways, and what each event did to them.

One machine and one client have a stream for each gateway in each direction; downstream it is to
the machine's floating IP, where it has one.  Before every event the streams are aimed again, since
the event before may have moved them.

1. An outage is the longest gap (`gaps.py`) that reaches into the time of an event, among the
   streams that were found to cross the gateway concerned just before it.
2. A stream is looked at only while it is aimed; what it lost before does not count after.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from onehop.lab import aim
from onehop.lab.gaps import Gap, gaps, longest, lost_in_a_row
from onehop.lab.lab import Lab
from onehop.lab.probe import Direction, Endpoint, Prober, Stream

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
CANDIDATES = 32  # source ports: all of three gateways are missed by some with odds 7 in a million
_FIRST_PORT = {UPSTREAM: 30000, DOWNSTREAM: 31000}
_FLOWS_S = 0.3  # after a first packet: until the flows that it made can be read


class Aim(NamedTuple):
    """The streams that were sent from a moment on."""

    at_ns: int
    streams: dict[str, dict[str, int]]  # by direction: by gateway, the source port


class Gaps(NamedTuple):
    """The longest gaps in ms, by direction; None where no stream was there to show one."""

    upstream: float | None
    downstream: float | None
    lost_in_a_row: int  # packets of one stream

    @property
    def ms(self) -> float | None:
        return max((ms for ms in self[:2] if ms is not None), default=None)


class _Seen(NamedTuple):
    gap: Gap | None
    lost: int  # in a row


class Losses(NamedTuple):
    """What became of the packets sent in some time, by direction."""

    sent: int
    upstream: int  # lost
    downstream: int


class Probing:
    """The probe streams between the first machine and the first client."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self._machine, client = lab.reachable(), lab.clients[0]
        here = Endpoint(self._machine.pid, self._machine.address)
        there = Endpoint(client.pid, client.address)
        public = lab.public(self._machine)
        self._up = Direction(UPSTREAM, here, there, _ports(UPSTREAM))
        self._down = Direction(DOWNSTREAM, there, here, _ports(DOWNSTREAM), public)
        self.aims: list[Aim] = []
        self.prober = Prober(directory, [self._up, self._down])
        self._started_s = time.monotonic()
        self._streams: dict[tuple[str, int], Stream] = {}
        self._end_ns = 0
        self.cpu = 0.0

    def aim(self, gateways: Collection[str]) -> dict[str, set[str]]:
        """Aim a stream of each direction at each gateway; by direction, those that got none."""
        self.prober.announce()
        time.sleep(_FLOWS_S)
        used = self.aims[-1].streams if self.aims else {}
        streams = {
            name: aim.choose(crossing, gateways, used.get(name, {}).values())
            for name, crossing in self._crossing().items()
        }
        self.prober.aim({name: chosen.values() for name, chosen in streams.items()})
        self.aims.append(Aim(time.time_ns(), streams))
        return {name: set(gateways) - set(chosen) for name, chosen in streams.items()}

    def stop(self) -> None:
        """End the streams; from here on gaps can be asked for."""
        self.cpu = self.prober.cpu_s / (time.monotonic() - self._started_s)
        self._end_ns = time.time_ns()
        streams = self.prober.stop()
        self._streams = {(stream.direction, stream.port): stream for stream in streams}

    def kill(self) -> None:
        self.prober.kill()

    def longest_gaps(self, start_ns: int, end_ns: int, gateways: Collection[str]) -> Gaps:
        """The longest gaps of that time in the streams that were aimed at these gateways."""
        seen: dict[str, list[_Seen]] = {UPSTREAM: [], DOWNSTREAM: []}
        for number, aimed in enumerate(self.aims):
            since, until = max(aimed.at_ns, start_ns), min(self._until(number), end_ns)
            if since < until:
                for direction, found in seen.items():
                    found += (
                        self._see(direction, port, number, since, until)
                        for gateway, port in aimed.streams[direction].items()
                        if gateway in gateways
                    )
        lengths = {
            direction: [one.gap.ms for one in found if one.gap]
            for direction, found in seen.items()
        }
        return Gaps(
            **{
                direction: round(max(found), 1) if found else None
                for direction, found in lengths.items()
            },
            lost_in_a_row=max((one.lost for found in seen.values() for one in found), default=0),
        )

    def losses(self, start_ns: int, end_ns: int) -> Losses:
        """The packets of all aimed streams that were sent in that time, and never arrived."""
        sent, lost = 0, {UPSTREAM: 0, DOWNSTREAM: 0}
        for (direction, _), stream in self._streams.items():
            first, last = stream.sent.searchsorted([start_ns, end_ns])
            sent += int(last - first)
            lost[direction] += int((stream.received[first:last] == 0).sum())
        return Losses(sent, lost[UPSTREAM], lost[DOWNSTREAM])

    def _see(self, direction: str, port: int, number: int, since_ns: int, until_ns: int) -> _Seen:
        """What a stream shows of a time in which it was aimed."""
        stream = self._streams[direction, port]
        aimed_ns, end_ns = self.aims[number].at_ns, self._until(number)
        first, last = stream.sent.searchsorted([aimed_ns, end_ns])
        found = gaps(stream.sent[first:last], stream.received[first:last], end_ns=end_ns)
        first, last = stream.sent.searchsorted([since_ns, until_ns])
        return _Seen(
            longest(found, start_ns=since_ns, end_ns=until_ns),
            lost_in_a_row(stream.received[first:last]),
        )

    def _until(self, number: int) -> int:
        """When the streams of an aim were aimed anew."""
        following = self.aims[number + 1 :]
        return following[0].at_ns if following else self._end_ns

    def _crossing(self) -> dict[str, dict[int, str]]:
        lab, machine = self.lab, self._machine
        tunnels = {gateway.address: gateway.name for gateway in lab.gateways}
        interface = lab.node("outside").state.interface
        return {
            UPSTREAM: aim.upstream(lab.host(machine.state.host), self._up, tunnels),
            DOWNSTREAM: aim.downstream(
                lab.node("outside"), self._down, interface, aim.next_hops(lab)
            ),
        }


def _ports(direction: str) -> tuple[int, ...]:
    first = _FIRST_PORT[direction]
    return tuple(range(first, first + CANDIDATES))
