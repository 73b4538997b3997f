"""The kinds of facts, and what one resource says by itself.

A fact's key is a tuple that begins with its kind; each class says what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Any, TypeVar

import msgspec

from onehop.engine.address import interface, packed, prefix
from onehop.engine.model import LearnedMac, LearnedRoute, Neighbor, Port, Resource, Route

Key = tuple[Any, ...]  # ("mac", bridge, vlan, mac), …
T = TypeVar("T")

ORDER_OF_KINDS = {"local": 0, "broadcast": 1, "pool": 2}  # before all others at a prefix


class Fact(msgspec.Struct, frozen=True, order=True, gc=False):
    """Holds no other container than tuples: nothing for the garbage collector to go through."""


class HostFact(Fact, frozen=True):
    """("host", name)"""

    tunnel_ip: bytes


class DeviceFact(Fact, frozen=True):
    """("device", name)"""

    is_router: bool
    admin_state_up: bool
    key: int


class PortFact(Fact, frozen=True):
    """("port", name)"""

    device: str
    up: bool
    carrier: bool
    peer: str | None
    host: str | None
    key: int
    mac: bytes
    addresses: tuple[tuple[bytes, int], ...]  # a router port's own, with their prefix lengths
    place: tuple[str, str]  # ("device" or "port", name): whose neighbors are on its link
    mtu: int  # 0: any length


class RouteFact(Fact, frozen=True):
    """One of several about ("prefix", router, network, length); in order of preference."""

    source_order: int  # the longer, the smaller
    source: bytes
    kind_order: int
    weight: int
    kind: str
    port: str  # "" where there is none
    gateway: bytes  # b"" where there is none
    name: str  # what makes the choice among equal ones the same on every host


class MacFact(Fact, frozen=True):
    """("mac", bridge, vlan, mac); a stated one before a learned one."""

    learned: bool
    port: str


class NeighborFact(Fact, frozen=True):
    """("neighbor", place, address); a stated one before a learned one."""

    learned: bool
    mac: bytes


def say_route(route: Route) -> Iterator[tuple[Key, Any]]:
    about = about_prefix(route.router, route.destination)
    source, source_bits = prefix(route.source) if route.source else (b"", 0)
    gateway = packed(route.next_hop_gateway) if route.next_hop_gateway else b""
    if len(source) not in (0, len(about[2])):
        return
    if route.type == "normal" and not route.next_hop_port or is_alien(gateway, about):
        return
    yield (
        about,
        one_route(
            route.type,
            source=source,
            source_bits=source_bits,
            weight=route.weight,
            port=route.next_hop_port or "" if route.type == "normal" else "",
            gateway=gateway,
        ),
    )


def learned_routes(row: LearnedRoute, about: Key) -> tuple[RouteFact, ...]:
    gateway = packed(row.next_hop_gateway)
    if is_alien(gateway, about):
        return ()
    return one_route("normal", weight=row.weight, port=row.next_hop_port, gateway=gateway)


def one_route(
    kind: str,
    *,
    source: bytes = b"",
    source_bits: int = 0,
    weight: int = 0,
    port: str = "",
    gateway: bytes = b"",
) -> tuple[RouteFact, ...]:
    """One route: sources that state the same one speak of one."""
    order = ORDER_OF_KINDS.get(kind, len(ORDER_OF_KINDS))
    name = f"{port} {gateway.hex()}"
    return (RouteFact(-source_bits, source, order, weight, kind, port, gateway, name),)


def broadcasts(network: bytes, bits: int) -> tuple[bytes, ...]:
    """The addresses of a subnet that are nobody's (RFC 1122, 3.2.1.3; RFC 3021)."""
    if len(network) == 16 or bits > 30:
        return ()
    last = int.from_bytes(network, "big") | 0xFFFFFFFF >> bits
    return (network, last.to_bytes(4, "big"))


def is_alien(gateway: bytes, about: Key) -> bool:
    """Whether the gateway is of another family than the prefix."""
    return len(gateway) not in (0, len(about[2]))


def about_prefix(router: str, text: str) -> Key:
    return ("prefix", router, *prefix(text))


def addresses_of(port: Port) -> tuple[tuple[bytes, int], ...]:
    return tuple(map(interface, port.addresses))


def networks_of(port: Port) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_interface(text).network for text in port.addresses)


def is_exterior(port: Port) -> bool:
    return port.host is not None and port.interface is not None


def port_of(resource: Resource | None) -> str | None:
    """The port where it was seen."""
    match resource:
        case LearnedMac() | Neighbor():
            return resource.port
        case LearnedRoute():
            return resource.next_hop_port
    return None


def owner_of(row: Resource) -> str | None:
    """The host that a row counts with; a learned route counts with its port (see `change`)."""
    return row.host if isinstance(row, LearnedMac | Neighbor) else None


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def discard(sets: dict[str, set[T]], key: str, member: T) -> None:
    sets[key].discard(member)
    if not sets[key]:
        del sets[key]
