"""What the engine asks its caller to do besides sending packets: rare, so plain Python."""

from __future__ import annotations

import msgspec


class MacLearned(msgspec.Struct, frozen=True):
    """A bridge saw a source MAC at a port of this host (or at another port than before)."""

    bridge: str
    vlan: int
    mac: str
    port: str


class NeighborLearned(msgspec.Struct, frozen=True):
    """A router port saw the MAC of an address on its link."""

    port: str
    address: str
    mac: str


class NeighborWanted(msgspec.Struct, frozen=True):
    """A packet waits for the MAC of its next hop; the request is among the packets to send."""

    port: str  # the router port whose link the next hop is on
    address: str
    packet: bytes  # as it came
    in_port: str  # the virtual port where it came


class PacketRefused(msgspec.Struct, frozen=True):
    """A packet worth telling people about: a loop, or more than the port's share."""

    port: str
    reason: str


Effect = MacLearned | NeighborLearned | NeighborWanted | PacketRefused
