"""What resources have in common: the keys that an index finds them by.

1. A key is a tuple that starts with what it is about; addresses in it are bytes.
2. Whatever two resources may not share, or one says about another, has a key here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from typing import Any

from onehop.engine.model.monitors import NETWORKS
from onehop.engine.model.resources import (
    BgpNetwork,
    BgpPeer,
    Bridge,
    Chain,
    FloatingIp,
    Host,
    PoolMember,
    Port,
    Resource,
    Route,
    Vip,
)
from onehop.engine.model.texts import TEXTS, read_address, read_interface, read_prefix
from onehop.engine.model.values import references

Key = tuple[Hashable, ...]
Keys = Iterator[Key]


def keys_of(resource: Resource) -> Keys:
    """The keys of a resource whose fields make sense."""
    for reference in references(resource):
        for kind in reference.kinds:
            yield "names", kind, reference.name
    if type(resource) in MAKERS:
        yield from MAKERS[type(resource)](resource)


def _host(host: Host) -> Keys:
    yield "tunnel address", read_address(host.tunnel_address).packed


def _bridge(bridge: Bridge) -> Keys:
    yield from _tunnel_key(bridge)


def _port(port: Port) -> Keys:
    if any(_is_among_monitors(text) for text in port.addresses):
        yield "among monitors", port.device
    for text in port.addresses:
        packed = packed_interface(text)
        yield "address", packed
        yield "address on", port.device, packed
    if port.mac is not None:
        yield "mac on", port.device, port.mac.lower()
    if port.interface is not None:
        yield "interface", port.host, port.interface
    if port.mtu is not None:
        yield "mtu", port.mtu
    yield from _tunnel_key(port)


@lru_cache(TEXTS)
def packed_interface(text: str) -> bytes:
    """The address that a text like 10.0.0.5/24 begins with, as bytes."""
    return read_interface(text).ip.packed


@lru_cache(TEXTS)
def _is_among_monitors(text: str) -> bool:
    """Whether the subnet of such a text has addresses of monitors."""
    network = read_interface(text).network
    return any(network.version == n.version and network.overlaps(n) for n in NETWORKS)


def _tunnel_key(resource: Bridge | Port) -> Keys:
    if resource.tunnel_key:
        yield "tunnel key", resource.tunnel_key


def _route(route: Route) -> Keys:
    gateway = route.next_hop_gateway and read_address(route.next_hop_gateway)
    source = route.source and read_prefix(route.source)
    destination = read_prefix(route.destination)
    yield "route", route.router, destination, source, route.next_hop_port, gateway


def _bgp_peer(peer: BgpPeer) -> Keys:
    yield "bgp peer", peer.port, read_address(peer.address)


def _bgp_network(network: BgpNetwork) -> Keys:
    yield "bgp network", network.router, read_prefix(network.prefix)


def _floating_ip(floating: FloatingIp) -> Keys:
    yield "virtual", floating.router, read_address(floating.address).packed
    yield "fixed", floating.router, read_address(floating.fixed_address).packed


def _vip(vip: Vip) -> Keys:
    yield "virtual", vip.router, read_address(vip.address).packed


def _pool_member(member: PoolMember) -> Keys:
    packed = read_address(member.address).packed
    yield "member", packed
    yield "member of", member.pool, packed


MAKERS: dict[type[Resource], Callable[[Any], Keys]] = {
    Host: _host,
    Bridge: _bridge,
    Port: _port,
    Route: _route,
    BgpPeer: _bgp_peer,
    BgpNetwork: _bgp_network,
    FloatingIp: _floating_ip,
    Vip: _vip,
    PoolMember: _pool_member,
}


def snat_ranges(chain: Chain) -> Iterator[tuple[int, int, int]]:
    """The addresses that a chain translates sources to: the first, the last, their version."""
    for rule in chain.rules:
        for target in rule.targets if rule.action == "snat" else ():
            first = read_address(target.first_address)
            last = read_address(target.last_address or target.first_address)
            if last.version == first.version:
                yield int(first), int(last), first.version
