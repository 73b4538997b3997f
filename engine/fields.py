"""Match fields: their names, their places in OpenFlow, and what must be matched beside them.

1. A name means the same thing everywhere: in a topology's flows, in `explain`, in messages.
2. OXM is OpenFlow 1.3's table 12 (class 0x8000) or Open vSwitch's own (nicira-ext.h, 0x0001).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, NamedTuple

Form = Literal["integer", "mac", "ipv4", "ipv6"]

BASIC = 0x8000
NICIRA = 0x0001
_ARP = {"eth_type": 0x0806}
_IPV4 = {"eth_type": 0x0800}
_IPV6 = {"eth_type": 0x86DD}


class Field(NamedTuple):
    """One field of a packet, or of what OVS knows about a packet."""

    len_bytes: int
    oxm_class: int
    oxm_field: int
    form: Form = "integer"
    needs: Mapping[str, int] = {}  # fields that must have these values; {} also for "any IP"


FIELDS: dict[str, Field] = {
    "in_port": Field(4, BASIC, 0),
    "reg0": Field(4, NICIRA, 0),
    "metadata": Field(8, BASIC, 2),
    "eth_dst": Field(6, BASIC, 3, "mac"),
    "eth_src": Field(6, BASIC, 4, "mac"),
    "eth_type": Field(2, BASIC, 5),
    "vlan_vid": Field(2, BASIC, 6),
    "vlan_pcp": Field(1, BASIC, 7),
    "ip_dscp": Field(1, BASIC, 8),
    "ip_ecn": Field(1, BASIC, 9),
    "ip_proto": Field(1, BASIC, 10),
    "ipv4_src": Field(4, BASIC, 11, "ipv4", _IPV4),
    "ipv4_dst": Field(4, BASIC, 12, "ipv4", _IPV4),
    "tcp_src": Field(2, BASIC, 13, needs={"ip_proto": 6}),
    "tcp_dst": Field(2, BASIC, 14, needs={"ip_proto": 6}),
    "udp_src": Field(2, BASIC, 15, needs={"ip_proto": 17}),
    "udp_dst": Field(2, BASIC, 16, needs={"ip_proto": 17}),
    "sctp_src": Field(2, BASIC, 17, needs={"ip_proto": 132}),
    "sctp_dst": Field(2, BASIC, 18, needs={"ip_proto": 132}),
    "icmp_type": Field(1, BASIC, 19, needs={"ip_proto": 1, **_IPV4}),
    "icmp_code": Field(1, BASIC, 20, needs={"ip_proto": 1, **_IPV4}),
    "arp_op": Field(2, BASIC, 21, needs=_ARP),
    "arp_spa": Field(4, BASIC, 22, "ipv4", _ARP),
    "arp_tpa": Field(4, BASIC, 23, "ipv4", _ARP),
    "arp_sha": Field(6, BASIC, 24, "mac", _ARP),
    "arp_tha": Field(6, BASIC, 25, "mac", _ARP),
    "ipv6_src": Field(16, BASIC, 26, "ipv6", _IPV6),
    "ipv6_dst": Field(16, BASIC, 27, "ipv6", _IPV6),
    "icmpv6_type": Field(1, BASIC, 29, needs={"ip_proto": 58, **_IPV6}),
    "icmpv6_code": Field(1, BASIC, 30, needs={"ip_proto": 58, **_IPV6}),
    "nd_target": Field(16, BASIC, 31, "ipv6", {"ip_proto": 58, **_IPV6}),
    "tunnel_id": Field(8, BASIC, 38),
    "ip_frag": Field(1, NICIRA, 26),
    "ip_ttl": Field(1, NICIRA, 29),
    "tunnel_dst": Field(4, NICIRA, 32, "ipv4"),
    "tcp_flags": Field(2, NICIRA, 34, needs={"ip_proto": 6}),
    "tunnel_dst6": Field(16, NICIRA, 110, "ipv6"),
}

_PLACE = {f.oxm_class << 7 | f.oxm_field: place for place, f in enumerate(FIELDS.values())}


def with_prerequisites(match: Mapping[str, int | str]) -> dict[str, int | str]:
    """`match` and the fields that its own fields presuppose; ValueError where they disagree."""
    whole = dict(match)
    for name in match:
        for needed, value in field(name).needs.items():
            if whole.setdefault(needed, value) != value:
                raise ValueError(f"{name}: needs {needed}={value:#x}, not {whole[needed]}")
    if "ip_proto" in whole and whole.get("eth_type") not in (0x0800, 0x86DD):
        raise ValueError("ip_proto: needs eth_type=0x800 or 0x86dd")
    return whole


def field(name: str) -> Field:
    """The field called `name`; ValueError where there is none."""
    try:
        return FIELDS[name]
    except KeyError:
        raise ValueError(f"{name}: no such match field") from None


def oxm(name: str, value: int | str) -> bytes:
    """One OXM entry (OpenFlow 1.3, 7.2.3): an exact match, or a masked one of "address/length"."""
    body, mask = _encode(name, value)
    head = field(name).oxm_class << 16 | field(name).oxm_field << 9
    head |= (0x100 if mask else 0) | len(body) + len(mask)
    return head.to_bytes(4, "big") + body + mask


def in_order(entries: bytes) -> bytes:
    """OXM entries in the order of FIELDS, whatever order they came in; others last."""
    found, at = [], 0
    while at < len(entries):
        end = at + 4 + entries[at + 3] if at + 4 <= len(entries) else len(entries) + 1
        if end > len(entries):
            raise ValueError("the last OXM entry is cut off")
        head = int.from_bytes(entries[at : at + 3], "big")
        found.append((_PLACE.get(head >> 1, len(_PLACE)), entries[at:end]))
        at = end
    return b"".join(entry for _, entry in sorted(found))


def _encode(name: str, value: int | str) -> tuple[bytes, bytes]:
    form, len_bytes = field(name).form, field(name).len_bytes
    try:
        if form == "integer":
            return int(value).to_bytes(len_bytes, "big"), b""
        if form == "mac":
            return _mac(str(value)), b""
        return _prefix(ip_network(str(value)), len_bytes)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {value!r} is no value of this field: {error}") from None


def _mac(text: str) -> bytes:
    mac = bytes.fromhex(text.replace(":", ""))
    if len(mac) != 6:
        raise ValueError("a MAC has six bytes")
    return mac


def _prefix(network: IPv4Network | IPv6Network, len_bytes: int) -> tuple[bytes, bytes]:
    body = network.network_address.packed
    if len(body) != len_bytes:
        raise ValueError("an address of the other family")
    exact = network.prefixlen == network.max_prefixlen
    return body, b"" if exact else network.netmask.packed
