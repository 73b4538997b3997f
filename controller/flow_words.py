"""Flows in words: matches and instructions as bytes -> what people read.

1. What is not known is shown as it is, in hexadecimal: any bytes are safe.
2. Ports have the names that the caller knows of their numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from onehop.engine import openflow
from onehop.engine.fields import FIELDS, Form
from onehop.engine.inspect import canonical

Names = Mapping[int, str]  # of ports, by number

LOCAL = 0xFFFFFFFE
RESERVED = {openflow.CONTROLLER: "agent", openflow.IN_PORT: "in_port", LOCAL: "bridge"}
COMPARE_LENGTH = bytes.fromhex("00002320 0031")  # of Open vSwitch (nicira-ext.h)
HEX = frozenset({"eth_type", "vlan_vid", "reg0", "tunnel_id", "metadata", "tcp_flags"})

_NAMES = {(f.oxm_class, f.oxm_field): name for name, f in FIELDS.items()}


class Entry(NamedTuple):
    """One field of a match."""

    name: str  # "" where it is not known
    value: int
    mask: int | None  # None: every bit
    whole: bytes


def entries(match: bytes) -> Iterator[Entry]:
    """The fields of a match; what is cut off is one without a name."""
    at = 0
    while at < len(match):
        head, length = match[at : at + 3], match[at + 3] if at + 3 < len(match) else len(match)
        body = match[at + 4 : at + 4 + length]
        whole = match[at : at + 4 + length]
        at += 4 + length
        number = int.from_bytes(head, "big")
        name = _NAMES.get((number >> 8, number >> 1 & 0x7F), "") if len(body) == length else ""
        if number & 1:
            half = length // 2
            yield Entry(name, int.from_bytes(body[:half]), int.from_bytes(body[half:]), whole)
        else:
            yield Entry(name, int.from_bytes(body), None, whole)


def match_words(match: bytes, names: Names) -> str:
    """A match, as ``in_port=vm1, eth_type=0x800, ipv4_dst=10.0.0.0/24``."""
    with contextlib.suppress(ValueError):
        match = canonical(match)
    return ", ".join(_entry_words(entry, names) for entry in entries(match)) or "any packet"


def _entry_words(entry: Entry, names: Names) -> str:
    if not entry.name:
        return entry.whole.hex()
    if entry.name == "in_port":
        return f"in_port={port_words(entry.value, names)}"
    return f"{entry.name}={_value(entry.name, entry.value, entry.mask)}"


def _value(name: str, value: int, mask: int | None) -> str:
    form, size = FIELDS[name].form, FIELDS[name].len_bytes
    if form in ("ipv4", "ipv6"):
        return _address(form, value, size, mask)
    shown = _integer(name, form, value, size)
    return shown if mask is None else f"{shown}/{_integer(name, form, mask, size, masks=True)}"


def _integer(name: str, form: Form, value: int, size: int, *, masks: bool = False) -> str:
    if form == "mac":
        return (value & (1 << 48) - 1).to_bytes(6, "big").hex(":")
    return f"{value:#x}" if masks or name in HEX else str(value)


def _address(form: Form, value: int, size: int, mask: int | None) -> str:
    bits = 8 * size
    address = ip_address((value & (1 << bits) - 1).to_bytes(size, "big"))
    if mask is None:
        return str(address)
    try:
        netmask = ip_address((mask & (1 << bits) - 1).to_bytes(size, "big"))
        length = (mask & (1 << bits) - 1).bit_count()
        if mask == (1 << bits) - (1 << bits - length):
            return str(ip_network(f"{address}/{length}", strict=False))
        return f"{address}/{netmask}"
    except ValueError:
        return f"{address}/{mask:#x}"


def port_words(number: int, names: Names) -> str:
    return RESERVED.get(number) or names.get(number, str(number))


def action_words(instructions: bytes, names: Names) -> list[str]:
    """What a flow does, one by one; it drops where there is nothing."""
    return list(_instructions(instructions, names)) or ["drop"]


def _instructions(data: bytes, names: Names) -> Iterator[str]:
    """See OpenFlow 1.3.5, section 7.2.4; the actions in 7.2.5."""
    for kind, body in _cut(data):
        match kind:
            case 1 if len(body) >= 1:  # GOTO
                yield f"goto table {body[0]}"
            case 4:  # APPLY
                for action, inner in _cut(body[4:]):
                    yield _action(action, inner, names)
            case 6 if len(body) == 4:  # METER
                yield f"meter {int.from_bytes(body)}"
            case _:
                yield f"instruction {kind}: {body.hex()}"


def _action(kind: int, body: bytes, names: Names) -> str:
    match kind:
        case 0 if len(body) >= 4:  # OUTPUT
            return f"output {port_words(int.from_bytes(body[:4]), names)}"
        case 17:  # PUSH_VLAN
            return "push_vlan"
        case 18:  # POP_VLAN
            return "pop_vlan"
        case 24:  # DEC_TTL
            return "dec_ttl"
        case 25 if len(body) >= 4:  # SET_FIELD
            entry = next(entries(body[: 4 + body[3]]))
            return f"set {_entry_words(entry, names)}"
        case 0xFFFF if body[:6] == COMPARE_LENGTH:
            return f"longer than {int.from_bytes(body[6:8])} bytes?"
    return f"action {kind}: {body.hex()}"


def _cut(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each piece that begins with its type and length."""
    at = 0
    while at + 4 <= len(data):
        kind, length = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        if length < 4 or at + length > len(data):
            yield kind, data[at:]
            return
        yield kind, data[at + 4 : at + length]
        at += length
