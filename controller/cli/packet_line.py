"""A packet in one line of words, ``tcp 10.0.0.1:* -> 10.0.2.5:80``; and captured ones.

1. What is ``*``, or left out, is a typical free value; in a filter it is anything.
2. What is not understood is refused with what was meant to stand there.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from onehop.controller.cli.output import InputError
from onehop.controller.cli.packets import MAX_BYTES, PROTOCOLS, FieldError, Packet, build
from onehop.engine import model

EXAMPLE = "'tcp 10.0.0.1:* -> 10.0.2.5:80'"
SOMEBODY = "02:00:00:00:00:fe"  # the MAC of a sender that nobody states
TYPICAL = {"tcp": 80, "udp": 53, "sctp": 5000}  # destination ports
ICMPV6 = 58
PCAP = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
        b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}  # fmt: skip
PCAPNG = b"\x0a\x0d\x0d\x0a"
ETHERNET = 1


class End(NamedTuple):
    """Who sends or gets it."""

    address: str | None
    port: int | None


class Line(NamedTuple):
    """A packet in words."""

    protocol: str
    source: End
    destination: End


def read(text: str) -> Line:
    """A line, taken apart; an InputError where it is none."""
    left, arrow, right = text.partition("->")
    protocol, _, source = left.strip().partition(" ")
    if not arrow or not right.strip() or protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise InputError(f"packet: {text!r} is not like {EXAMPLE}; protocols: {known}")
    line = Line(protocol, _end(source.strip() or "*"), _end(right.strip()))
    if protocol == "icmp" and (line.source.port or line.destination.port):
        raise InputError("packet: icmp has no ports")
    return line


def packet(
    line: Line, port: str, flags: str, topology: model.Topology, sender: str = SOMEBODY
) -> bytes:
    """The bytes of a packet that is like `line` and comes in by `port`.

    It comes from the MAC `sender` where the topology does not say who speaks there.
    """
    if line.destination.address is None:
        raise InputError("packet: '*' is no destination: say where it goes")
    stated: dict[str, Any] = {"in_port": port, "ip_proto": line.protocol}
    stated |= {"ip_src": line.source.address, "ip_dst": line.destination.address}
    if line.protocol != "icmp":
        stated["tp_dst"] = line.destination.port or TYPICAL[line.protocol]
        stated["tcp_flags"] = flags
        if line.source.port:
            stated["tp_src"] = line.source.port
    try:
        return _built(msgspec.convert(stated, Packet), topology, sender)
    except msgspec.ValidationError as error:
        raise InputError(f"packet: {error}") from None
    except FieldError as error:
        raise InputError(f"packet: {error.field}: {error}") from None


def fields(line: Line) -> dict[str, str | int]:
    """What packets that are like `line` have in their headers."""
    family = _family(line)
    icmp6 = line.protocol == "icmp" and family == "ipv6"
    found: dict[str, str | int] = {"ip_proto": ICMPV6 if icmp6 else PROTOCOLS[line.protocol]}
    for end, who in (("src", line.source), ("dst", line.destination)):
        if who.address:
            found[f"{family}_{end}"] = who.address
        if who.port:
            found[f"{line.protocol}_{end}"] = who.port
    return found


def captured(path: Path, number: int) -> bytes:
    """Packet `number`, from 1, of a capture (pcap), or the one that a file says in hexadecimal."""
    data = path.read_bytes()
    if data[:4] == PCAPNG:
        raise InputError(f"{path}: is pcapng; `editcap -F pcap` makes it a pcap")
    if data[:4] in PCAP:
        return _of_capture(data, number, str(path))
    try:
        found = bytes.fromhex(data.decode().replace(":", ""))
    except ValueError:
        raise InputError(f"{path}: neither a pcap nor hexadecimal") from None
    return _sized(found, str(path))


def _of_capture(data: bytes, number: int, path: str) -> bytes:
    order = PCAP[data[:4]]
    if len(data) < 24 or struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF != ETHERNET:
        raise InputError(f"{path}: is no capture of Ethernet frames")
    at = 24
    for _ in range(number):
        if at + 16 > len(data):
            raise InputError(f"{path}: there is no packet {number} in it")
        held, whole = struct.unpack_from(order + "II", data, at + 8)
        frame = data[at + 16 : at + 16 + held]
        at += 16 + held
    if held != whole or len(frame) != held:
        raise InputError(f"{path}: packet {number} was not captured whole")
    return _sized(frame, path)


def _sized(data: bytes, path: str) -> bytes:
    if not 0 < len(data) <= MAX_BYTES:
        raise InputError(f"{path}: {len(data)} bytes; a frame has 1 to {MAX_BYTES}")
    return data


def _built(stated: Packet, topology: model.Topology, sender: str) -> bytes:
    try:
        return build(stated, topology)
    except FieldError as missing:
        if missing.field != "eth_src":
            raise
        return build(msgspec.structs.replace(stated, eth_src=sender), topology)


def _family(line: Line) -> str:
    stated = [e.address for e in (line.source, line.destination) if e.address]
    families = {ip_network(address).version for address in stated}
    if len(families) > 1:
        raise InputError(f"packet: {' and '.join(stated)} are of different families")
    return "ipv6" if 6 in families else "ipv4"


def _end(text: str) -> End:
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise InputError(f"packet: {text!r} is not like [fd00::5]:80")
        return End(_address(address), _port(rest.removeprefix(":") or "*"))
    if text.count(":") > 1:
        return End(_address(text), None)
    address, _, port = text.partition(":")
    return End(_address(address), _port(port or "*"))


def _address(text: str) -> str | None:
    if text == "*":
        return None
    try:
        return str(ip_network(text, strict=False)) if "/" in text else str(ip_address(text))
    except ValueError:
        raise InputError(f"packet: {text!r} is no address") from None


def _port(text: str) -> int | None:
    if text == "*":
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise InputError(f"packet: {text!r} is no port (1 to 65535)")
    return int(text)
