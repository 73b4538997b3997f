"""Results as a lab might have measured them, for the tests of what shows results."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec

from onehop.lab.results import (
    Check,
    Connections,
    Event,
    FailoverResult,
    Kind,
    Loss,
    Moment,
    Outage,
    Phase,
    Point,
    ScalingResult,
    Setting,
)

SETTING = Setting(
    datapath="netdev",
    cores=2,
    kernel="6.1.0-18-amd64",
    openvswitch="3.1.0",
    frr="8.4.4",
    computes=8,
    gateways=3,
    uplink_mbit=300,
    mtu=8900,
    load_average=1.43,
)
HEADER: dict[str, Any] = {
    "platform": SETTING,
    "started_at": "2026-01-02T03:04:05Z",
    "duration_s": 93.2,
}
STEPS = ((0, 3), (14, 2), (24, 1), (34, 0), (44, 1), (58, 2), (72, 3))
END = 84
DRAINED = ("drained", "stopped", "started", "undrained")


def scaling(*, passed: bool = True) -> ScalingResult:
    points = tuple(point(n, d) for n in (1, 2, 3) for d in ("downstream", "upstream"))
    name = "efficiency of {0.uplinks} uplinks, {0.direction}"
    checks = tuple(Check(name.format(p), passed, f"{p.efficiency:.3f}") for p in points)
    return ScalingResult(scenario="scaling", passed=passed, checks=checks, points=points, **HEADER)


def point(uplinks: int, direction: str) -> Point:
    efficiency = 0.985 - 0.004 * uplinks + (0.002 if direction == "upstream" else 0)
    goodput = 300 * uplinks * efficiency
    return Point(
        uplinks=uplinks,
        direction=direction,
        mbit_per_s=round(goodput, 1),
        per_uplink=tuple(round(goodput / uplinks, 1) for _ in range(uplinks)),
        efficiency=round(efficiency, 4),
        wires_mbit_per_s=round(goodput * 1.002, 1),
        disagreement=0.002,
        window_s=8.01,
        flows=32,
    )


def failover(*, passed: bool = True) -> FailoverResult:
    stops = [Event(t, f"g{n} stopped (kill)") for n, t in enumerate((14.0, 24.0, 34.0), 1)]
    starts = [Event(t, f"g{n} started") for n, t in enumerate((37.0, 51.0, 65.0), 1)]
    backs = [Event(t, f"g{n} carries traffic") for n, t in enumerate((44.0, 58.0, 72.0), 1)]
    outages = (
        outage("g1 stopped", 297.0, 500.0),
        outage("g2 stopped", 312.4, 500.0),
        outage("g3 stopped", None, None),
        outage("g1 back", 10312.0, None),
        outage("g2 back", 14.2, 50.0),
        outage("g3 back", 11.9, 50.0),
    )
    return FailoverResult(
        scenario="failover",
        passed=passed,
        how="kill",
        direction="downstream",
        timeline=tuple(Moment(t / 4, goodput(t / 4)) for t in range(1, 4 * END)),
        events=tuple(sorted([*stops, *starts, *backs], key=lambda event: event.t)),
        phases=phases(),
        outages=outages,
        outages_ms={one.event: one.ms for one in outages},
        connections=Connections(
            tried=48,
            opened=48,
            broken=0,
            silence_ms=12412.0,
            broken_after={},
            by_kind={
                "floating ip": Kind(tried=24, opened=24, broken=0),
                "snat": Kind(tried=12, opened=12, broken=0),
                "vip": Kind(tried=12, opened=12, broken=0),
            },
        ),
        probe_cpu=0.071,
        checks=(Check("no long-lived connection broken", passed, "48 opened, 0 broken"),),
        **HEADER,
    )


def drained() -> FailoverResult:
    lost = [Loss(event=f"g1 {what}", sent=4000, upstream=0, downstream=1) for what in DRAINED]
    return msgspec.structs.replace(failover(), how="drain", losses=tuple(lost))


def outage(event: str, ms: float | None, limit_ms: float | None) -> Outage:
    less = None if ms is None else ms * 0.8
    return Outage(
        event=event,
        ms=ms,
        upstream_ms=less,
        downstream_ms=ms,
        others_ms=6.1,
        limit_ms=limit_ms,
        lost_in_a_row=2,
        lost_limit=10,
    )


def phases() -> tuple[Phase, ...]:
    ends = [t for t, _ in STEPS[1:]] + [END]
    return tuple(
        Phase(
            gateways=number,
            mbit_per_s=round(294.6 * number, 1),
            efficiency=0.982 if number else None,
            start=end - 5.8 if number else end - 9.0,
            end=end - 0.8 if number else end - 7.0,
        )
        for (_, number), end in zip(STEPS, ends, strict=True)
    )


def goodput(t: float) -> float:
    start, number = next((s, n) for s, n in reversed(STEPS) if s <= t)
    rise = 1 - math.exp(-(t - start) / 0.4)
    before = next((n for s, n in reversed(STEPS) if s < start), 0)
    return round(295 * (before + (number - before) * rise) + random.Random(t).uniform(-4, 4), 1)
