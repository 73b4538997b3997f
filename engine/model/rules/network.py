"""The rules of devices, ports, addresses, routes and BGP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_interface

from onehop.engine.limits import MAX_LIMITS, limits_of
from onehop.engine.model.keys import router_mac
from onehop.engine.model.resources import (
    BgpNetwork,
    BgpPeer,
    Bridge,
    Port,
    PortGroup,
    Route,
)
from onehop.engine.model.rules.base import Problems, unique, wrong
from onehop.engine.model.texts import (
    IPAddress,
    IPInterface,
    IPNetwork,
    read_address,
    read_prefix,
)
from onehop.engine.model.view import View

DEVICE_NAME = re.compile(r"[!-.0-9;-~]{1,15}")  # of what Linux takes (IFNAMSIZ), the ASCII
IPV6_MTU = 1280  # RFC 8200, section 5


# Ports and their links.


def exterior_ports_have_host_and_interface(view: View) -> Problems:
    for port in view.ports.values():
        if port.host is not None and port.interface is None:
            yield wrong(port, "interface", "is missing; a port with a host has an interface")
        if port.interface is not None and port.host is None:
            yield wrong(port, "host", "is missing; a port with an interface has a host")
        if port.interface is not None and not DEVICE_NAME.fullmatch(port.interface):
            yield wrong(port, "interface", f"{port.interface!r} cannot be a network device")


def links_have_two_ends(view: View) -> Problems:
    """A link joins two ports, neither of them exterior or the peer of a third."""
    for port in view.ports.values():
        if port.peer is not None and port.peer in view.ports:
            reason = view.why_no_link(port)
            if reason:
                yield wrong(port, "peer", reason)


def links_do_not_loop(view: View) -> Problems:
    """Bridges that are linked with no router between them form a tree."""
    for port in view.loops:
        reason = f"the link to {port.peer!r} closes a loop of bridges without a router"
        yield wrong(port, "peer", reason)
    for port in view.ports_of(view.routers):
        peer = view.ports.get(view.peers.get(port.name, ""))
        if peer and port.peer == peer.name and peer.device == port.device:
            yield wrong(port, "peer", f"links router {port.device!r} to itself")


# Addresses and MACs.


def router_ports_state_their_subnet(view: View) -> Problems:
    for port in view.ports_of(view.routers):
        for text, address in zip(port.addresses, view.addresses[port.name], strict=True):
            if "/" not in text:
                yield wrong(port, "addresses", f"{text!r} lacks its subnet, as in {text}/24")
            elif not _usable(address):
                yield wrong(port, "addresses", f"{text!r} names its subnet, not a machine in it")


def _usable(address: IPInterface) -> bool:
    network = address.network
    if address.version == 6 or network.prefixlen >= 31:  # RFC 3021: both addresses of a /31
        return True
    return address.ip not in (network.network_address, network.broadcast_address)


def linked_bridge_ports_have_no_machine(view: View) -> Problems:
    for port in view.ports_of(view.bridges):
        if port.name not in view.peers:
            continue
        for field in ("mac", "addresses"):
            if getattr(port, field):
                reason = "states the machine behind the port, but the port is linked to another"
                yield wrong(port, field, reason)


def machines_are_inside_their_subnet(view: View) -> Problems:
    """Where routers give a domain its subnets, its machines are in one of them."""
    for port in view.ports_of(view.bridges):
        for address in view.addresses[port.name]:
            networks = view.subnets[view.domain(port), address.version]
            if networks and not address.is_link_local and not _fits(address, networks):
                words = ", ".join(str(network) for network in sorted(networks, key=str))
                yield wrong(port, "addresses", f"'{address}' is outside its subnet, {words}")


def _fits(address: IPInterface, networks: Iterable[IPNetwork]) -> bool:
    if address.network.prefixlen == address.max_prefixlen:  # no subnet was stated
        return any(address.ip in network for network in networks)
    return address.network in networks


def nobody_shares_an_address(view: View) -> Problems:
    """Unique: addresses and MACs in a domain, addresses of a router, of hosts, interfaces."""
    yield from unique(
        ((view.domain(port), address.ip), port, "addresses", f"'{address.ip}'")
        for port in view.ports.values()
        for address in view.addresses[port.name]
    )
    yield from unique(
        ((port.device, address.ip), port, "addresses", f"'{address.ip}'")
        for port in view.ports_of(view.routers)
        for address in view.addresses[port.name]
        if not address.is_link_local
    )
    yield from unique(
        ((view.domain(port), mac), port, "mac", f"{mac!r}") for port, mac in _macs(view)
    )
    yield from unique(
        (read_address(host.tunnel_address), host, "tunnel_address", f"{host.tunnel_address!r}")
        for host in view.hosts.values()
    )
    yield from unique(
        ((port.host, port.interface), port, "interface", f"{port.interface!r} of {port.host!r}")
        for port in view.ports.values()
        if port.host is not None and port.interface is not None
    )


def _macs(view: View) -> Iterator[tuple[Port, str]]:
    for port in view.ports.values():
        if port.device in view.routers:
            yield port, router_mac(port).lower()
        elif port.mac:
            yield port, port.mac.lower()


def tunnel_keys_are_unique(view: View) -> Problems:
    keyed: list[Bridge | Port] = [*view.bridges.values(), *view.ports.values()]
    yield from unique(
        (resource.tunnel_key, resource, "tunnel_key", str(resource.tunnel_key))
        for resource in keyed
        if resource.tunnel_key
    )


# MTUs.


def mtus_fit_their_ports(view: View) -> Problems:
    for port in view.ports.values():
        if port.mtu is None:
            continue
        if port.device in view.bridges:
            yield wrong(port, "mtu", f"{port.device!r} is a bridge, which is not limited")
        has_ipv6 = any(address.version == 6 for address in view.addresses[port.name])
        if has_ipv6 and port.mtu < IPV6_MTU:
            yield wrong(port, "mtu", f"{port.mtu} is less than IPv6's {IPV6_MTU}")


def mtus_are_few(view: View) -> Problems:
    """The switches tell so many lengths apart, see engine/limits.py."""
    found = {port.mtu for port in view.ports_of(view.routers) if port.mtu is not None}
    kept = limits_of(found)
    for port in view.ports_of(view.routers):
        if port.mtu is not None and port.mtu not in kept:
            reason = f"{port.mtu} is one too many: there are {MAX_LIMITS} different ones already"
            yield wrong(port, "mtu", reason)


# Routes.


def routes_are_whole(view: View) -> Problems:
    """A normal route leaves by a port of its router, towards a gateway on that port's link."""
    for route in view.by_name(Route).values():
        yield from _route_families(route)
        if route.type == "normal":
            yield from _next_hop(view, route)
        else:
            for field in ("next_hop_port", "next_hop_gateway"):
                if getattr(route, field) is not None:
                    yield wrong(route, field, f"a {route.type} route leads nowhere")


