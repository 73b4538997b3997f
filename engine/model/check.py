"""Every rule that holds between the resources of a topology."""

from __future__ import annotations

from collections.abc import Container

from onehop.engine.model.resources import Problem, Topology


def check(topology: Topology, *, unread: Container[tuple[str, str]] = ()) -> list[Problem]:
    return []
