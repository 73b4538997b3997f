"""Packets, flows and verdicts in words, and as plain data for JSON.

1. Formats only: every value comes from the engine's verdict or its parser.
2. A MAC is 02:00:00:00:00:01, a prefix 10.0.0.0/24, bytes are hexadecimal; never a long integer.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from msgspec.structs import asdict

from onehop.controller.cli import questions
from onehop.engine import packet
from onehop.engine.effects import MacLearned, NeighborLearned
from onehop.engine.explain import Action, Emitted, Output, Verdict
from onehop.engine.fields import FIELDS

ETH_ARP = 0x0806
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
ICMP_TYPES = {
    ("icmp", 0): "echo reply",
    ("icmp", 3): "unreachable",
    ("icmp", 8): "echo request",
    ("icmp", 11): "time exceeded",
    ("icmpv6", 1): "unreachable",
    ("icmpv6", 3): "time exceeded",
    ("icmpv6", 128): "echo request",
    ("icmpv6", 129): "echo reply",
    ("icmpv6", 133): "router solicitation",
    ("icmpv6", 134): "router advertisement",
    ("icmpv6", 135): "neighbor solicitation",
    ("icmpv6", 136): "neighbor advertisement",
}
FRAGMENTS = {1: ", first fragment", 2: ", later fragment"}
LENGTHS = {"mac": 6, "ipv4": 4, "ipv6": 16}


def packet_words(data: bytes) -> str:
    """A packet in one line."""
    try:
        key = packet.parse_key(data)
    except ValueError as error:
        return f"{len(data)} bytes: {error}"
    ends = f"{key['eth_src']} > {key['eth_dst']}"
    tag = f", VLAN {int(key['vlan_tci']) & 0xFFF}" if "vlan_tci" in key else ""
    said = questions.words(data, key)
    said = f"{said}, " if said else ""
    return f"{ends}{tag}: {said}{_payload_words(key)}, {len(data)} bytes"


def _payload_words(key: dict[str, Any]) -> str:
    if key["eth_type"] == ETH_ARP:
        if key["arp_op"] == 1:
            return f"ARP who has {key['arp_tpa']}? tell {key['arp_spa']}"
        return f"ARP {key['arp_spa']} is at {key['arp_sha']}"
    family = next((name for name in ("ipv4", "ipv6") if f"{name}_src" in key), None)
    if family is None:
        return f"type {key['eth_type']:#06x}"
    src, dst = (f"{key[f'{family}_{end}']}{_port(key, end)}" for end in ("src", "dst"))
    more = f"ttl {key['ip_ttl']}{FRAGMENTS.get(key['ip_frag'], '')}"
    return f"{_protocol(key)} {src} > {dst}, {more}"


def _port(key: dict[str, Any], end: str) -> str:
    found = (key[name] for name in (f"{p}_{end}" for p in ("tcp", "udp", "sctp")) if name in key)
    return next((f" port {number}" for number in found), "")


def _protocol(key: dict[str, Any]) -> str:
    name = PROTOCOLS.get(key["ip_proto"], f"protocol {key['ip_proto']}")
    for family in ("icmp", "icmpv6"):
        if f"{family}_type" in key:
            kind, code = key[f"{family}_type"], key[f"{family}_code"]
            known = ICMP_TYPES.get((family, kind), f"type {kind}")
            name += f" {known}" + (f" (code {code})" if code else "")
    if "nd_target" in key:
        name += f" about {key['nd_target']}"
    return name


def makes_a_flow(verdict: Verdict) -> bool:
    """Whether a switch would be told what to do with more packets like this one."""
    return verdict.cacheable and verdict.kind in ("forward", "drop")


def match_words(verdict: Verdict) -> dict[str, str]:
    """Each field that a flow matches: its value, and its mask where only bits of it count."""
    words = {"in_port": verdict.in_port}
    for name, (value, mask) in verdict.match.items():
        if name != "in_port":
            words[name] = _masked(name, value, mask)
    return words


def _masked(name: str, value: int, mask: int) -> str:
    form = FIELDS[name].form if name in FIELDS else "integer"
    if form == "integer":
        full = (1 << 8 * (FIELDS[name].len_bytes if name in FIELDS else 2)) - 1
        shown = f"{value:#06x}" if name in ("eth_type", "vlan_tci") else str(value)
        return shown if mask in (full, value) else f"{value:#x}/{mask:#x}"
    if form == "mac":
        full = (1 << 48) - 1
        return _mac(value) if mask == full else f"{_mac(value)}/{_mac(mask)}"
    return _prefix(value, mask, 32 if form == "ipv4" else 128)


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def _prefix(value: int, mask: int, bits: int) -> str:
    address = IPv4Address if bits == 32 else IPv6Address
    full = (1 << bits) - 1
    if mask == full:
        return str(address(value))
    length = mask.bit_count()
    if mask == full >> bits - length << bits - length:
        return f"{address(value)}/{length}"
    return f"{address(value)}/{address(mask)}"


def learned_words(found: MacLearned | NeighborLearned) -> str:
    if isinstance(found, NeighborLearned):
        return f"{found.address} is at {found.mac}, on the link of {found.port}"
    vlan = f" in VLAN {found.vlan}" if found.vlan else ""
    return f"{found.mac} is behind {found.port} of {found.bridge}{vlan}"


def action_words(action: Action) -> str:
    match action.action:
        case "dec_ttl" | "pop_vlan":
            return action.action
        case "flood" if action.except_port:
            return f"flood {action.value} except {action.except_port}"
    return f"{action.action} {action.value}"


def plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as data that JSON can hold."""
    return {
        "kind": verdict.kind,
        "reason": verdict.reason,
        "steps": list(verdict.steps),
        "flow": {"match": match_words(verdict)} if makes_a_flow(verdict) else None,
        "actions": [_plain_action(action) for action in verdict.actions],
        "outputs": [_plain_output(output) for output in verdict.outputs],
        "emitted": [_plain_emitted(emitted) for emitted in verdict.emitted],
        "emitted_outputs": [_plain_output(output) for output in verdict.emitted_outputs],
        "learned": [_tagged(found) for found in verdict.learned],
        "awaited": _awaited(verdict),
        "tags": list(verdict.tags),
    }


def _plain_action(action: Action) -> dict[str, Any]:
    found: dict[str, Any] = {"action": action.action}
    if action.action not in ("dec_ttl", "pop_vlan"):
        found["value"] = action.value
    if action.except_port:
        found["except_port"] = action.except_port
    return found


def _plain_output(output: Output) -> dict[str, Any]:
    return {"port": output.port, "packet": output.packet.hex()}


def _plain_emitted(emitted: Emitted) -> dict[str, Any]:
    actions = [_plain_action(action) for action in emitted.actions]
    return {"packet": emitted.packet.hex(), "actions": actions}


def _tagged(found: MacLearned | NeighborLearned) -> dict[str, Any]:
    return {"what": "mac" if isinstance(found, MacLearned) else "neighbor", **asdict(found)}


def _awaited(verdict: Verdict) -> dict[str, str] | None:
    wanted = verdict.awaited
    return {"port": wanted.port, "address": wanted.address} if wanted else None
