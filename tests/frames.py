"""Ethernet frames in plain, slow Python: the oracle's eyes and hands.

1. Written from the RFCs and from nothing in the engine; every checksum is computed afresh.
2. Values are frozen.  MACs are lower-case text, addresses are `ipaddress` objects.
3. `decode` answers ``None`` for what is no well-formed frame of a kind that the oracle judges.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

ETH_IPV4, ETH_ARP, ETH_VLAN, ETH_IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options (RFC 8200, section 4)
FRAGMENT = 44
RST, ACK = 4, 16  # TCP flags
NS, NA = 135, 136  # neighbor solicitation, advertisement
BROADCAST = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def is_group(mac: str) -> bool:
    return bool(int(mac[:2], 16) & 1)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Arp:
    op: int
    sha: str
    spa: IPv4Address
    tha: str
    tpa: IPv4Address

    def encode(self) -> bytes:
        head = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, self.op)
        sender = mac_bytes(self.sha) + self.spa.packed
        return head + sender + mac_bytes(self.tha) + self.tpa.packed


@dataclass(frozen=True)
class Ip:
    """An IPv4 or IPv6 packet; `options` are raw IPv4 options or a raw IPv6 extension chain."""

    src: Address
    dst: Address
    proto: int
    payload: bytes = b""
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    offset: int = 0  # in units of 8 bytes
    options: bytes = b""
    next_header: int = 0  # IPv6: what the fixed header states where `options` stand
    flow_label: int = 0

    @property
    def version(self) -> int:
        return self.src.version

    @property
    def is_later_fragment(self) -> bool:
        return self.offset > 0

    @property
    def is_fragment(self) -> bool:
        return self.more_fragments or self.offset > 0

    def encode(self) -> bytes:
        return self._encode4() if self.version == 4 else self._encode6()

    def _encode4(self) -> bytes:
        head_len = 20 + len(self.options)
        flags = self.dont_fragment << 14 | self.more_fragments << 13 | self.offset
        fields = (
            0x40 | head_len // 4, self.tos, head_len + len(self.payload), self.ident, flags,
            self.ttl, self.proto, 0, self.src.packed, self.dst.packed,
        )  # fmt: skip
        head = struct.pack("!BBHHHBBH4s4s", *fields) + self.options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + self.payload

    def _encode6(self) -> bytes:
        word = 6 << 28 | self.tos << 20 | self.flow_label
        first = self.next_header if self.options else self.proto
        size = len(self.options) + len(self.payload)
        head = struct.pack("!IHBB", word, size, first, self.ttl)
        return head + self.src.packed + self.dst.packed + self.options + self.payload

    def pseudo(self, size: int) -> bytes:
        ends = self.src.packed + self.dst.packed
        if self.version == 4:
            return ends + struct.pack("!BBH", 0, self.proto, size)
        return ends + struct.pack("!II", size, self.proto)


@dataclass(frozen=True)
class Frame:
    dst: str
    src: str
    eth_type: int
    body: Arp | Ip | bytes
    vlan: int | None = None  # the tag control information
    padding: bytes = b""

    def encode(self) -> bytes:
        tag = b"" if self.vlan is None else struct.pack("!HH", ETH_VLAN, self.vlan)
        body = self.body if isinstance(self.body, bytes) else self.body.encode()
        kind = struct.pack("!H", self.eth_type)
        return mac_bytes(self.dst) + mac_bytes(self.src) + tag + kind + body + self.padding

    @property
    def vlan_id(self) -> int:
        return (self.vlan or 0) & 0xFFF

    def with_ip(self, **fields: object) -> Frame:
        assert isinstance(self.body, Ip)
        return replace(self, body=replace(self.body, **fields))


def ip_frame(dst: str, src: str, ip: Ip, vlan: int | None = None) -> Frame:
    return Frame(dst, src, ETH_IPV4 if ip.version == 4 else ETH_IPV6, ip, vlan)


def arp_frame(dst: str, src: str, arp: Arp, vlan: int | None = None) -> Frame:
    return Frame(dst, src, ETH_ARP, arp, vlan)


def with_checksum(ip: Ip, at: int) -> Ip:
    """`ip` with the checksum that stands at byte `at` of its payload made right."""
    blank = ip.payload[:at] + b"\0\0" + ip.payload[at + 2 :]
    covered = blank if ip.proto == ICMP else ip.pseudo(len(blank)) + blank
    if ip.offset or ip.more_fragments:
        return ip
    found = checksum(covered)
    return replace(ip, payload=blank[:at] + struct.pack("!H", found) + blank[at + 2 :])


def icmp(ip: Ip, kind: int, code: int, rest: bytes) -> Ip:
    """`ip` carrying an ICMP message of its family; `rest` begins behind the checksum."""
    proto = ICMP if ip.version == 4 else ICMPV6
    filled = replace(ip, proto=proto, payload=bytes([kind, code, 0, 0]) + rest)
    return with_checksum(filled, 2)


def reset(ip: Ip) -> Ip | None:
    """The TCP segment that refuses that of `ip` (RFC 9293, 3.10.7.1); None: it is one itself."""
    sport, dport, seq, ack, word = struct.unpack("!HHIIH", ip.payload[:14])
    if word & 4:
        return None
    length = len(ip.payload) - (word >> 12) * 4 + bool(word & 1) + bool(word & 2)
    known = (ack, 0, 4) if word & 16 else (0, (seq + length) & 0xFFFFFFFF, 20)
    fields = (dport, sport, known[0], known[1], 5 << 12 | known[2], 0, 0, 0)
    answer = Ip(ip.dst, ip.src, TCP, struct.pack("!HHIIHHHH", *fields))
    return with_checksum(answer, 16)


def checksum_is_right(ip: Ip) -> bool:
    """Whether the ICMP checksum of `ip` is right."""
    covered = ip.payload if ip.proto == ICMP else ip.pseudo(len(ip.payload)) + ip.payload
    return checksum(covered) == 0


def may_reset(ip: Ip) -> bool:
    """Whether `ip` is a whole TCP segment that may be answered by a reset (RFC 9293)."""
    if ip.is_fragment or len(ip.payload) < 20 or ip.payload[13] & RST:
        return False
    return 20 <= (ip.payload[12] >> 4) * 4 <= len(ip.payload)


def tcp_reset(ip: Ip) -> Ip:
    """The reset that answers a segment of no connection (RFC 9293, 3.10.7.1)."""
    src, dst, seq, ack = struct.unpack_from("!HHII", ip.payload)
    flags = ip.payload[13]
    taken = len(ip.payload) - (ip.payload[12] >> 4) * 4 + (flags & 1) + (flags >> 1 & 1)
    numbers = (ack, 0, RST) if flags & ACK else (0, (seq + taken) & 0xFFFFFFFF, RST | ACK)
    payload = struct.pack("!HHIIBB6x", dst, src, *numbers[:2], 0x50, numbers[2])
    return with_checksum(Ip(ip.dst, ip.src, TCP, payload), 16)


def solicit(mac: str, own: Address, wanted: Address) -> Frame:
    """The question for the MAC of `wanted`."""
    if isinstance(wanted, IPv4Address):
        assert isinstance(own, IPv4Address)
        return arp_frame(BROADCAST, mac, Arp(1, mac, own, NO_MAC, wanted))
    low = wanted.packed[-3:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + low)
    option = b"\x01\x01" + mac_bytes(mac)
    ip = icmp(Ip(own, group, ICMPV6, ttl=255), NS, 0, bytes(4) + wanted.packed + option)
    return ip_frame("33:33:ff:" + low.hex(":"), mac, ip)


def decode(data: bytes) -> Frame | None:
    if len(data) < 14:
        return None
    dst, src = mac_text(data[:6]), mac_text(data[6:12])
    vlan, at = None, 12
    kind = int.from_bytes(data[12:14], "big")
    if kind == ETH_VLAN:
        if len(data) < 18:
            return None
        vlan, at = int.from_bytes(data[14:16], "big"), 16
        kind = int.from_bytes(data[16:18], "big")
    return _with_body(Frame(dst, src, kind, data[at + 2 :], vlan))


def _with_body(frame: Frame) -> Frame | None:
    raw = frame.body
    assert isinstance(raw, bytes)
    readers = {ETH_ARP: _arp, ETH_IPV4: _ipv4, ETH_IPV6: _ipv6}
    if frame.eth_type not in readers:
        return frame
    found = readers[frame.eth_type](raw)
    if found is None:
        return None
    body, size = found
    return replace(frame, body=body, padding=raw[size:])


def _arp(raw: bytes) -> tuple[Arp, int] | None:
    if len(raw) < 28 or raw[:6] != bytes.fromhex("000108000604"):
        return None
    op = int.from_bytes(raw[6:8], "big")
    spa, tpa = IPv4Address(raw[14:18]), IPv4Address(raw[24:28])
    return Arp(op, mac_text(raw[8:14]), spa, mac_text(raw[18:24]), tpa), 28


def _ipv4(raw: bytes) -> tuple[Ip, int] | None:
    if len(raw) < 20 or raw[0] >> 4 != 4:
        return None
    head_len, size = (raw[0] & 15) * 4, int.from_bytes(raw[2:4], "big")
    if not 20 <= head_len <= size <= len(raw) or checksum(raw[:head_len]):
        return None
    flags = int.from_bytes(raw[6:8], "big")
    ip = Ip(
        src=IPv4Address(raw[12:16]),
        dst=IPv4Address(raw[16:20]),
        proto=raw[9],
        payload=raw[head_len:size],
        ttl=raw[8],
        tos=raw[1],
        ident=int.from_bytes(raw[4:6], "big"),
        dont_fragment=bool(flags & 0x4000),
        more_fragments=bool(flags & 0x2000),
        offset=flags & 0x1FFF,
        options=raw[20:head_len],
    )
    return ip, size


def _ipv6(raw: bytes) -> tuple[Ip, int] | None:
    if len(raw) < 40 or raw[0] >> 4 != 6:
        return None
    size = 40 + int.from_bytes(raw[4:6], "big")
    if size > len(raw):
        return None
    chain = _extensions(raw[40:size], raw[6])
    if chain is None:
        return None
    proto, skipped, offset, more = chain
    ip = Ip(
        src=IPv6Address(raw[8:24]),
        dst=IPv6Address(raw[24:40]),
        proto=proto,
        payload=raw[40 + skipped : size],
        ttl=raw[7],
        tos=(int.from_bytes(raw[:2], "big") >> 4) & 0xFF,
        offset=offset,
        more_fragments=more,
        options=raw[40 : 40 + skipped],
        next_header=raw[6] if skipped else 0,
        flow_label=int.from_bytes(raw[1:4], "big") & 0xFFFFF,
    )
    return ip, size


def _extensions(raw: bytes, proto: int) -> tuple[int, int, int, bool] | None:
    """The protocol behind the extension headers, their length, and the fragment's place."""
    at, offset, more = 0, 0, False
    while proto in EXTENSIONS or proto == FRAGMENT:
        if len(raw) < at + 8:
            return None
        size = 8 if proto == FRAGMENT else 8 + raw[at + 1] * 8
        if len(raw) < at + size:
            return None
        if proto == FRAGMENT:
            place = int.from_bytes(raw[at + 2 : at + 4], "big")
            offset, more = place >> 3, bool(place & 1)
        proto, at = raw[at], at + size
        if offset:
            break
    return proto, at, offset, more
