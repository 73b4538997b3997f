"""Packets that wait for the MAC of their next hop.

1. The hot path has asked once when a packet comes here; `due` says when to ask again, and which
   packets have waited long enough.
2. Bounded: `NEIGHBORS` neighbors at most, each with `PER_NEIGHBOR` packets; the oldest packet of
   the same neighbor gives way, and a neighbor too many is not waited for.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from onehop.engine.effects import NeighborWanted

RETRY_NS = 1_000_000_000
TRIES = 3
PER_NEIGHBOR = 64
NEIGHBORS = 256

Where = tuple[str, str]  # the router port and the address that is wanted on its link


class Held(NamedTuple):
    """A packet as it came in."""

    packet: bytes
    in_port: str


class _Neighbor:
    def __init__(self, now_ns: int) -> None:
        self.packets: deque[Held] = deque(maxlen=PER_NEIGHBOR)
        self.asked = 1
        self.next_ns = now_ns + RETRY_NS


class Waiting:
    """The packets that wait, by the neighbor they wait for."""

    def __init__(self) -> None:
        self._neighbors: dict[Where, _Neighbor] = {}
        self.refused = 0  # packets that found no room

    def __len__(self) -> int:
        return sum(len(neighbor.packets) for neighbor in self._neighbors.values())

    def hold(self, wanted: NeighborWanted, now_ns: int) -> None:
        """Keep the packet until its neighbor is known."""
        where = (wanted.port, wanted.address)
        if where not in self._neighbors and len(self._neighbors) >= NEIGHBORS:
            self.refused += 1
            return
        neighbor = self._neighbors.setdefault(where, _Neighbor(now_ns))
        neighbor.packets.append(Held(wanted.packet, wanted.in_port))

    def release(self, port: str, address: str) -> list[Held]:
        """The neighbor is known: the packets that waited for it, in their order."""
        neighbor = self._neighbors.pop((port, address), None)
        return list(neighbor.packets) if neighbor else []

    def due(self, now_ns: int) -> tuple[list[Where], list[Held]]:
        """The neighbors to ask for again, and the packets to give up."""
        again: list[Where] = []
        given_up: list[Held] = []
        for where, neighbor in list(self._neighbors.items()):
            if now_ns < neighbor.next_ns:
                continue
            if neighbor.asked == TRIES:
                given_up += self.release(*where)
                continue
            neighbor.asked += 1
            neighbor.next_ns = now_ns + RETRY_NS
            again.append(where)
        return again, given_up
