"""A plan as people read it: the summary first, then the worst of each kind, and how many more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from onehop.controller.plan.findings import Connection, End, Fate, Fates, Flow, Pair, Plan
from onehop.controller.plan.telling import text_of

MOST_LINES = 20  # of each kind
MOST_SOURCES = 4  # that are named of many
TITLES: dict[Fate, str] = {
    "cut": "Cut",
    "rerouted": "Rerouted",
    "waits": "Waiting for a neighbor",
}
SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def lines(plan: Plan, most: int = MOST_LINES) -> Iterator[str]:
    """The report, line by line."""
    yield from _bounded((f"{SIGNS[c.what]} {c.kind} {c.name!r}" for c in plan.changes), most)
    if not plan.changes:
        yield "nothing to change"
        return
    yield ""
    yield from _summary(plan)
    for fate, title in TITLES.items():
        found = [*_connections(plan.affected, fate), *_traffic(plan.traffic, fate)]
        if found:
            total = getattr(plan.fates, fate) + getattr(plan.traffic_fates, fate)
            yield from ("", f"{title}:")
            yield from _bounded(found, most, total)
    for title, pairs in (("Lose", plan.pairs.lose), ("Gain", plan.pairs.gain)):
        if pairs:
            yield from ("", f"{title} reachability:")
            yield from _bounded(_pairs(pairs), most)


def _summary(plan: Plan) -> Iterator[str]:
    kept = plan.connections - plan.fates.all
    told = _fates(plan.fates)
    yield _row("connections", f"{plan.connections} live", f"{told}, {kept} go on as they are")
    if plan.unplaced:
        yield _row("", f"{plan.unplaced} more remembered", "where they come in is not known")
    if plan.traffic_fates.all:
        told = f"{_fates(plan.traffic_fates)} (flows that no connection is known of)"
        yield _row("traffic", f"{plan.traffic_fates.all} flows", told)
    f, pairs = plan.flows, plan.pairs
    told = f"{f.kept} stay, {f.rewritten} rewritten, {f.dropping} drop, {f.opened} open"
    told += f", {f.removed} removed (their next packet decides)"
    yield _row("flows", f"{f.installed} installed", f"{f.reviewed} looked at again: {told}")
    sampled = f" sampled of {pairs.of}" if pairs.machines < pairs.of else ""
    told = f"{len(pairs.lose)} lose, {len(pairs.gain)} gain ({', '.join(pairs.services)})"
    yield _row("reachability", f"{pairs.asked} pairs of {pairs.machines}{sampled} machines", told)
    yield _row("hosts", f"{len(plan.hosts)} asked", _silence(plan))


def _fates(fates: Fates) -> str:
    waiting = f", {fates.waits} waiting" if fates.waits else ""
    return f"{fates.cut} cut, {fates.rerouted} rerouted{waiting}"


def _silence(plan: Plan) -> str:
    if not plan.silent:
        return "all have answered"
    told = "; ".join(f"{host}: {problem}" for host, problem in sorted(plan.silent.items()))
    return f"NOT KNOWN is what lives at {len(plan.silent)} more: {told}"


def _row(title: str, count: str, rest: str) -> str:
    return f"{title:13} {count}: {rest}"


def _bounded(found: Iterable[str], most: int, total: int = 0) -> Iterator[str]:
    every = list(found)
    for text in every[:most]:
        yield f"  {text}"
    more = max(total, len(every)) - len(every[:most])
    if more:
        yield f"  ... and {more} more"


def _connections(found: Sequence[Connection], fate: Fate) -> Iterator[str]:
    for one in found:
        if one.fate == fate:
            way = "" if one.direction == "there" else "its answers: "
            yield f"{one.protocol} {_ends(one)}\n      {way}{one.reason}"


def _ends(one: Connection) -> str:
    source, to = one.source, one.destination
    reached = ""
    if (one.reached.address, one.reached.number) != (to.address, to.number):
        reached = f" as {text_of(one.reached.address, one.reached.number)}"
    ends = f"{text_of(source.address, source.number)} -> {text_of(to.address, to.number)}{reached}"
    return f"{ends}  ({_place(source)} -> {_place(one.reached)})"


def _place(end: End) -> str:
    return f"{end.port} on {end.host}" if end.host else end.port or "several ports"


def _traffic(found: Sequence[Flow], fate: Fate) -> Iterator[str]:
    for one in found:
        if one.fate == fate:
            match = ", ".join(f"{name}={value}" for name, value in one.match.items())
            yield f"traffic from {one.port} on {one.host}: {match}\n      {one.reason}"


def _pairs(pairs: Sequence[Pair]) -> Iterator[str]:
    """One line for all who lose, or gain, the same."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.target, pair.address, pair.services), []).append(pair)
    for (target, address, services), found in groups.items():
        name = target if address in target else f"{target} ({address})"
        sources = [pair.source for pair in found]
        more = f" and {len(sources) - MOST_SOURCES} more" if len(sources) > MOST_SOURCES else ""
        reason = f"\n      {found[0].reason}" if found[0].reason else ""
        yield f"{', '.join(sources[:MOST_SOURCES])}{more} -> {name}: {', '.join(services)}{reason}"
