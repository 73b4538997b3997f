"""Which host asks the members behind a router's VIPs.

1. The one that the store names does, nobody else, and it keeps the task while it lives.
2. Where there is none, or none that lives, the live host with the highest score for the router
   claims it: the same one, whoever computes it, and each host has its share of the routers.
   Where BFD watches the host that went, only those that it tells count: they know first.
3. A host lives that BFD does not miss and whose heartbeat was heard within `LIFE_NS`; `GRACE_NS`
   without one are forgiven when there is a new beginning.
4. Two hosts that cannot hear each other and both claim do so every `CALM_NS` at the most.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from hashlib import blake2b

from onehop.controller.agent.desired import Snapshot
from onehop.engine.model import Host, MonitorOwner

LIFE_NS = 50_000_000_000  # three heartbeats, and some more
GRACE_NS = 5_000_000_000
CALM_NS = 5_000_000_000


class Owners:
    """Who asks, as one host sees it."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._began_ns: int | None = None
        self._heard_ns: dict[str, int] = {}
        self._calm_ns: dict[str, tuple[str, int]] = {}  # router -> its owner, not before when

    def begin(self, now_ns: int) -> None:
        """The store is there, for the first time or again; what came before is too old."""
        self._began_ns = now_ns
        self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)

    def heard(self, host: str, now_ns: int) -> None:
        """A heartbeat has come."""
        self._heard_ns[host] = now_ns

    def claims(
        self,
        routers: Iterable[str],
        snapshot: Snapshot,
        missed: Container[str],
        gateways: Collection[str],
        now_ns: int,
    ) -> list[MonitorOwner]:
        """What this host takes over; BFD has waited for those `missed` in vain."""
        live = {h for h in snapshot.get(Host.KIND, {}) if self._lives(h, missed, now_ns)}
        found = []
        for router in routers:
            owner = owner_of(router, snapshot)
            calm = self._is_calm(router, owner, now_ns)
            if owner in live or not calm:
                continue
            if self._host == best(router, _informed(live, owner, gateways)):
                self._calm_ns[router] = (owner, now_ns + CALM_NS)
                found.append(MonitorOwner(host=self._host, router=router))
        return found

    def _lives(self, host: str, missed: Container[str], now_ns: int) -> bool:
        if host == self._host:
            return True
        heard_ns = self._heard_ns.get(host)
        if self._began_ns is None or host in missed:
            return False
        limit_ns = self._began_ns + GRACE_NS if heard_ns is None else heard_ns + LIFE_NS
        return now_ns < limit_ns

    def _is_calm(self, router: str, owner: str, now_ns: int) -> bool:
        """Whether the router has had this owner for long enough."""
        before, from_ns = self._calm_ns.get(router, ("", 0))
        if before != owner:
            from_ns = now_ns + CALM_NS
            self._calm_ns[router] = (owner, from_ns)
        return now_ns >= from_ns


def owner_of(router: str, snapshot: Snapshot) -> str:
    """The host that the store names, or ""."""
    row = snapshot.get(MonitorOwner.KIND, {}).get(router)
    return row.host if isinstance(row, MonitorOwner) else ""


def best(router: str, hosts: Iterable[str]) -> str:
    """Rendezvous hashing: when a host goes, only its own routers get another one."""
    return max(sorted(hosts), key=lambda host: _score(router, host), default="")


def _score(router: str, host: str) -> bytes:
    return blake2b(f"{router} {host}".encode(), digest_size=8).digest()


def _informed(live: set[str], gone: str, gateways: Collection[str]) -> set[str]:
    """Those that know at once that `gone` is; a pair with a gateway is watched by BFD."""
    watching = live if gone in gateways else live & set(gateways)
    return watching if gone and watching else live
