"""The texts in fields: addresses, prefixes, MACs, protocols, ports, and what each must look like.

Every refusal says what was found and what was expected, in words for the one who wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

TEXTS = 1 << 17  # that stay read; a topology is read again at each change of it

ETHER_TYPES = {"ipv4": 0x0800, "arp": 0x0806, "ipv6": 0x86DD}
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


@lru_cache(TEXTS)
def refusal(check: str, text: str | int) -> str:
    """Why `text` is not what `check` asks for, or "" where it is."""
    try:
        CHECKS[check](text)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(TEXTS)
def read_address(text: str) -> IPAddress:
    """The address of one machine."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address like 10.0.0.5 or fd00::5") from None
    return _one_machine(address, text)


@lru_cache(TEXTS)
def read_interface(text: str) -> IPInterface:
    """The address of one machine, with or without the length of its subnet's prefix."""
    if not _has_plain_length(text, required=False):
        raise ValueError(f"{text!r} is not an address like 10.0.0.5/24 or fd00::5/64")
    try:
        interface = ip_interface(text)
    except ValueError:
        reason = f"{text!r} is not an address like 10.0.0.5/24 or fd00::5/64"
        raise ValueError(reason) from None
    _one_machine(interface.ip, text)
    return interface


@lru_cache(TEXTS)
def read_prefix(text: str) -> IPNetwork:
    """A prefix, with no bit set beyond its length."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text or not _has_plain_length(text, required=True):
        raise ValueError(f"{text!r} is not a prefix like 10.0.0.0/24 or fd00::/64")
    if network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"{text!r} has bits set beyond its length; is {network} meant?")
    return network


def read_mac(text: str) -> str:
    """The MAC of one machine, in lower case."""
    if text.replace(":", "").strip("0") == "":
        raise ValueError(f"{text!r} is the zero MAC")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{text!r} is a group MAC (its first byte is odd)")
    return text.lower()


def _one_machine(address: IPAddress, text: str) -> IPAddress:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} has a scope; leave out {'%' + address.scope_id!r}")
    if address.is_multicast or address.is_unspecified or int(address) == (1 << 32) - 1:
        raise ValueError(f"{text!r} is not the address of one machine")
    return address


def _has_plain_length(text: str, *, required: bool) -> bool:
    return bool(re.fullmatch(r"[^/]+/[0-9]{1,3}" if required else r"[^/]+(/[0-9]{1,3})?", text))


def read_ether_type(text: str | int) -> int:
    """The number of an EtherType (IEEE 802 numbers)."""
    number = ETHER_TYPES.get(str(text))
    if number is None:
        number = text if isinstance(text, int) else -1
    if not 0x0600 <= number <= 0xFFFF:
        names = ", ".join(ETHER_TYPES)
        raise ValueError(f"{text!r} is not an EtherType: {names} or a number from 0x0600 on")
    return number


def read_protocol(text: str | int) -> int:
    """The number of an IP protocol."""
    number = PROTOCOLS.get(str(text))
    if number is None:
        number = _decimal(text)
    if not 0 <= number <= 255:
        names = ", ".join(PROTOCOLS)
        raise ValueError(f"{text!r} is not a protocol: {names} or a number up to 255")
    return number


def read_ports(text: str | int) -> tuple[int, int]:
    """The first and the last of a range of ports."""
    first, dash, last = str(text).partition("-")
    ports = _decimal(first), _decimal(last if dash else first)
    if min(ports) < 0 or max(ports) > 65535:
        raise ValueError(f"{text!r} is not a port like 80 or a range of ports like 1000-2000")
    if ports[0] > ports[1]:
        raise ValueError(f"{text!r} ends before it begins")
    return ports


def _decimal(text: str | int) -> int:
    """The number, or -1."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", str(text)) else -1


def read_path(text: str) -> str:
    """The path of a URL, as HTTP sends it."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(f"{text!r} is not a path like /health")
    return text


CHECKS: dict[str, Callable[..., object]] = {
    "address": read_address,
    "interface": read_interface,
    "prefix": read_prefix,
    "mac": read_mac,
    "ether_type": read_ether_type,
    "protocol": read_protocol,
    "ports": read_ports,
    "path": read_path,
}
