"""What machines ask about themselves (DHCP, router solicitations), and such packets in words.

Knows nothing of topologies, and of each protocol what its first message needs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from onehop.controller.cli import frames

Question = Literal["discover", "request", "solicit", "router"]

COOKIE = b"\x63\x82\x53\x63"
BROADCAST = "ff:ff:ff:ff:ff:ff"
DHCP = ("", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform")
DHCP6 = ("", "solicit", "advertise", "request", "confirm", "renew", "rebind", "reply", "release",
         "decline", "reconfigure", "information-request")  # fmt: skip
FIXED_BYTES = 240  # of DHCP, before its options
ETHERNET_BYTES, VLAN_BYTES, UDP_BYTES, IPV6_BYTES = 14, 4, 8, 40


def build(question: Question, mac: str, address: IPv4Address | None, vlan: int | None) -> bytes:
    """The frame of a machine that asks; a `request` is for `address`."""
    match question:
        case "discover" | "request":
            kind = DHCP.index(question)
            body = _dhcp(kind, mac, address if question == "request" else None)
            whole = frames.ip(
                IPv4Address("0.0.0.0"),
                IPv4Address("255.255.255.255"),
                frames.UDP,
                frames.udp(68, 67, body),
            )
            return frames.ethernet(BROADCAST, mac, frames.ETH_IPV4, whole, vlan)
        case "solicit":
            group = IPv6Address("ff02::1:2")
            message = frames.udp(546, 547, _solicit(mac))
            whole = frames.ip(link_local(mac), group, frames.UDP, message)
            return frames.ethernet("33:33:00:01:00:02", mac, frames.ETH_IPV6, whole, vlan)
        case "router":
            message = struct.pack("!BBHI", 133, 0, 0, 0) + b"\1\1" + frames.mac_bytes(mac)
            group = IPv6Address("ff02::2")
            whole = frames.ip(link_local(mac), group, frames.ICMPV6, message, ttl=255)
            return frames.ethernet("33:33:00:00:00:02", mac, frames.ETH_IPV6, whole, vlan)


def link_local(mac: str) -> IPv6Address:
    """The address that follows from a MAC (RFC 4291, appendix A)."""
    own = frames.mac_bytes(mac)
    return IPv6Address(
        b"\xfe\x80" + bytes(6) + bytes([own[0] ^ 2]) + own[1:3] + b"\xff\xfe" + own[3:]
    )


def _dhcp(kind: int, mac: str, wanted: IPv4Address | None) -> bytes:
    head = struct.pack("!BBBBI", 1, 1, 6, 0, 1) + bytes(20) + frames.mac_bytes(mac)
    options = bytes([53, 1, kind]) + (b"\x32\4" + wanted.packed if wanted else b"")
    return head.ljust(FIXED_BYTES - 4, b"\0") + COOKIE + options + b"\xff"


def _solicit(mac: str) -> bytes:
    client = b"\0\3\0\1" + frames.mac_bytes(mac)
    association = struct.pack("!HHIII", 3, 12, 1, 0, 0)
    return b"\1\0\0\1" + struct.pack("!HH", 1, len(client)) + client + association


def words(data: bytes, key: dict[str, Any]) -> str:
    """What kind of DHCP a packet is; "" where it is none."""
    reader = READERS.get((key.get("udp_src"), key.get("udp_dst")))
    at = ETHERNET_BYTES + (VLAN_BYTES if "vlan_tci" in key else 0)
    if reader is None or key["ip_frag"] or len(data) < at + 1:
        return ""
    at += IPV6_BYTES if "ipv6_src" in key else (data[at] & 15) * 4
    return reader(data[at + UDP_BYTES :])


def _dhcp_words(message: bytes) -> str:
    if message[FIXED_BYTES - 4 : FIXED_BYTES] != COOKIE:
        return ""
    yours = IPv4Address(message[16:20])
    told = f" of {yours}" if int(yours) else ""
    return f"DHCP {_named(DHCP, _kind(message[FIXED_BYTES:]))}{told}"


def _kind(options: bytes) -> int:
    while len(options) > 2 and options[0] not in (53, 255):
        options = options[1:] if options[0] == 0 else options[2 + options[1] :]
    return options[2] if len(options) > 2 and options[0] == 53 else 0


def _dhcp6_words(message: bytes) -> str:
    return f"DHCPv6 {_named(DHCP6, message[0])}" if message else ""


def _named(names: tuple[str, ...], kind: int) -> str:
    return names[kind] if 0 < kind < len(names) else f"message {kind}"


READERS: dict[tuple[Any, Any], Callable[[bytes], str]] = {
    (68, 67): _dhcp_words,
    (67, 68): _dhcp_words,
    (546, 547): _dhcp6_words,
    (547, 546): _dhcp6_words,
}
