"""What scenarios find out: the same form for the screen, the JSON files and the report.

1. Results are frozen data.  Rates are bits per second where a name says ``_bps``, else Mb/s.
2. A result has passed when all of its checks have; a check is decided by figures of this run.
3. Times ``t`` are seconds since the scenario's first sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from onehop.lab.lab import Lab


class Check(msgspec.Struct, frozen=True):
    """One thing that was to be shown."""

    name: str
    passed: bool
    detail: str  # the figures that decided it


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were measured on."""

    datapath: str  # "netdev": Open vSwitch in userspace; "system": the kernel's
    cores: int
    kernel: str
    openvswitch: str
    frr: str
    computes: int
    gateways: int
    uplink_mbit: int
    mtu: int
    load_average: float  # of the last minute, when the scenario ended


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What every scenario's result has."""

    scenario: str
    passed: bool
    platform: Setting
    checks: tuple[Check, ...]
    started_at: str  # UTC
    duration_s: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Goodput of all machines through some uplinks."""

    uplinks: int
    direction: str
    mbit_per_s: float  # receivers' count
    per_uplink: tuple[float, ...]  # Mb/s of payload on each wire in use
    efficiency: float  # goodput / (uplinks x shaped rate)
    wires_mbit_per_s: float  # wires' count, of all uplinks
    disagreement: float  # |wires - receivers| / receivers
    window_s: float
    flows: int  # parallel TCP streams


class ScalingResult(Result, frozen=True, kw_only=True):
    """Throughput by uplinks."""

    points: tuple[Point, ...]


class Moment(msgspec.Struct, frozen=True):
    """Goodput at a time."""

    t: float
    mbit_per_s: float


class Event(msgspec.Struct, frozen=True):
    """What happened when."""

    t: float
    what: str


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """The steady window between two events."""

    gateways: int
    mbit_per_s: float
    efficiency: float | None  # of the capacity, or of what is offered where that is less
    start: float
    end: float


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The longest gap that an event made in the probe streams."""

    event: str
    ms: float | None  # None: no gateway was left to cross
    upstream_ms: float | None
    downstream_ms: float | None
    others_ms: float | None  # in the streams that crossed other gateways
    lost_in_a_row: int  # packets of one of the streams, of a thousand a second
    lost_limit: int | None  # where the event may delay packets, but not lose them
    limit_ms: float | None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """The long-lived TCP connections that are translated in one way."""

    tried: int
    opened: int
    broken: int


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """The long-lived TCP connections."""

    tried: int
    opened: int
    broken: int
    silence_ms: float  # the longest wait for an echo, whatever the reason
    broken_after: dict[str, int]  # by event, those that broke between it and the next one
    by_kind: dict[str, Kind]  # "snat", "floating ip", "vip"; "routed" where nothing is translated


class TimelineResult(Result, frozen=True, kw_only=True):
    """Throughput over time while gateways go and come (failover and elastic)."""

    direction: str
    timeline: tuple[Moment, ...]
    events: tuple[Event, ...]
    phases: tuple[Phase, ...]
    outages_ms: dict[str, float | None]
    outages: tuple[Outage, ...]
    connections: Connections
    probe_cpu: float  # share of one core that the probes' worker used


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The packets that the probe streams lost between an event and the next one."""

    event: str
    sent: int
    upstream: int
    downstream: int


class FailoverResult(TimelineResult, frozen=True, kw_only=True):
    """Gateways stopped one by one, and brought back."""

    how: str
    losses: tuple[Loss, ...] = ()  # where gateways were drained


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """What some packets did on the underlay."""

    what: str
    sent: int
    links: dict[str, int]  # by host, those of the packets that its link carried
    hops: float | None  # tunnel hops of each packet


class OnehopResult(Result, frozen=True, kw_only=True):
    """Packets counted on every underlay link."""

    crossings: tuple[Crossing, ...]


def setting(lab: Lab) -> Setting:
    options, platform = lab.state.options, lab.state.platform
    return Setting(
        datapath=platform.datapath,
        cores=platform.cores,
        kernel=platform.kernel,
        openvswitch=platform.openvswitch,
        frr=platform.frr,
        computes=len(lab.nodes("compute")),
        gateways=len(lab.nodes("gateway")),
        uplink_mbit=options.uplink_mbit,
        mtu=options.mtu,
        load_average=round(os.getloadavg()[0], 2),
    )


def header(scenario: str, lab: Lab, checks: Iterable[Check], started_s: float) -> dict[str, Any]:
    """The fields of `Result`, for its subclasses."""
    decided = tuple(checks)
    return {
        "scenario": scenario,
        "passed": all(check.passed for check in decided),
        "platform": setting(lab),
        "checks": decided,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_s)),
        "duration_s": round(time.time() - started_s, 1),
    }


def counted(number: int, noun: str = "uplink") -> str:
    """ "1 uplink", "2 uplinks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def to_json(found: Result | Sequence[Result]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(found), indent=1)
