"""What becomes of installed flows, and of the traffic that is known by nothing else."""

from __future__ import annotations

import numpy as np

from onehop.controller.plan.conversations import FORWARD, as_packet
from onehop.controller.plan.findings import Fate, Flow, Flows
from onehop.controller.plan.scene import Scene
from onehop.controller.plan.telling import MOST_TOLD, Teller, new_way, reason_of
from onehop.engine.rehearsal import KINDS, Array, Rehearsed, match_of

AWAIT = KINDS.index("await")


def judge(
    scene: Scene,
    before: list[Rehearsed],
    after: list[Rehearsed],
    tags: Array,
    teller: Teller,
) -> tuple[Flows, tuple[Flow, ...]]:
    counts: dict[str, int] = dict.fromkeys(
        ("installed", "reviewed", "kept", "rewritten", "dropping", "opened", "removed"), 0
    )
    traffic: list[Flow] = []
    for place, (now, then) in enumerate(zip(before, after, strict=True)):
        reviewed = _has_tag(now, tags)
        sure = (then.there["is_told"] != 0) & (then.there["is_cacheable"] != 0)
        same = now.there["actions"] == then.there["actions"]
        was, will = now.there["kind"] == FORWARD, then.there["kind"] == FORWARD
        groups = {
            "removed": ~sure,
            "dropping": sure & was & ~will,
            "opened": sure & ~was & will,
            "rewritten": sure & was & will & ~same,
            "kept": sure & (was == will) & (same | ~was),
        }
        counts["installed"] += len(now.there)
        counts["reviewed"] += int(reviewed.sum())
        for name, group in groups.items():
            counts[name] += int((group & reviewed).sum())
        stateless = reviewed & was & (now.there["n_used"] == 0)
        told = then.there["is_told"] != 0
        lost = stateless & told & ~will
        moved = stateless & sure & will & (
            (now.there["port"] != then.there["port"]) | (now.there["host"] != then.there["host"])
        )  # fmt: skip
        for index in np.flatnonzero(lost | moved)[: MOST_TOLD - len(traffic)]:
            traffic.append(_flow(scene, place, int(index), now, then))
    return Flows(**counts), tuple(traffic)


def _has_tag(rehearsed: Rehearsed, tags: Array) -> Array:
    """Which of the flows depended on something that changes."""
    numbers = rehearsed.there["n_tags"]
    hits = np.isin(rehearsed.tags, tags)
    sums = np.concatenate(([0], np.cumsum(hits)))
    ends = np.cumsum(numbers)
    return np.asarray(sums[ends] > sums[ends - numbers])


def _flow(scene: Scene, place: int, index: int, now: Rehearsed, then: Rehearsed) -> Flow:
    flows = scene.flows[place]
    key, mask = flows.keys[index], flows.masks[index]
    was, will = now.there[index], then.there[index]
    fate: Fate = "rerouted" if will["kind"] == FORWARD else "cut"
    if will["kind"] == AWAIT:
        fate = "waits"
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
