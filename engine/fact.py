"""The kinds of facts, and what one resource says by itself.

A fact's key is a tuple that begins with its kind; each class says what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, NamedTuple, TypeVar

from onehop.engine.model import LearnedMac, LearnedRoute, Neighbor, Port, Resource, Route

Key = tuple[Any, ...]  # ("mac", bridge, vlan, mac), …
T = TypeVar("T")

ORDER_OF_KINDS = {"local": 0, "broadcast": 1, "pool": 2}  # before all others at a prefix


class HostFact(NamedTuple):
    """("host", name)"""

    tunnel_ip: bytes


class DeviceFact(NamedTuple):
    """("device", name)"""

    is_router: bool
    admin_state_up: bool
    key: int


class PortFact(NamedTuple):
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


class RouteFact(NamedTuple):
    """One of several about ("prefix", router, network, length); in order of preference."""

    source_order: int  # the longer, the smaller
    source: bytes
    kind_order: int
    weight: int
    kind: str
    port: str  # "" where there is none
    gateway: bytes  # b"" where there is none
    name: str  # what makes the choice among equal ones the same on every host


class MacFact(NamedTuple):
    """("mac", bridge, vlan, mac); a stated one before a learned one."""

    learned: bool
    port: str


class NeighborFact(NamedTuple):
    """("neighbor", place, address); a stated one before a learned one."""

    learned: bool
    mac: bytes


def say_route(route: Route) -> Iterator[tuple[Key, Any]]:
    about = about_prefix(route.router, route.destination)
    source = ip_network(route.source) if route.source else None
    gateway = ip_address(route.next_hop_gateway).packed if route.next_hop_gateway else b""
    if source and source.version != ip_network(route.destination).version:
        return
    if route.type == "normal" and not route.next_hop_port or is_alien(gateway, about):
        return
    yield (
        about,
        one_route(
            route.type,
            source=source.network_address.packed if source else b"",
            source_bits=source.prefixlen if source else 0,
            weight=route.weight,
            port=route.next_hop_port or "" if route.type == "normal" else "",
            gateway=gateway,
        ),
    )


def learned_routes(row: LearnedRoute, about: Key) -> frozenset[RouteFact]:
    gateway = ip_address(row.next_hop_gateway).packed
    if is_alien(gateway, about):
        return frozenset()
    return one_route("normal", weight=row.weight, port=row.next_hop_port, gateway=gateway)


def one_route(
    kind: str,
    *,
    source: bytes = b"",
    source_bits: int = 0,
    weight: int = 0,
    port: str = "",
    gateway: bytes = b"",
) -> frozenset[RouteFact]:
    """One route, as a set: sources that state the same route speak of one."""
    order = ORDER_OF_KINDS.get(kind, len(ORDER_OF_KINDS))
    name = f"{port} {gateway.hex()}"
    return frozenset([RouteFact(-source_bits, source, order, weight, kind, port, gateway, name)])


def broadcasts(network: IPv4Network | IPv6Network) -> tuple[str, ...]:
    """The addresses of a subnet that are nobody's (RFC 1122, 3.2.1.3; RFC 3021)."""
    if network.version == 6 or network.prefixlen > 30:
        return ()
    return (str(network.network_address), str(network.broadcast_address))


def is_alien(gateway: bytes, about: Key) -> bool:
    """Whether the gateway is of another family than the prefix."""
    return len(gateway) not in (0, len(about[2]))


def about_prefix(router: str, text: str) -> Key:
    network = ip_network(text)
    return ("prefix", router, network.network_address.packed, network.prefixlen)


def addresses_of(port: Port) -> tuple[tuple[bytes, int], ...]:
    found = map(ip_interface, port.addresses)
    return tuple((address.packed, address.network.prefixlen) for address in found)


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
