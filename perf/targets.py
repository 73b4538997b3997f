"""The targets: what is to be reached, against whom, and by which sample that is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from record import OURS, Sample


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A sample's value has to be on the right side of `limit`, or so many times the peer's."""

    name: str
    what: str
    unit: str
    limit: float | None = None
    times: float | None = None  # better than the peer
    peer: str = ""  # whose sample is put beside it; it decides where `times` is given
    beside: tuple[str, ...] = ()  # whose samples of the same scale are told too
    at: dict[str, int] = {}  # the scale; without it, the largest that was measured
    everywhere: bool = False  # at every scale up to `at`: what is told is the worst of them
    ceiling: str = ""  # why it is missed where it is, and what was measured as the ceiling


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the run says about a target."""

    name: str
    target: str
    peer: str = ""
    measured: str = "not measured"
    ratio: float | None = None
    met: bool = False
    value: float | None = None
    peer_value: float | None = None
    unit: str = ""
    spread: float | None = None
    rounds: int = 0
    scale: dict[str, int] = {}
    reason: str = ""


FIRST = "first packet, stateful"
TARGETS = (
    Target(name="first packet, stateful, in batches", what=FIRST, unit="µs", limit=2,
           peer="MidoNet (derived)", at={"batch": 1000},
           ceiling="13 500 instructions, no function more than 4 % of them, and memory that is far"
           " away; 1.2 to 1.8 µs by what else the processor does; a build guided by a profile"
           " takes a tenth off"),
    Target(name="first packet, stateful, one at a time", what=FIRST, unit="µs", limit=3,
           peer="the oracle", at={"batch": 1},
           ceiling="what a packet costs in a batch, and 0.5 µs for a call of its own from Python;"
           " 1.7 to 2.3 µs by what else the processor does"),
    Target(name="first packet, stateless L2", what="first packet, L2", unit="µs", limit=1,
           peer="Ryu's objects", at={"batch": 1000}),
    Target(name="first packet, stateless L3", what="first packet, L3", unit="µs", limit=1,
           peer="Ryu's objects", at={"batch": 1000},
           ceiling="three devices instead of L2's one, each with tags and a copy of the packet;"
           " 0.6 to 0.9 µs by what else the processor does (L2 0.25 to 0.46)"),
    Target(name="flow table lookup with wildcards", what="flow lookup", unit="/s", times=2,
           peer="OVS classifier", at={"flows": 100_000, "masks": 32}, everywhere=True),
    Target(name="rule evaluation, ACL", what="rules, acl", unit="/s", limit=2e6,
           peer="linear search", beside=("OVS classifier",), at={"rules": 10_000}),
    Target(name="rule evaluation, FW", what="rules, fw", unit="/s", limit=2e6,
           peer="linear search", beside=("OVS classifier",), at={"rules": 10_000}),
    Target(name="rule evaluation, IPC", what="rules, ipc", unit="/s", limit=2e6,
           peer="linear search", beside=("OVS classifier",), at={"rules": 10_000}),
    Target(name="conntrack: inserts", what="conntrack inserts", unit="/s", times=1,
           peer="OVS conntrack", at={"entries": 1_000_000}),
    Target(name="conntrack: established", what="conntrack lookups", unit="/s", times=1,
           peer="OVS conntrack", at={"entries": 1_000_000}),
    Target(name="conntrack: memory", what="conntrack memory", unit="bytes", limit=128,
           at={"entries": 1_000_000}),
    Target(name="Maglev: lookups", what="Maglev lookups", unit="/s", limit=20e6,
           at={"members": 100}),
    Target(name="Maglev: rebuild", what="Maglev rebuild", unit="ms", limit=5,
           at={"members": 100}),
    Target(name="Maglev: excess movement", what="Maglev excess", unit="%", limit=1,
           at={"members": 100}),
    Target(name="the agent over TCP", what="agent", unit="/s", limit=50_000,
           peer="simple_switch_13"),
    Target(name="the agent over TCP, against Ryu", what="agent", unit="/s", times=10,
           peer="simple_switch_13"),
    Target(name="real OVS: 60 000 connections at 30 000/s", unit="%", limit=0.1,
           peer="ready bytes", what="OVS, first packets lost at 30000/s",
           at={"connections": 60_000}),
    Target(name="real OVS: 10 000/s for 60 s", unit="%", limit=0,
           what="OVS, first packets lost at 10000/s", at={"connections": 600_000}),
    Target(name="real OVS: against Ryu", what="OVS, connections", unit="/s", times=5,
           peer="simple_switch_13", at={"connections": 60_000}),
    Target(name="first-packet delay, median", what="first-packet delay p50", unit="ms", limit=0.5,
           peer="ready bytes", beside=("OVN", "OVN, cold"), at={"pairs": 200},
           ceiling="ready bytes have 0.08 to 0.22 ms; the agent's green threads, Python and"
           " engine, their caches cold after 20 ms, take 0.1 to 0.3 more; best measured 0.15 ms"),
    Target(name="first-packet delay, 99 %", what="first-packet delay p99", unit="ms", limit=2,
           peer="ready bytes", beside=("OVN", "OVN, cold"), at={"pairs": 200},
           ceiling="the second longest of 200 visits: 1.2 to 2.5 ms from run to run; ready bytes,"
           " with nothing besides to do, have 0.4 to 3.5 ms"),
    Target(name="topology change to last flow, 99 %", unit="ms", limit=50,
           what="OVS, topology change p99", peer="the switch alone", at={"flows": 100_000},
           ceiling="the switch alone takes 10 to 15 ms, the agent has written all after 7"),
    Target(name="scale: first packet against 1/100", what="scale, first packet", unit="times",
           limit=1.5, at={"thousand_ports": 100}),
    Target(name="scale: load", what="scale, load", unit="s", limit=10,
           at={"thousand_ports": 100}),
)  # fmt: skip


def against_the_smallest(samples: Sequence[Sample]) -> Iterator[Sample]:
    """What is measured against itself at 1/100 of the size."""
    own = [s for s in samples if s.what == "first packet at scale"]
    if len(own) < 2:
        return
    smallest = min(own, key=lambda s: s.scale["thousand_ports"])
    for s in own:
        yield Sample(what="scale, first packet", value=s.value / smallest.value, unit="times",
                     scale=s.scale, rounds=s.rounds)  # fmt: skip


def find(target: Target, samples: Iterable[Sample]) -> Finding:
    """How it stands with a target."""
    mine = [s for s in samples if s.what == target.what]
    ours = _best_fit(target, [s for s in mine if s.who == OURS])
    is_short = ours is not None and not target.at.items() <= ours.scale.items()
    if target.everywhere and ours is not None:
        ours = _worst(target, mine)
    goal = _goal(target)
    if ours is None:
        return Finding(name=target.name, target=goal, peer=target.peer, unit=target.unit,
                       reason="not part of this run, or its peer is missing here")  # fmt: skip
    rival = _rival(target, mine, ours)
    others = [s for s in mine if s.who in target.beside and s.scale == ours.scale]
    ratio = _ratio(ours, rival.value if rival else target.limit)
    return Finding(
        name=target.name,
        target=goal,
        peer="; ".join([_told(rival) if rival else target.peer, *map(_told, others)]),
        measured=_told(ours) + (f" at {_scale(ours)}" if target.everywhere else ""),
        ratio=ratio,
        met=_is_met(target, ours, rival) and not is_short,
        value=ours.value,
        peer_value=rival.value if rival else None,
        unit=ours.unit,
        spread=ours.spread,
        rounds=ours.rounds,
        scale=ours.scale,
        reason=f"measured at {_scale(ours)} only" if is_short else _reason(target, ours, rival),
    )


def _rival(target: Target, samples: Iterable[Sample], ours: Sample) -> Sample | None:
    """The peer's sample: at the same scale, where the target says something of every scale."""
    theirs = [s for s in samples if s.who == target.peer]
    if target.everywhere:
        return next((s for s in theirs if s.scale == ours.scale), None)
    return _best_fit(target, theirs, ours.scale)


