"""Translations in plain Python: rules, floating IPs, hairpin, and errors about what they wrote.

Written from behaviour.md and docs/nat.md; nothing here was taken from the engine.

1. Which port or target a new one gets is a choice; none that makes two connections look the same
   to their answers. What a packet's verdict begins counts at once, and for others if forwarded.
2. An ICMP error is treated as an answer to the packet that it quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import Any

import frames
from connections import ECHOES, ERRORS, Key, Notes, Translation, embedded, key_of
from frames import ICMP, ICMPV6, SCTP, TCP, UDP, Address, Frame, Ip
from world import World

from onehop.engine import model

WITH_PORTS = (TCP, UDP, SCTP)
FREE_PORTS = (1024, 65535)  # of a target that states none
CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}


class RefusedError(Exception):
    """Nothing is left to translate the packet to."""


class ImpossibleError(Exception):
    """Nothing tells the packet's connection: it is dropped."""


# Packets


def with_ends(ip: Ip, ends: Key) -> Ip:
    """The same packet with other ends; its checksum is updated, not computed (RFC 1624)."""
    new = replace(ip, src=ends.src, dst=ends.dst)
    if ip.is_later_fragment:
        return new
    payload = ip.payload
    if ip.proto in WITH_PORTS:
        payload = ends.sport.to_bytes(2, "big") + ends.dport.to_bytes(2, "big") + payload[4:]
    elif ip.proto in (ICMP, ICMPV6) and payload[0] in ECHOES[ip.proto]:
        payload = payload[:4] + ends.sport.to_bytes(2, "big") + payload[6:]
    return _resummed(ip, replace(new, payload=payload))


def _resummed(old: Ip, new: Ip) -> Ip:
    at = CHECKSUM_AT.get(old.proto)
    stated = b"" if at is None else old.payload[at : at + 2]
    if len(stated) < 2 or (old.proto == UDP and stated == b"\0\0"):
        return new
    total = ~int.from_bytes(stated, "big") & 0xFFFF
    total += sum(~word & 0xFFFF for word in _summed_words(old)) + sum(_summed_words(new))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    found = ~total & 0xFFFF
    found = 0xFFFF if found == 0 and old.proto == UDP else found
    payload = new.payload[:at] + found.to_bytes(2, "big") + new.payload[at + 2 :]
    return replace(new, payload=payload)


def _summed_words(ip: Ip) -> Iterator[int]:
    """What a translation may change of what a checksum covers."""
    data = ip.payload[:4] if ip.proto in WITH_PORTS else ip.payload[4:6]
    data += b"" if ip.proto == ICMP else ip.src.packed + ip.dst.packed
    yield from (int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2))


def is_error(ip: Ip) -> bool:
    if ip.is_later_fragment or ip.proto != {4: ICMP, 6: ICMPV6}[ip.version]:
        return False
    return ip.payload[0] in ERRORS[ip.proto]


def quoted(ip: Ip) -> Ip | None:
    """The packet that an ICMP error is about, as far as it is quoted; None: nothing tells."""
    if not is_error(ip) or len(ip.payload) < 8:
        return None
    raw = ip.payload[8:]
    head = {4: (raw[0] & 15) * 4 if raw else 0, 6: 40}[ip.version]
    if len(raw) < max(head, {4: 20, 6: 40}[ip.version]) or raw[0] >> 4 != ip.version:
        return None
    size, at, proto = (4, 12, raw[9]) if ip.version == 4 else (16, 8, raw[6])
    ends = [ip_address(raw[at + n : at + n + size]) for n in (0, size)]
    return Ip(ends[0], ends[1], proto, raw[head:])


def with_quoted(ip: Ip, ends: Key) -> Ip:
    """The error about the packet as it would be with these ends."""
    raw = ip.payload[8:]
    head = (raw[0] & 15) * 4 if ip.version == 4 else 40
    inner = quoted(ip)
    assert inner is not None
    new = with_ends(inner, ends)
    size, at = (4, 12) if ip.version == 4 else (16, 8)
    ip_head = bytearray(raw[:head])
    ip_head[at : at + 2 * size] = new.src.packed + new.dst.packed
    if ip.version == 4:
        ip_head[10:12] = b"\0\0"
        ip_head[10:12] = frames.checksum(bytes(ip_head)).to_bytes(2, "big")
    payload = ip.payload[:8] + bytes(ip_head) + new.payload
    return frames.with_checksum(replace(ip, payload=payload), 2)


# What a device does


