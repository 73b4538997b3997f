"""Every problem of a whole topology, and every new one of a change to a sound topology.

1. All problems are found in one go; one mistake is reported once.  So what is wrong by itself
   is kept from the rules that compare (a `View` holds only what is sound), and a reference to
   something that is there but wrong does not dangle.
2. The rules that compare resources are the functions of `rules.RULES`; each takes the view.
3. `check_change` finds what `check` would find after the change, at a cost that follows the
   change: the same rules look at what is near to it (`nearby`) and at nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from onehop.engine.model.index import Ident, Index
from onehop.engine.model.nearby import Nearby
from onehop.engine.model.resources import Problem, Resource, Topology
from onehop.engine.model.rules import RULES
from onehop.engine.model.values import field_problems, references
from onehop.engine.model.view import View

DEVICES = ("bridge", "router")  # share one name space


class Unread(NamedTuple):
    """What was stated so that no resource could be made of it."""

    problems: tuple[Problem, ...] = ()  # why
    idents: frozenset[Ident] = frozenset()  # whose names do not dangle


def check(topology: Topology, *, unread: Container[Ident] = ()) -> list[Problem]:
    """Find what is wrong with `topology`; `unread` was stated, but is not in it."""
    problems, sound = _check_fields(topology)
    problems += _check_names(topology)
    stated = {(resource.KIND, resource.name): resource for resource in topology}
    astray = list(_check_references(topology, stated, unread))
    return _each_once([*problems, *astray, *_beside(astray, _check_rules(sound))])


def check_change(
    index: Index,
    put: Collection[Resource],
    remove: Collection[Ident],
    *,
    unread: Container[Ident] = (),
) -> list[Problem]:
    """Find what would be wrong with what `index` holds, which is sound, after a change.

    No two resources that are put have the same kind and name; the index stays as it is.  `unread`
    was stated as well, but is not among what is put.
    """
    problems, sound = _check_fields(put)
    after: dict[Ident, Resource | None] = dict.fromkeys(remove)
    after |= {(resource.KIND, resource.name): resource for resource in put}
    before = {ident: index.get(ident) for ident in after}
    known = {(resource.KIND, resource.name) for resource in sound}
    seen = {ident: resource if ident in known else None for ident, resource in after.items()}

    concerned = set(_touched(index, before, seen))
    _turn(index, after, known)
    try:
        concerned |= set(_touched(index, seen, before))
        nearby = Nearby(index)
        concerned |= set(nearby.of_ports(list(concerned)))
        near = index.oldest((concerned | set(nearby.context(concerned))) - after.keys())
        looked_at = Topology.of([index[ident] for ident in near] + list(put))
        problems += _check_names(looked_at)
        astray = list(_check_references(looked_at, index, unread))
        wrong = {(resource.KIND, resource.name) for resource in put} - known
        found = _check_rules(r for r in looked_at if (r.KIND, r.name) not in wrong)
        problems += [*astray, *_beside(astray, found)]
    finally:
        _turn(index, before, before)
    return [p for p in _each_once(problems) if (p.kind, p.name) in concerned]


def _beside(astray: list[Problem], found: Iterator[Problem]) -> Iterator[Problem]:
    """What rules say of fields that name what may be named; of others it would tell too much."""
    fields = {problem[:3] for problem in astray}
    return (problem for problem in found if problem[:3] not in fields)


def _each_once(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


State = Mapping[Ident, Resource | None]


def _touched(index: Index, now: State, other: State) -> Iterator[Ident]:
    """What it may concern that `now`, which `index` holds, becomes `other` or was it."""
    nearby = Nearby(index)
    for ident, resource in now.items():
        if resource is not None:
            yield from nearby.touched(resource, other[ident])
    yield from now


def _turn(index: Index, state: State, sound: Container[Ident]) -> None:
    """Let `index` hold `state`."""
    for ident, resource in state.items():
        if resource is None:
            index.remove(ident)
        else:
            index.put(resource, sound=ident in sound)


def _check_fields(resources: Iterable[Resource]) -> tuple[list[Problem], list[Resource]]:
    problems: list[Problem] = []
    sound: list[Resource] = []
    for resource in resources:
        found = list(field_problems(resource))
        problems += found
        if not found:
            sound.append(resource)
    return problems, sound


def _check_names(topology: Topology) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for resource in topology:
        if (resource.KIND, resource.name) in seen:
            reason = "there is another one of this name"
            yield Problem(resource.KIND, resource.name, "name", reason)
        seen.add((resource.KIND, resource.name))
    for router in topology.routers:
        if ("bridge", router.name) in seen:
            reason = "there is a bridge of this name; bridges and routers share their names"
            yield Problem("router", router.name, "name", reason)


def _check_references(
    topology: Topology, stated: Mapping[Ident, Resource], unread: Container[Ident] = ()
) -> Iterator[Problem]:
    for resource in topology:
        tenant: str = getattr(resource, "tenant", "")
        for reference in references(resource):
            idents = [(kind, reference.name) for kind in reference.kinds]
            named = [stated[ident] for ident in idents if ident in stated]
            if any(reference.allows(tenant, one) for one in named):
                continue
            if not any(ident in unread for ident in idents):
                reason = f"there is no {' or '.join(reference.kinds)} {reference.name!r}"
                reason += f" that tenant {tenant!r} may use" if tenant else ""
                yield Problem(resource.KIND, resource.name, reference.field, reason)


def _check_rules(sound: Iterable[Resource]) -> Iterator[Problem]:
    view = View(sound)
    for rule in RULES:
        yield from rule(view)
