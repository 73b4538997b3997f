"""What this host has learned, and forgets when nobody uses it any more.

1. A learned MAC is forgotten `MAC_NS` after its last flow is gone, a neighbor `NEIGHBOR_NS` after.
2. Only what this host wrote is forgotten here; what it finds of its own when it starts counts as
   used then.
"""

from __future__ import annotations

from collections.abc import Callable

from onehop.controller.agent.desired import Snapshot
from onehop.engine.model import LearnedMac, Neighbor, Resource

MAC_NS = 15_000_000_000
NEIGHBOR_NS = 300_000_000_000
SWEEP_NS = 5_000_000_000
LIVES = {LearnedMac.KIND: MAC_NS, Neighbor.KIND: NEIGHBOR_NS}

Ident = tuple[str, str]  # kind and name


class Ageing:
    """When this host's rows were last in use."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._used_ns: dict[Ident, int] = {}
        self._next_ns = 0

    def sweep(
        self, snapshot: Snapshot, in_use: Callable[[Resource], bool], now_ns: int
    ) -> list[Ident]:
        """The rows to forget now."""
        if now_ns < self._next_ns:
            return []
        self._next_ns = now_ns + SWEEP_NS
        used_ns: dict[Ident, int] = {}
        for kind in LIVES:
            for name, row in snapshot.get(kind, {}).items():
                if getattr(row, "host", "") == self._host:
                    before_ns = self._used_ns.get((kind, name), now_ns)
                    used_ns[kind, name] = now_ns if in_use(row) else before_ns
        self._used_ns = used_ns
        return [ident for ident, ns in used_ns.items() if now_ns - ns > LIVES[ident[0]]]
