"""How the members of pools are, as users see it, from what the monitors' hosts found out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from onehop.controller.objects import plain
from onehop.controller.store.client import Held
from onehop.engine.model import MemberStatus, Pool, PoolMember, Resource


class Health(msgspec.Struct, frozen=True):
    """How a member is."""

    state: Literal["healthy", "unhealthy", "unknown", "not monitored"]
    since_s: float | None = None  # seconds since the epoch
    reason: str = ""  # why not healthy
    host: str = ""  # who found out

    @property
    def since(self) -> str:
        if self.since_s is None:
            return ""
        return datetime.fromtimestamp(self.since_s, UTC).isoformat(timespec="seconds")

    def __str__(self) -> str:
        said = f"{self.state} since {self.since}" if self.since else self.state
        return f"{said}: {self.reason}" if self.reason else said


def health(resource: Resource, held: Held) -> Health | None:
    """How a member is; None of what is none."""
    if not isinstance(resource, PoolMember):
        return None
    pool = held.get((Pool.KIND, resource.pool))
    status = held.get((MemberStatus.KIND, resource.name))
    if not isinstance(pool, Pool) or pool.monitor is None:
        return Health("not monitored")
    if not isinstance(status, MemberStatus):
        return Health("unknown")
    state: Literal["healthy", "unhealthy"] = "healthy" if status.healthy else "unhealthy"
    return Health(state, status.since_s, status.reason, status.host)


def with_health(resource: Resource, held: Held) -> dict[str, Any]:
    """Everything that is said about a resource, and how it is where that is known."""
    found = health(resource, held)
    return plain(resource) | ({} if found is None else {"health": msgspec.to_builtins(found)})
