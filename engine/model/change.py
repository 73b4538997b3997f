"""The difference between two topologies."""

from __future__ import annotations

from collections.abc import Iterable

from onehop.engine.model.resources import Resource


def diff(
    old: Iterable[Resource], new: Iterable[Resource]
) -> tuple[list[Resource], list[tuple[str, str]]]:
    """What to put, and which (kind, name) to remove, to get from `old` to `new`.

    In `new`'s order what is to be put, and in the reverse of `old`'s order what is to be removed:
    with topologies, nothing is put before, or removed after, what it refers to.
    """
    before = {(resource.KIND, resource.name): resource for resource in old}
    after = {(resource.KIND, resource.name): resource for resource in new}
    put = [resource for ident, resource in after.items() if before.get(ident) != resource]
    return put, [ident for ident in reversed(before) if ident not in after]