def _route_families(route: Route) -> Problems:
    version = read_prefix(route.destination).version
    for field in ("source", "next_hop_gateway"):
        text = getattr(route, field)
        if text is not None and ip_interface(text).version != version:
            reason = f"{text!r} is IPv{10 - version}, but the destination is IPv{version}"
            yield wrong(route, field, reason)


def _next_hop(view: View, route: Route) -> Problems:
    if route.next_hop_port is None:
        yield wrong(route, "next_hop_port", "is missing; a normal route leaves by a port")
        return
    port = view.ports.get(route.next_hop_port)
    if port is None:
        return
    if port.device != route.router:
        reason = f"port {port.name!r} is of {port.device!r}, not of router {route.router!r}"
        yield wrong(route, "next_hop_port", reason)
    elif route.next_hop_gateway is not None:
        gateway = read_address(route.next_hop_gateway)
        reason = _not_on_link(view, port, gateway)
        if reason and gateway.version == read_prefix(route.destination).version:
            yield wrong(route, "next_hop_gateway", reason)


def _not_on_link(view: View, port: Port, address: IPAddress) -> str:
    """Why `address` is not that of a neighbour on the link of a router's port, or ""."""
    own = [known for known in view.addresses[port.name] if known.version == address.version]
    if any(known.ip == address for known in own):
        return f"'{address}' is the port's own address"
    if address.version == 6 and address.is_link_local:
        return ""
    if any(address in known.network for known in own):
        return ""
    subnets = ", ".join(str(known.network) for known in own) or "none"
    return f"'{address}' is outside the subnet of port {port.name!r}, {subnets}"


def routes_are_stated_once(view: View) -> Problems:
    yield from unique(
        (
            (
                route.router,
                read_prefix(route.destination),
                route.source and read_prefix(route.source),
                route.next_hop_port,
                route.next_hop_gateway and read_address(route.next_hop_gateway),
            ),
            route,
            "destination",
            f"{route.destination!r} by the same next hop",
        )
        for route in view.by_name(Route).values()
    )


# Port groups and BGP.


def port_groups_name_a_port_once(view: View) -> Problems:
    for group in view.by_name(PortGroup).values():
        for name in dict.fromkeys(group.ports):
            if group.ports.count(name) > 1:
                yield wrong(group, "ports", f"names port {name!r} more than once")


def bgp_peers_are_on_uplinks(view: View) -> Problems:
    peers = view.by_name(BgpPeer).values()
    for peer in peers:
        port = view.ports.get(peer.port)
        if port is not None:
            yield from _bgp_peer(view, peer, port)
    yield from unique(
        ((peer.port, read_address(peer.address)), peer, "address", f"{peer.address!r}")
        for peer in peers
    )


def _bgp_peer(view: View, peer: BgpPeer, port: Port) -> Problems:
    if port.device in view.bridges or port.host is None:
        reason = f"port {port.name!r} is no uplink; an uplink is a router's port with a host"
        yield wrong(peer, "port", reason)
        return
    router = view.routers.get(port.device)
    if router is not None and router.asn is None:
        yield wrong(peer, "port", f"router {router.name!r} has no asn to speak BGP for")
    reason = _not_on_link(view, port, read_address(peer.address))
    if reason:
        yield wrong(peer, "address", reason)


def bgp_networks_have_an_asn(view: View) -> Problems:
    networks = view.by_name(BgpNetwork).values()
    for network in networks:
        router = view.routers.get(network.router)
        if router is not None and router.asn is None:
            yield wrong(network, "router", f"router {router.name!r} has no asn to speak BGP for")
    yield from unique(
        ((network.router, read_prefix(network.prefix)), network, "prefix", f"{network.prefix!r}")
        for network in networks
    )