def _worst(target: Target, samples: Sequence[Sample]) -> Sample:
    """Of ours, the one with the least ratio; one without a peer's beside it comes first."""

    def ratio(ours: Sample) -> float:
        rival = _rival(target, samples, ours)
        return (_ratio(ours, rival.value) or 0.0) if rival else 0.0

    return min((s for s in samples if s.who == OURS), key=ratio)


def _reason(target: Target, ours: Sample, rival: Sample | None) -> str:
    """Why it is missed, where it is; else what there is to say about the measurement."""
    if _is_met(target, ours, rival):
        return ours.note
    if target.limit is None and rival is None:
        return f"{target.peer} was not measured"
    told = target.ceiling or "missed for the first time: no reason has been found yet"
    return f"{told} ({ours.note})" if ours.note else told


def _best_fit(
    target: Target, samples: list[Sample], scale: dict[str, int] | None = None
) -> Sample | None:
    """The one at the target's scale, else the one nearest to it."""
    wanted = target.at or scale or {}

    def distance(sample: Sample) -> Any:
        far = sum(abs(sample.scale.get(k, 0) - v) for k, v in wanted.items())
        return far, [-v for v in sample.scale.values()]

    return min(samples, key=distance, default=None)


def _is_met(target: Target, ours: Sample, rival: Sample | None) -> bool:
    if target.limit is not None:
        return ours.value >= target.limit if ours.more_is_better else ours.value <= target.limit
    if rival is None or target.times is None:
        return False
    ratio = _ratio(ours, rival.value)
    return ratio is not None and ratio >= target.times


def _ratio(ours: Sample, other: float | None) -> float | None:
    """How many times better than the other; than the limit where there is no peer."""
    if not other or not ours.value:
        return None
    return ours.value / other if ours.more_is_better else other / ours.value


def _goal(target: Target) -> str:
    if target.limit is None:
        return f"≥ {target.times:g} × the peer"
    sign = "≥" if target.unit.endswith("/s") else "≤"
    return f"{sign} {figure(target.limit, target.unit)}"


def _told(sample: Sample) -> str:
    name = "" if sample.who == OURS else f"{sample.who}: "
    return name + figure(sample.value, sample.unit)


def _scale(sample: Sample) -> str:
    return ", ".join(f"{value} {name}" for name, value in sample.scale.items())


def figure(value: float, unit: str) -> str:
    """A value as people read it."""
    if unit == "/s" and value >= 1e6:
        return f"{value / 1e6:.3g} M/s"
    if unit == "/s":
        return f"{value:,.0f} /s".replace(",", " ")
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}"
