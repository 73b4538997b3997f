"""What the rules share.  A rule takes a `View` and yields what breaks it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from onehop.engine.model.resources import Problem, Resource

Problems = Iterator[Problem]


def wrong(resource: Resource, field: str, reason: str) -> Problem:
    return Problem(resource.KIND, resource.name, field, reason)


def unique(
    claims: Iterable[tuple[Hashable, Resource, str, str]],
) -> Problems:
    """Each claim: the key that only one may have, who claims it, in which field, in words."""
    owners: dict[Hashable, Resource] = {}
    for key, resource, field, words in claims:
        owner = owners.setdefault(key, resource)
        if owner is not resource:
            yield wrong(resource, field, f"{words} is already that of {owner.KIND} {owner.name!r}")
