"""Every problem of a whole topology.

1. All problems are found in one go; one mistake is reported once.  So what is wrong by itself
   is kept from the rules that compare (a `View` holds only what is sound), and a reference to
   something that is there but wrong does not dangle.
2. The rules that compare resources are the functions of `rules.RULES`; each takes the view.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from onehop.engine.model.resources import Problem, Resource, Topology
from onehop.engine.model.rules import RULES
from onehop.engine.model.values import field_problems, references
from onehop.engine.model.view import View

DEVICES = ("bridge", "router")  # share one name space


def check(
    topology: Topology,
    *,
    unread: Container[tuple[str, str]] = (),
    known: Mapping[tuple[str, str], Resource] = {},  # noqa: B006 (never changed)
) -> list[Problem]:
    """Find what is wrong with `topology`.

    `unread` names, as (kind, name), what was stated but is not in the topology; `known` has
    resources whose fields are sound: the very objects are not looked at again.
    """
    problems, sound = _check_fields(topology, known)
    problems += _check_names(topology)
    problems += _check_references(topology, unread)
    view = View(sound)
    for rule in RULES:
        problems += rule(view)
    return list(dict.fromkeys(problems))


def _check_fields(
    topology: Topology, known: Mapping[tuple[str, str], Resource]
) -> tuple[list[Problem], list[Resource]]:
    problems: list[Problem] = []
    sound: list[Resource] = []
    for resource in topology:
        if known.get((resource.KIND, resource.name)) is resource:
            sound.append(resource)
            continue
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


def _check_references(topology: Topology, unread: Container[tuple[str, str]]) -> Iterator[Problem]:
    stated = {(resource.KIND, resource.name) for resource in topology}
    for resource in topology:
        for reference in references(resource):
            idents = [(kind, reference.name) for kind in reference.kinds]
            if not any(ident in stated or ident in unread for ident in idents):
                reason = f"there is no {' or '.join(reference.kinds)} {reference.name!r}"
                yield Problem(resource.KIND, resource.name, reference.field, reason)
