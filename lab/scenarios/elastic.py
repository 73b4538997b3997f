"""A gateway joins at run time and another leaves, under load, with nothing broken.

    g1 g2 g3 ──(+ g4)── g1 g2 g3 g4 ──(- g1)── g2 g3 g4 ──(+ g1, - g4)── as it was

Joining and leaving are what an operator would do: a topology file that states one gateway more,
or one less, is applied.  Whoever leaves is drained first.  The load is a part of the first
uplinks' capacity, so that the gateways may share it as they like and all of it must arrive.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from onehop.lab import members
from onehop.lab.lab import Lab
from onehop.lab.results import Check, Connections, Outage, Phase, TimelineResult, header
from onehop.lab.scenarios.failover import LOST_LIMIT
from onehop.lab.scenarios.load import Load, putting_back
from onehop.lab.scenarios.verdicts import (
    RETURN_S,
    check_connections,
    check_outage,
    check_phase,
    outage_of,
)
from onehop.lab.screen import Screen
from onehop.lab.state import LabError
from onehop.lab.topo import MAX_GATEWAYS
from onehop.lab.traffic import LoadDirection

LIMIT_MS = 150.0  # what the start of a host may delay others, where they share two cores
OFFERED = 0.4  # of the capacity of the first gateways: a new one needs some of the cores to start


def run(
    lab: Lab, screen: Screen, *, direction: LoadDirection = "downstream", streams: int = 4
) -> TimelineResult:
    """Let a new gateway join, the first one leave, and undo both."""
    started_s = time.time()
    before = [gateway.name for gateway in lab.gateways]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onehop-")))
        stack.enter_context(putting_back(lambda: restore(lab, before)))
        offered_bps = OFFERED * len(before) * lab.state.options.uplink_mbit * 1e6
        load = stack.enter_context(
            Load(lab, screen, directory, direction, streams, offered_bps=offered_bps)
        )
        show = _Show(load, lab, before)
        show.all_of_it()
        outcome = load.finish()
        outages = show.outages()
    return TimelineResult(
        direction=direction,
        timeline=load.recorder.timeline(),
        events=load.recorder.noted(),
        phases=tuple(show.phases),
        outages=outages,
        outages_ms={outage.event: outage.ms for outage in outages},
        connections=outcome,
        probe_cpu=round(load.probing.cpu, 4),
        **header("elastic", lab, show.checks(outages, outcome), started_s),
    )


class _Show:
    """The order of events."""

    def __init__(self, load: Load, lab: Lab, before: Sequence[str]) -> None:
        self.load, self.lab, self.used = load, lab, list(before)
        self.phases: list[Phase] = []
        self.joined: dict[str, bool] = {}
        self._told: list[tuple[int, str, list[str]]] = []

    def all_of_it(self) -> None:
        new, old = next_name(self.used), self.used[0]
        self.phases.append(self.load.phase(self.used))
        self._join(new)
        self._leave(old)

    def _join(self, name: str) -> None:
        self._event(f"{name} joins", lambda: members.join(self.lab, name))
        self.joined[name] = self.load.carries(name, RETURN_S)
        self.used.append(name)
        self.phases.append(self.load.phase(self.used))

    def _leave(self, name: str) -> None:
        self._event(f"{name} leaves", lambda: members.leave(self.lab, name))
        self.used.remove(name)
        self.phases.append(self.load.phase(self.used))

    def _event(self, what: str, job: Callable[[], object]) -> None:
        self.load.aim(self.used)
        self._told.append((self.load.recorder.event(what), what, list(self.used)))
        self.load.recorder.during(job)

    def outages(self) -> tuple[Outage, ...]:
        ends = [at_ns for at_ns, *_ in self._told[1:]] + [time.time_ns()]
        return tuple(
            self._outage(at_ns, end_ns, what, used)
            for (at_ns, what, used), end_ns in zip(self._told, ends, strict=True)
        )

    def _outage(self, at_ns: int, end_ns: int, what: str, used: list[str]) -> Outage:
        found = self.load.probing.longest_gaps(at_ns, end_ns, used)
        return outage_of(what, found, limit_ms=LIMIT_MS, lost_limit=LOST_LIMIT)

    def checks(self, outages: Sequence[Outage], connections: Connections) -> list[Check]:
        return [
            *(
                Check(f"{name} carries traffic", carries, f"within {RETURN_S:.0f} s of joining")
                for name, carries in self.joined.items()
            ),
            *map(check_outage, outages),
            *map(check_phase, self.phases),
            *check_connections(connections),
        ]


def next_name(names: Sequence[str]) -> str:
    """The name of one gateway more."""
    free = (f"g{number}" for number in range(1, MAX_GATEWAYS + 1))
    for name in free:
        if name not in names:
            return name
    raise LabError("there is no room for one gateway more")


def restore(lab: Lab, before: Sequence[str]) -> None:
    """Bring back the gateways that were there, and no others."""
    there = [gateway.name for gateway in lab.gateways]
    for name in before:
        if name not in there:
            members.join(lab, name)
    lab.wait_ready(2 * RETURN_S)
    for name in there:
        if name not in before:
            members.leave(lab, name)
