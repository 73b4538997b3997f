"""What becomes of installed flows, and of the traffic that is known by nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np

from onehop.controller.plan.conversations import FORWARD, as_packet
from onehop.controller.plan.findings import Fate, Fates, Flow, Flows
from onehop.controller.plan.scene import Scene
from onehop.controller.plan.telling import MOST_TOLD, Teller, new_way, reason_of
from onehop.engine.rehearsal import KINDS, Array, Rehearsed, match_of

AWAIT = KINDS.index("await")


def judge(
    scene: Scene, before: list[Rehearsed], after: list[Rehearsed], tags: Array
) -> tuple[Flows, Fates, tuple[Flow, ...]]:
    """How many flows fare how, and the traffic of those that no connection is known of."""
    counts: Counter[str] = Counter()
    fates: Counter[str] = Counter()
    traffic: list[Flow] = []
    for place, (now, then) in enumerate(zip(before, after, strict=True)):
        reviewed = _has_tag(now, tags)
        counts.update(_groups(now.there, then.there, reviewed))
        found = _traffic(now.there, then.there, reviewed)
        for fate, group in found.items():
            fates[fate] += int(group.sum())
            for index in np.flatnonzero(group)[:MOST_TOLD]:
                traffic.append(_flow(scene, place, int(index), now, then, fate))
    return Flows(**counts), Fates(**fates), tuple(traffic)


def _groups(now: Array, then: Array, reviewed: Array) -> dict[str, int]:
    """How many flows fare how; see `Flows`."""
    sure = _is_sure(then)
    same = now["actions"] == then["actions"]
    was, will = now["kind"] == FORWARD, then["kind"] == FORWARD
    groups = {
        "removed": ~sure,
        "dropping": sure & was & ~will,
        "opened": sure & ~was & will,
        "rewritten": sure & was & will & ~same,
        "kept": sure & (was == will) & (same | ~was),
    }
    found = {name: int((group & reviewed).sum()) for name, group in groups.items()}
    return {"installed": len(now), "reviewed": int(reviewed.sum()), **found}


def _traffic(now: Array, then: Array, reviewed: Array) -> dict[Fate, Array]:
    """Which flows say of what has no connection that it would fare otherwise."""
    stateless = reviewed & (now["kind"] == FORWARD) & (now["n_used"] == 0)
    lost = stateless & (then["is_told"] != 0) & (then["kind"] != FORWARD)
    moved = (now["port"] != then["port"]) | (now["host"] != then["host"])
    return {
        "cut": lost & (then["kind"] != AWAIT),
        "rerouted": stateless & _is_sure(then) & (then["kind"] == FORWARD) & moved,
        "waits": lost & (then["kind"] == AWAIT),
    }


def _is_sure(then: Array) -> Array:
    """Whether the flow says enough to be kept, whatever it does then."""
    return np.asarray((then["is_told"] != 0) & (then["is_cacheable"] != 0))


def _has_tag(rehearsed: Rehearsed, tags: Array) -> Array:
    """Which of the flows depended on something that changes."""
    numbers = rehearsed.there["n_tags"]
    hits = np.isin(rehearsed.tags, tags)
    sums = np.concatenate(([0], np.cumsum(hits)))
    ends = np.cumsum(numbers)
    return np.asarray(sums[ends] > sums[ends - numbers])


def _flow(
    scene: Scene, place: int, index: int, now: Rehearsed, then: Rehearsed, fate: Fate
) -> Flow:
    flows = scene.flows[place]
    key, mask = flows.keys[index], flows.masks[index]
    was, will = now.there[index], then.there[index]
    probe = as_packet(key, place)
    verdict = Teller(scene).there(probe)
    reason = new_way(scene, was, will) if fate == "rerouted" else reason_of(verdict)
    port = scene.names.ports[key["in_port"]]
    return Flow(fate, scene.hosts[place], port, _match(key, mask), reason, verdict.steps)


def _match(key: np.void, mask: np.void) -> dict[str, str]:
    """The fields that people ask about."""
    found = match_of(key, mask)
    return {
        name: str(value) if _is_whole(bits) else f"{value}/{bits}"
        for name, (value, bits) in found.items()
        if name not in ("in_port", "eth_type", "ip_frag")
    }


def _is_whole(bits: int | str) -> bool:
    if isinstance(bits, int):
        return bits in (0xFF, 0xFFFF)
    return set(bits) <= set("f:") or bits == "255.255.255.255"