class Translator:
    """What one packet meets; `made` is what it begins."""

    def __init__(
        self, world: World, notes: Notes, made: Notes, choose: Callable[[Sequence[Any]], Any]
    ) -> None:
        self.world, self.notes, self.made, self.choose = world, notes, made, choose
        self.host: str | None = None  # where the packet came into the network
        self.is_crafted = False
        self.diverted = ""  # how this router translated the destination: there, back, answered

    def find(self, kinds: tuple[str, ...], ends: Key, *, back: bool) -> Any:
        for one in (*self.made.known, *self.notes.known):
            seen = one.after.back if back else one.before
            if one.kind in kinds and seen == ends:
                return one
        return None

    def begin(self, one: Translation) -> None:
        self.made.known.add(one)

    def is_free(self, is_of_source: bool, after: Key) -> bool:
        return not any(
            one.is_of_source == is_of_source and one.after == after
            for one in (*self.made.known, *self.notes.known)
        )

    # Rules

    def obey(
        self, rule: model.Rule, device: str, frame: Frame, out_port: str | None
    ) -> Frame | None:
        """The packet as the rule makes it; None: it is passed over."""
        ip = frame.body
        if not isinstance(ip, Ip) or is_error(ip):
            return None
        if rule.action == "reverse_snat":
            return self.back(device, ("snat",), frame)
        if rule.action == "reverse_dnat":
            return self.back(device, ("dnat",), frame)
        if rule.action == "snat":
            return self._snat(rule, device, frame, out_port)
        return self._dnat(rule, device, frame)

    def back(self, device: str, kinds: tuple[str, ...], frame: Frame) -> Frame | None:
        ends = key_of(device, frame.body)
        one = ends and self.find(kinds, ends, back=True)
        return one and replace(frame, body=with_ends(frame.body, one.before.back))

    def _snat(
        self, rule: model.Rule, device: str, frame: Frame, out_port: str | None
    ) -> Frame | None:
        ip = frame.body
        targets = [t for t in rule.targets if ip_address(t.first_address).version == ip.version]
        if self.speaks_for(device, ip.src, out_port) or not targets:
            return None
        return self.source(device, "snat", frame, targets)

    def speaks_for(self, device: str, source: Address, out_port: str | None) -> bool:
        """Whether a floating IP stands for the source or is it, or a VIP answers."""
        if self.diverted == "answered" or self.fixed(device, source) is not None:
            return True
        floating, out = self.floating(device, source), self.world.port(out_port or "")
        return (
            floating is not None
            and out is not None
            and (bool(self.diverted) or self.is_outside(out, floating))
        )

    def source(
        self, device: str, kind: str, frame: Frame, targets: Sequence[model.NatTarget]
    ) -> Frame | None:
        ip, ends = frame.body, key_of(device, frame.body)
        if ends is None:
            if ip.is_later_fragment:
                raise ImpossibleError
            return None
        if one := self.find((kind,), ends, back=False):
            return replace(frame, body=with_ends(ip, one.after))
        if ip.proto not in (*WITH_PORTS, ICMP, ICMPV6):
            raise ImpossibleError
        if self.is_crafted:
            return None
        options = [_from(ends, *pair) for pair in self._leased(targets)]
        options = [after for after in options if self.is_free(True, after)]
        if not options:
            raise RefusedError
        after = self.choose(options)
        self.begin(Translation(kind, ends, after))
        return replace(frame, body=with_ends(ip, after))

    def _leased(self, targets: Sequence[model.NatTarget]) -> list[tuple[Address, int]]:
        """The ports of the targets that the packet's host has."""
        found = {}
        for block in self.world.all(model.NatBlock):
            for target in targets if block.host == self.host else ():
                for port in range(block.first_port, block.first_port + block.n_ports):
                    if _has(target, ip_address(block.address), port):
                        found[ip_address(block.address), port] = None
        return list(found)

    def _dnat(self, rule: model.Rule, device: str, frame: Frame) -> Frame | None:
        ip, ends = frame.body, key_of(device, frame.body)
        targets = [t for t in rule.targets if ip_address(t.first_address).version == ip.version]
        if not targets:
            return None
        if ends is None:
            if ip.is_later_fragment:
                raise ImpossibleError
            return None
        if one := self.find(("dnat",), ends, back=False):
            return replace(frame, body=with_ends(ip, one.after))
        if self.is_crafted:
            return None
        options = [
            after
            for target in targets
            for after in _towards(ends, target)
            if self.is_free(False, after)
        ]
        if not options:
            raise RefusedError
        after = self.choose(list(dict.fromkeys(options)))
        self.begin(Translation("dnat", ends, after))
        return replace(frame, body=with_ends(ip, after))

    def error(self, device: str, kinds: Sequence[tuple[str, bool]], frame: Frame) -> Frame | None:
        """An ICMP error about a connection that is translated here: (kind, is it an answer)."""
        ip = frame.body
        ends = embedded(device, ip) if isinstance(ip, Ip) else None
        for kind, back in kinds if ends else ():
            if one := self.find((kind,), ends.back, back=back):
                seen = one.before.back if back else one.after
                other = {"src": seen.src} if one.is_of_source != back else {"dst": seen.dst}
                ip = replace(with_quoted(ip, seen.back), **other)
                return replace(frame, body=frames.with_checksum(ip, 2))
        return None

    # Floating IPs

    def fixed(self, router: str, address: Address) -> Address | None:
        """Whose floating IP it is."""
        return next((f for a, f in self._floating(router) if a == address), None)

    def floating(self, router: str, address: Address) -> Address | None:
        return next((a for a, f in self._floating(router) if f == address), None)

    def _floating(self, router: str) -> Iterator[tuple[Address, Address]]:
        for row in self.world.all(model.FloatingIp):
            if row.router == router:
                yield ip_address(row.address), ip_address(row.fixed_address)

    def arrive(self, router: str, frame: Frame) -> Frame | None:
        """The destination becomes the machine's; None: it is no floating IP."""
        ip = frame.body
        fixed = self.fixed(router, ip.dst)
        if fixed is None:
            return None
        ends = embedded(router, ip)
        if ends and ends.src == ip.dst:
            ip = with_quoted(ip, ends._replace(src=fixed))
        return replace(frame, body=moved(ip, dst=fixed))

    def depart(self, router: str, out: model.Port, frame: Frame) -> Frame:
        """The source becomes the floating IP, or comes back this way (hairpin)."""
        frame = self._depart_quoted(router, out, frame)
        ip = frame.body
        floating = self.floating(router, ip.src)
        if floating is not None:
            is_meant = self.diverted or self.is_outside(out, floating)
            return replace(frame, body=moved(ip, src=floating)) if is_meant else frame
        if self.diverted != "there" or not self.world.on_link(out, ip.src):
            return frame
        own = next(a.ip for a in map(ip_interface, out.addresses) if a.version == ip.version)
        if is_error(ip):
            return self.error(router, (("hairpin", False),), frame) or frame
        target = model.NatTarget(first_address=str(own))
        return self.source(router, "hairpin", frame, [target]) or frame

    def _depart_quoted(self, router: str, out: model.Port, frame: Frame) -> Frame:
        ip = frame.body
        ends = embedded(router, ip)
        floating = ends and self.floating(router, ends.dst)
        if not floating or not (self.diverted or self.is_outside(out, floating)):
            return frame
        return replace(frame, body=with_quoted(ip, ends._replace(dst=floating)))

    def is_outside(self, out: model.Port, floating: Address) -> bool:
        peer = self.world.peer(out)
        is_tenants = peer is not None and self.world.bridge(peer) is not None
        return not is_tenants or self.world.on_link(out, floating)

    def come_back(self, router: str, frame: Frame) -> Frame | None:
        """The answer of a hairpin; errors about one too."""
        return self.error(router, (("hairpin", True),), frame) or self.back(
            router, ("hairpin",), frame
        )


