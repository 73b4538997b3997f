"""What a change would do to what is live: everything is walked before it and after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onehop.controller.agent.rows import weighted
from onehop.controller.plan import connections, conversations, flows, pairs
from onehop.controller.plan.findings import Change, Plan
from onehop.controller.plan.scene import Held, Live, Scene
from onehop.engine.model import STATE, Host, LearnedRoute, Resource
from onehop.engine.model.values import references
from onehop.engine.rehearsal import Array, Rehearsed

Ident = tuple[str, str]


def plan(
    held: Held,
    put: Sequence[Resource],
    remove: Sequence[Ident],
    live: Sequence[Live],
    silent: dict[str, str],
) -> Plan:
    """What it would do to put and remove these, where `live` is what the agents say."""
    changes, hosts = _changes(held, put, remove), tuple(one.host for one in live)
    if not changes:
        return Plan(changes=(), hosts=hosts, silent=silent)
    scene = Scene(held, live)
    talks = conversations.find(scene)
    asked = pairs.ask(scene, held, [*_held(held, put, remove), *put])
    before = _look(scene, talks.probes, asked.probes)
    gone = [(r.KIND, r.name) for r in held.values() if _is_about(r, set(remove))]
    follows = _consequences(held, put)
    tags = np.array(scene.topology.update([*put, *follows], [*remove, *gone]), np.uint64)
    after = _look(scene, talks.probes, asked.probes)
    fates, affected = connections.judge(scene, talks.probes, before[0], after[0])
    counts, traffic_fates, traffic = flows.judge(scene, before[2], after[2], tags)
    return Plan(
        changes=changes,
        hosts=hosts,
        silent=silent,
        connections=len(talks.probes),
        unplaced=talks.unplaced,
        fates=fates,
        affected=affected,
        flows=counts,
        traffic_fates=traffic_fates,
        traffic=traffic,
        pairs=pairs.judge(scene, asked, before[1], after[1]),
    )


def _look(
    scene: Scene, talks: Array, asked: Array
) -> tuple[Rehearsed, Rehearsed, list[Rehearsed]]:
    reviews = [scene.review(place) for place in range(len(scene.hosts))]
    return scene.rehearse(talks), scene.rehearse(asked), reviews


def _changes(held: Held, put: Sequence[Resource], remove: Sequence[Ident]) -> tuple[Change, ...]:
    found = [
        Change(r.KIND, r.name, "changed" if (r.KIND, r.name) in held else "added") for r in put
    ]
    return (*found, *(Change(kind, name, "removed") for kind, name in remove))


def _held(held: Held, put: Sequence[Resource], remove: Sequence[Ident]) -> list[Resource]:
    """What is changed, as it is now."""
    return [held[i] for i in (*((r.KIND, r.name) for r in put), *remove) if i in held]


def _consequences(held: Held, put: Sequence[Resource]) -> list[Resource]:
    """What gateways say of their routes when they are to be drained, or no longer."""
    hosts = {r.name: r.drain for r in put if isinstance(r, Host)}
    routes = {r.name: r for r in held.values() if isinstance(r, LearnedRoute) and r.host in hosts}
    return [
        row
        for drained in (True, False)
        for row in weighted(
            {n: r for n, r in routes.items() if hosts[r.host] == drained}, drained=drained
        ).values()
    ]


def _is_about(resource: Resource, removed: set[Ident]) -> bool:
    """Whether it is state about what is removed, and goes with it."""
    return isinstance(resource, STATE) and any(
        (kind, r.name) in removed for r in references(resource) for kind in r.kinds
    )
