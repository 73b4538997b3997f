"""Frames for people who describe a packet by a few fields: fields in, bytes out.

1. Every length and every checksum is right; nothing is refused that fits its field.
2. Knows nothing of topologies: what a field is when it is left out is decided elsewhere.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

ETH_IPV4, ETH_ARP, ETH_VLAN, ETH_IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
ICMP, TCP, UDP, IPV6_FRAGMENT, ICMPV6, SCTP = 1, 6, 17, 44, 58, 132
NEIGHBOR_SOLICIT, NEIGHBOR_ADVERT = 135, 136
TCP_FLAGS = "FSRPAU"  # FIN, SYN, RST, PSH, ACK, URG: bit 0 to bit 5
LATER_OFFSET = 185  # of a later fragment, in units of 8 bytes: behind a 1500-byte first one


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(dst: str, src: str, eth_type: int, body: bytes, vlan: int | None = None) -> bytes:
    """A frame, with an 802.1Q tag where `vlan` is given."""
    tag = b"" if vlan is None else struct.pack("!HH", ETH_VLAN, vlan)
    return mac_bytes(dst) + mac_bytes(src) + tag + struct.pack("!H", eth_type) + body


def arp(op: int, sender: tuple[str, IPv4Address], target: tuple[str, IPv4Address]) -> bytes:
    """An ARP packet (RFC 826); 1 asks, 2 answers."""
    ends = [mac_bytes(mac) + address.packed for mac, address in (sender, target)]
    return struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, op) + b"".join(ends)


def neighbor(kind: int, target: IPv6Address, mac: str) -> bytes:
    """A neighbor solicitation or advertisement without its checksum (RFC 4861, section 4)."""
    solicits = kind == NEIGHBOR_SOLICIT
    flags = 0 if solicits else 0x60000000  # solicited, override
    option = struct.pack("!BB", 1 if solicits else 2, 1) + mac_bytes(mac)
    return struct.pack("!BBHI", kind, 0, 0, flags) + target.packed + option


def solicited_node(target: IPv6Address) -> tuple[str, IPv6Address]:
    """The MAC and the group address that reach whoever has `target` (RFC 4291, section 2.7.1)."""
    low = target.packed[-3:]
    return "33:33:ff:" + low.hex(":"), IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + low)


def icmp(kind: int, code: int, ident: int, seq: int, payload: bytes) -> bytes:
    return struct.pack("!BBHHH", kind, code, 0, ident, seq) + payload


def udp(src: int, dst: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", src, dst, 8 + len(payload), 0) + payload


def tcp(src: int, dst: int, flags: str, payload: bytes) -> bytes:
    """A TCP segment whose flags are letters of `TCP_FLAGS`."""
    bits = sum(1 << TCP_FLAGS.index(flag) for flag in set(flags))
    return struct.pack("!HHIIBBHHH", src, dst, 1, 0, 0x50, bits, 0xFFFF, 0, 0) + payload


def sctp(src: int, dst: int, payload: bytes) -> bytes:
    """An SCTP packet; its checksum (CRC-32c, RFC 9260) covers what follows the ports too."""
    blank = struct.pack("!HHII", src, dst, 1, 0) + payload
    return blank[:8] + struct.pack("<I", crc32c(blank)) + blank[12:]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def ip(
    src: IPAddress,
    dst: IPAddress,
    proto: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    dont_fragment: bool = False,
    fragment: str = "",
) -> bytes:
    """An IPv4 or IPv6 packet, whole, or its ``first`` or a ``later`` fragment."""
    if fragment != "later":
        payload = _with_checksum(src, dst, proto, payload)
    place = (LATER_OFFSET if fragment == "later" else 0, fragment == "first")
    if isinstance(src, IPv6Address):
        return _ipv6(src, dst, proto, payload, ttl, tos, place if fragment else None)
    flags = dont_fragment << 14 | place[1] << 13 | place[0]
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, tos, 20 + len(payload), 1, flags, ttl, proto, 0, src.packed, dst.packed,
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _ipv6(
    src: IPAddress,
    dst: IPAddress,
    proto: int,
    payload: bytes,
    ttl: int,
    tos: int,
    place: tuple[int, bool] | None,
) -> bytes:
    first = proto
    if place is not None:
        payload = struct.pack("!BBHI", proto, 0, place[0] << 3 | place[1], 1) + payload
        first = IPV6_FRAGMENT
    head = struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), first, ttl)
    return head + src.packed + dst.packed + payload


CHECKSUM_AT = {ICMP: 2, ICMPV6: 2, TCP: 16, UDP: 6}


def _with_checksum(src: IPAddress, dst: IPAddress, proto: int, payload: bytes) -> bytes:
    at = CHECKSUM_AT.get(proto)
    if at is None or len(payload) < at + 2:
        return payload
    ends = src.packed + dst.packed
    shape = "!II" if src.version == 6 else "!HH"
    pseudo = b"" if proto == ICMP else ends + struct.pack(shape, len(payload), proto)
    found = checksum(pseudo + payload)
    if proto == UDP and found == 0:
        found = 0xFFFF  # 0 says that there is none (RFC 768)
    return payload[:at] + struct.pack("!H", found) + payload[at + 2 :]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