def moved(ip: Ip, *, src: Address | None = None, dst: Address | None = None) -> Ip:
    """The same packet from or to another address."""
    new = replace(ip, src=src or ip.src, dst=dst or ip.dst)
    return new if ip.is_later_fragment else _resummed(ip, new)


def _from(ends: Key, address: Address, port: int) -> Key:
    is_echo = ends.proto in (ICMP, ICMPV6)
    return ends._replace(src=address, sport=port, dport=port if is_echo else ends.dport)


def _towards(ends: Key, target: model.NatTarget) -> Iterator[Key]:
    first, last = _range(target)
    has_ports = ends.proto in WITH_PORTS and target.first_port is not None
    ports = range(target.first_port or 0, (target.last_port or target.first_port or 0) + 1)
    for number in range(int(first), int(last) + 1):
        for port in ports if has_ports else (ends.dport,):
            yield ends._replace(dst=type(first)(number), dport=port)


def _range(target: model.NatTarget) -> tuple[Address, Address]:
    first = ip_address(target.first_address)
    return first, ip_address(target.last_address or target.first_address)


def _has(target: model.NatTarget, address: Address, port: int) -> bool:
    first, last = _range(target)
    ports = FREE_PORTS
    if target.first_port is not None:
        ports = target.first_port, target.last_port or target.first_port
    is_there = first.version == address.version and first <= address <= last
    return is_there and ports[0] <= port <= ports[1]
