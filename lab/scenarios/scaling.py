"""Throughput that grows with each uplink: all machines at once, through 1, then 2, then 3.

    vm1…vm8 ══ computes ══┬── g1 ── uplink ──┬── outside ── clients
                          ├── g2 ── uplink ──┤      every machine runs iperf3 with many streams,
                          └── g3 ── uplink ──┘      first down, then up

An uplink that is not in use yet has lost its carrier.  Efficiency is goodput divided by the
shaped rate of the uplinks in use.  A full segment's headers take 0.7 % of it at an MTU of 8900.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from onehop.lab import aim
from onehop.lab.checks import eventually
from onehop.lab.lab import Lab
from onehop.lab.meter import Meter, between
from onehop.lab.recorder import Recorder
from onehop.lab.results import Check, Point, ScalingResult, counted, header
from onehop.lab.screen import Screen
from onehop.lab.traffic import LoadDirection, Traffic

LEAST, MOST = 0.94, 1.01  # efficiency
AGREEMENT = 0.02  # between receivers and wires
RAMP_S, WINDOW_S = 3.0, 8.0
READY_S = 30.0
DIRECTIONS: tuple[LoadDirection, ...] = ("downstream", "upstream")


def run(
    lab: Lab,
    screen: Screen,
    *,
    streams: int = 4,
    ramp_s: float = RAMP_S,
    window_s: float = WINDOW_S,
) -> ScalingResult:
    """Measure through 1 to all uplinks."""
    started_s = time.time()
    gateways = lab.gateways
    points: list[Point] = []
    try:
        for gateway in gateways[1:]:
            gateway.stop("link")
        for number, gateway in enumerate(gateways, 1):
            screen.doing(f"{counted(number)}: waiting until exactly these are used")
            if number > 1:
                gateway.start()
            wait_used(lab, [used.name for used in gateways[:number]])
            for direction in DIRECTIONS:
                points.append(measure(lab, screen, number, direction, streams, ramp_s, window_s))
    finally:
        for gateway in gateways[1:]:
            gateway.start()
    return ScalingResult(points=tuple(points), **header("scaling", lab, checks(points), started_s))


def wait_used(lab: Lab, names: Collection[str]) -> None:
    """Until exactly these gateways are used, in both directions."""
    lab.wait_ready(READY_S, list(names))
    wanted = set(names)
    eventually(lambda: _stray(wanted, aim.returning(lab)), READY_S)


def _stray(wanted: set[str], used: set[str]) -> str:
    return "" if wanted == used else f"the outside uses {sorted(used)}, not {sorted(wanted)}"


def measure(
    lab: Lab,
    screen: Screen,
    uplinks: int,
    direction: LoadDirection,
    streams: int,
    ramp_s: float,
    window_s: float,
) -> Point:
    """All machines at once, in one direction."""
    screen.doing(f"{counted(uplinks)}, {direction}: connecting")
    with (
        Traffic(lab.machines, lab.clients, direction, streams=streams) as traffic,
        traffic.receivers() as receivers,
    ):
        recorder = Recorder(Meter(lab, receivers, direction), screen, traffic.check)
        screen.doing(f"{counted(uplinks)}, {direction}: letting TCP settle")
        recorder.hold(ramp_s)
        screen.doing(f"{counted(uplinks)}, {direction}: measuring")
        rate = between(*recorder.window(window_s))
    capacity = uplinks * lab.state.options.uplink_mbit * 1e6
    in_use = [gateway.name for gateway in lab.gateways[:uplinks]]
    point = Point(
        uplinks=uplinks,
        direction=direction,
        mbit_per_s=round(rate.bps / 1e6, 1),
        per_uplink=tuple(round(rate.wires_bps[name] / 1e6, 1) for name in in_use),
        efficiency=round(rate.bps / capacity, 4),
        wires_mbit_per_s=round(rate.wire_bps / 1e6, 1),
        disagreement=round(rate.disagreement, 4),
        window_s=round(rate.seconds, 2),
        flows=streams * len(lab.machines),
    )
    screen.event(
        f"{counted(uplinks)}, {direction}: {point.mbit_per_s:.0f} Mb/s, "
        f"efficiency {point.efficiency:.3f}"
    )
    return point


def checks(points: Iterable[Point]) -> list[Check]:
    """What the points must show, each for itself."""
    return [check for point in points for check in (_efficient(point), _agreed(point))]


def _efficient(point: Point) -> Check:
    detail = f"{point.efficiency:.3f} ({point.mbit_per_s:.0f} Mb/s); {LEAST} to {MOST} wanted"
    passed = LEAST <= point.efficiency <= MOST
    return Check(f"efficiency of {counted(point.uplinks)}, {point.direction}", passed, detail)


def _agreed(point: Point) -> Check:
    detail = (
        f"receivers {point.mbit_per_s:.1f}, wires {point.wires_mbit_per_s:.1f} Mb/s: "
        f"{point.disagreement:.2%} apart; {AGREEMENT:.0%} at most wanted"
    )
    name = f"receivers and wires agree, {counted(point.uplinks)}, {point.direction}"
    return Check(name, point.disagreement <= AGREEMENT, detail)
