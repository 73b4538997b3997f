"""Connections in plain Python: who spoke first, who is answering, and what is translated.

1. Written from behaviour.md.  A connection is that of one zone: the port, bridge or router whose
   filter asks; every zone remembers for itself.
2. A connection begins only where a filter asks about it, and only if the packet is forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from filters import FORWARD, RETURN
from frames import ICMP, ICMPV6, SCTP, TCP, UDP, Address, Frame, Ip

ECHOES = {ICMP: (8, 0), ICMPV6: (128, 129)}
ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: range(1, 128)}
FIN, SYN, RST, ACK = 1, 2, 4, 16


class Key(NamedTuple):
    """One direction of a connection as its zone sees it."""

    zone: str
    proto: int
    src: Address
    sport: int
    dst: Address
    dport: int

    @property
    def back(self) -> Key:
        return Key(self.zone, self.proto, self.dst, self.dport, self.src, self.sport)


class Translation(NamedTuple):
    """What the packets of a connection are before and after it, at the zone of a device.

    Its answers come as `after.back` and become `before.back`.
    """

    kind: str  # snat, dnat, hairpin, vip
    before: Key
    after: Key

    @property
    def is_of_source(self) -> bool:
        return self.kind in ("snat", "hairpin")


@dataclass
class Notes:
    """The translations that are known, and where sources with affinity went."""

    known: set[Translation] = field(default_factory=set)
    went: dict[tuple[str, Key], str] = field(default_factory=dict)  # VIP, source -> member

    def add(self, others: Notes) -> None:
        self.known |= others.known
        self.went |= others.went

    def clear(self) -> None:
        self.known.clear()
        self.went.clear()


@dataclass
class Memory:
    """Every connection that is known."""

    known: set[Key] = field(default_factory=set)
    notes: Notes = field(default_factory=Notes)

    def direction(self, zone: str, frame: Frame, fresh: set[Key]) -> str | None:
        """FORWARD or RETURN; adds to `fresh` what begins here."""
        ip = frame.body
        if not isinstance(ip, Ip):
            return None
        known = self.known | fresh
        if about := embedded(zone, ip):
            return RETURN if about in known else FORWARD if about.back in known else None
        key = key_of(zone, ip)
        if key is None:
            return None
        if key in known:
            return FORWARD
        if key.back in known:
            return RETURN
        if not may_begin(ip):
            return None
        fresh.add(key)
        return FORWARD


def key_of(zone: str, ip: Ip) -> Key | None:
    """None: a packet that belongs to no connection."""
    if ip.is_later_fragment:
        return None
    return _key(zone, ip.version, ip.proto, ip.payload, ip.src, ip.dst)


def _key(
    zone: str, version: int, proto: int, payload: bytes, src: Address, dst: Address
) -> Key | None:
    if proto in (TCP, UDP, SCTP) and len(payload) >= 4:
        sport, dport = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
        return Key(zone, proto, src, sport, dst, dport)
    if proto in (TCP, UDP, SCTP):
        return None
    if proto != {4: ICMP, 6: ICMPV6}[version]:
        return Key(zone, proto, src, 0, dst, 0)
    if len(payload) < 8 or payload[0] not in ECHOES[proto]:
        return None
    number = int.from_bytes(payload[4:6], "big")
    return Key(zone, proto, src, number, dst, number)


def embedded(zone: str, ip: Ip) -> Key | None:
    """The connection that an ICMP error is about, as its packet was."""
    if ip.is_later_fragment or ip.proto != {4: ICMP, 6: ICMPV6}[ip.version] or len(ip.payload) < 8:
        return None
    if ip.payload[0] not in ERRORS[ip.proto]:
        return None
    raw = ip.payload[8:]
    head = {4: (raw[0] & 15) * 4 if raw else 0, 6: 40}[ip.version]
    if len(raw) < max(head, {4: 20, 6: 40}[ip.version]) or raw[0] >> 4 != ip.version:
        return None
    size, proto = (4, raw[9]) if ip.version == 4 else (16, raw[6])
    at = 12 if ip.version == 4 else 8
    kind = type(ip.src)
    src, dst = kind(raw[at : at + size]), kind(raw[at + size : at + 2 * size])
    return _key(zone, ip.version, proto, raw[head:], src, dst)


def may_begin(ip: Ip) -> bool:
    """A TCP packet that only ends a connection begins none."""
    if ip.proto != TCP:
        return True
    return len(ip.payload) < 14 or not ip.payload[13] & (RST | FIN)
