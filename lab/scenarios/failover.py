"""Gateways stop one by one until none is left, and come back one by one, under load.

    3 ── 2 ── 1 ── 0 ── 1 ── 2 ── 3    gateways
       x    x    x    +    +    +

Nobody tells the network what happens.  Meanwhile run: the load (iperf3, all machines), a probe
stream of 1 kHz through each gateway in each direction, and long-lived TCP connections that both
sides opened.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from onehop.lab.gateways import Gateway, How
from onehop.lab.lab import Lab
from onehop.lab.results import FailoverResult, Loss, Outage, Phase, header
from onehop.lab.scenarios import drain
from onehop.lab.scenarios.load import Load, putting_back
from onehop.lab.scenarios.verdicts import (
    RETURN_S,
    check_connections,
    check_loss,
    check_outage,
    check_phase,
    check_returned,
    outage_of,
)
from onehop.lab.screen import Screen
from onehop.lab.traffic import LoadDirection

STOP_LIMIT_MS = {"kill": 500.0, "silent": 500.0, "link": 150.0}
BACK_LIMIT_MS = 100.0  # what a full uplink's queue and two busy cores may delay
LOST_LIMIT = 10  # packets in a row; a full uplink's queue drops one or two, also in quiet times
NONE_LEFT_S = 2.0


def run(
    lab: Lab,
    screen: Screen,
    *,
    how: How | Literal["drain"] = "kill",
    direction: LoadDirection = "downstream",
    streams: int = 4,
) -> FailoverResult:
    """Stop every gateway in the given way, and start them again."""
    started_s = time.time()
    draining = how == "drain"
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onehop-")))
        stack.enter_context(putting_back(lambda: (drain.restore if draining else _restore)(lab)))
        offered_bps = drain.OFFERED * lab.state.options.uplink_mbit * 1e6 if draining else None
        load = stack.enter_context(
            Load(lab, screen, directory, direction, streams, offered_bps=offered_bps)
        )
        show = drain.Drain(load, lab) if how == "drain" else _Show(load, lab.gateways, how)
        show.all_of_it()
        outcome = load.finish()
        outages, losses = show.outages(), show.losses()
    checks = [
        *(check_loss(loss) for loss in losses),
        *(check_outage(outage) for outage in outages if outage.limit_ms is not None),
        *(check_phase(phase) for phase in show.phases if phase.efficiency is not None),
        *check_returned(show.returned),
        *check_connections(outcome),
    ]
    return FailoverResult(
        how=how,
        direction=direction,
        timeline=load.recorder.timeline(),
        events=load.recorder.noted(),
        phases=tuple(show.phases),
        outages=outages,
        outages_ms={outage.event: outage.ms for outage in outages},
        losses=losses,
        connections=outcome,
        probe_cpu=round(load.probing.cpu, 4),
        **header("failover", lab, checks, started_s),
    )


class _Show:
    """The order of events."""

    def __init__(self, load: Load, gateways: Sequence[Gateway], how: How) -> None:
        self.load, self.gateways, self.how = load, list(gateways), how
        self.phases: list[Phase] = []
        self.returned: dict[str, bool] = {}
        self._told: list[tuple[int, str, str, list[str]]] = []  # when, what, of which, of all

    def all_of_it(self) -> None:
        names = [gateway.name for gateway in self.gateways]
        self.phases.append(self.load.phase(names))
        for number, gateway in enumerate(self.gateways):
            self._stop(gateway, names[number:])
        for number, gateway in enumerate(self.gateways):
            self._start(gateway, names[:number])

    def _stop(self, gateway: Gateway, used: list[str]) -> None:
        load, left = self.load, used[1:]
        load.aim(used)
        at_ns = load.recorder.event(f"{gateway.name} stopped ({self.how})")
        self._told.append((at_ns, "stop", gateway.name, used))
        load.recorder.during(lambda: gateway.stop(self.how))
        if left:
            self.phases.append(load.phase(left))
        else:
            self.phases.append(load.phase([], settle_s=0.5, window_s=NONE_LEFT_S))

    def _start(self, gateway: Gateway, used: list[str]) -> None:
        load, name = self.load, gateway.name
        if used:
            load.aim(used)
        at_ns = load.recorder.event(f"{name} started")
        self._told.append((at_ns, "start", name, used))
        load.recorder.during(gateway.start)
        self.returned[name] = load.carries(name, RETURN_S)
        load.recorder.event(
            f"{name} carries traffic" if self.returned[name] else f"{name} does not"
        )
        self.phases.append(load.phase([*used, name], settle_s=None if used else load.AFTER_NONE_S))

    def outages(self) -> tuple[Outage, ...]:
        ends = [at_ns for at_ns, *_ in self._told[1:]] + [time.time_ns()]
        return tuple(
            self._stopped(at_ns, end_ns, name, used)
            if what == "stop"
            else self._started(at_ns, end_ns, name, used)
            for (at_ns, what, name, used), end_ns in zip(self._told, ends, strict=True)
        )

    def _stopped(self, at_ns: int, end_ns: int, name: str, used: list[str]) -> Outage:
        probing, last = self.load.probing, len(used) == 1
        crossing = probing.longest_gaps(at_ns, end_ns, [name])
        others = probing.longest_gaps(at_ns, end_ns, used[1:])
        return Outage(
            event=f"{name} stopped",
            ms=None if last else crossing.ms,
            upstream_ms=None if last else crossing.upstream,
            downstream_ms=None if last else crossing.downstream,
            others_ms=None if last else others.ms,
            lost_in_a_row=crossing.lost_in_a_row,
            lost_limit=None,
            limit_ms=None if last else STOP_LIMIT_MS[self.how],
        )

    def _started(self, at_ns: int, end_ns: int, name: str, used: list[str]) -> Outage:
        known = used or [gateway.name for gateway in self.gateways]  # aimed while one was left
        found = self.load.probing.longest_gaps(at_ns, end_ns, known)
        if not used:
            return outage_of(f"{name} back", found)
        return outage_of(f"{name} back", found, limit_ms=BACK_LIMIT_MS, lost_limit=LOST_LIMIT)

    def losses(self) -> tuple[Loss, ...]:
        """Whoever stops a gateway without a word loses packets: their number is no matter."""
        return ()


def _restore(lab: Lab) -> None:
    for gateway in lab.gateways:
        gateway.start()
