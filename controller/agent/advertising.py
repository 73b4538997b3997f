"""When the machines on this host hear of their routers unasked.

1. At once when their port comes up here, and when the agent comes live: a machine that asked while
   nobody listened does not ask again.
2. Then again and again, so that a router is not given up; see docs/dhcp.md.
"""

from __future__ import annotations

from collections.abc import Iterable

EVERY_NS = 600_000_000_000


class Advertising:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._due_ns: dict[str, int] = {}  # by port

    def due(self, ports: Iterable[str], now_ns: int) -> list[str]:
        """Those of the `ports` here to advertise to now."""
        self._due_ns = {port: self._due_ns.get(port, now_ns) for port in ports}
        found = [port for port, at_ns in self._due_ns.items() if at_ns <= now_ns]
        self._due_ns |= dict.fromkeys(found, now_ns + EVERY_NS)
        return found
