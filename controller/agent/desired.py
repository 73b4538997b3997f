"""What a host's switch, tunnels and uplinks should be: pure data, made from the stated topology.

The drivers (switch, tunnels, uplinks) bring about what stands here and know no more of the
topology; nothing here knows how they do it.

1. Equal topologies give equal values: everything is sorted by name.
2. A reference that leads nowhere is left out, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_interface
from typing import TypeVar

import msgspec

from onehop.controller.agent.checks import Check
from onehop.engine import openflow
from onehop.engine.model import (
    BgpNetwork,
    BgpPeer,
    Bridge,
    Host,
    Port,
    Resource,
    Router,
    router_mac,
)

Snapshot = Mapping[str, Mapping[str, Resource]]  # kind -> name -> resource
T = TypeVar("T", bound=Resource)
Action = openflow.Action

TUNNEL_DEVICE = "onehop-vx"  # the flow-based tunnel port of br-int


class Interface(msgspec.Struct, frozen=True):
    """A network device of this host that stands for an exterior port."""

    port: str  # the virtual port
    device: str  # the network device


class Peer(msgspec.Struct, frozen=True):
    """Another host, as the tunnels see it."""

    host: str
    address: str  # its tunnel address
    gateway: bool  # it has an uplink


class Uplink(msgspec.Struct, frozen=True):
    """An exterior router port of this host that BGP is spoken at."""

    port: str
    device: str
    router: str
    asn: int
    mac: str
    addresses: tuple[str, ...]  # with prefix length
    peers: tuple[BgpPeer, ...]
    networks: tuple[str, ...]  # the prefixes that are announced
    draining: bool = False  # the outside is asked to prefer others


class Monitor(msgspec.Struct, frozen=True):
    """The machine at a router from which members are asked, when it is at this host."""

    port: str  # the virtual port that it is behind
    device: str  # the device in the bridge that stands for the port
    mac: str
    addresses: tuple[str, ...]  # with prefix length
    gateways: tuple[str, ...]  # the router, at each address
    checks: tuple[Check, ...] = ()


class Desired(msgspec.Struct, frozen=True):
    """Everything that the drivers of one host bring about."""

    host: str
    tunnel_address: str
    interfaces: tuple[Interface, ...] = ()
    peers: tuple[Peer, ...] = ()  # all other hosts
    watched: tuple[Peer, ...] = ()  # those of them that BFD watches
    uplinks: tuple[Uplink, ...] = ()


class StaticFlow(msgspec.Struct, frozen=True):
    """A flow that follows from the configuration; never from a packet."""

    priority: int
    match: tuple[tuple[str, int | str], ...]  # ("in_port", 3), ("eth_type", 0x806), ...
    # ("output", 3), ("controller",), ("set", "arp_op", 2), ("compare_length", 1514, 0)
    actions: tuple[Action, ...]
    table: int = 0


def desired(host: str, snapshot: Snapshot) -> Desired | None:
    """What `host` should be; None where the topology does not state it."""
    hosts = _all(snapshot, Host)
    if host not in hosts:
        return None
    gateways = {uplink.host for uplink in uplink_ports(snapshot)}
    peers = [
        Peer(other.name, other.tunnel_address, other.name in gateways)
        for _, other in sorted(hosts.items())
        if other.name != host
    ]
    return Desired(
        host=host,
        tunnel_address=hosts[host].tunnel_address,
        interfaces=tuple(_interfaces(local_ports(host, snapshot))),
        peers=tuple(peers),
        watched=tuple(p for p in peers if host in gateways or p.gateway),
        uplinks=tuple(_uplink(p, snapshot) for p in uplink_ports(snapshot) if p.host == host),
    )


def local_ports(host: str, snapshot: Snapshot) -> list[Port]:
    """The exterior ports that `host` has the interfaces of."""
    ports = _all(snapshot, Port).values()
    found = [p for p in ports if p.host == host and p.interface]
    return sorted(found, key=lambda port: port.name)


def ports_of(device: str | None, snapshot: Snapshot) -> list[Port]:
    """The ports of `device`, or of all devices."""
    ports = _all(snapshot, Port).values()
    found = [port for port in ports if device in (None, port.device)]
    return sorted(found, key=lambda port: port.name)


def addresses(snapshot: Snapshot, ports: Iterable[str]) -> tuple[str, ...]:
    """Those that packets of these ports can have, at the port; nothing where they can have any."""
    found: list[str] = []
    stated, bridges = _all(snapshot, Port), _all(snapshot, Bridge)
    for port in (stated[name] for name in sorted(ports) if name in stated):
        if port.device not in bridges or not port.addresses or port.allowed_address_pairs:
            return ()
        found += [str(ip_interface(address).ip) for address in port.addresses]
    return tuple(found)


def uplink_ports(snapshot: Snapshot) -> list[Port]:
    """The exterior ports, of any host, of routers that speak BGP there."""
    speaking = {peer.port for peer in _all(snapshot, BgpPeer).values()}
    routers = _all(snapshot, Router)
    return sorted(
        (
            port
            for port in _all(snapshot, Port).values()
            if port.name in speaking and port.host and port.interface
            if port.device in routers and routers[port.device].asn is not None
        ),
        key=lambda port: port.name,
    )


def bridge_ports(host: str, snapshot: Snapshot) -> dict[Bridge, list[Port]]:
    """The bridges that have exterior ports at `host`, with these ports."""
    bridges = _all(snapshot, Bridge)
    found: dict[Bridge, list[Port]] = {}
    for port in local_ports(host, snapshot):
        if port.device in bridges:
            found.setdefault(bridges[port.device], []).append(port)
    return found


def _uplink(port: Port, snapshot: Snapshot) -> Uplink:
    networks = _all(snapshot, BgpNetwork).values()
    peers = [peer for peer in _all(snapshot, BgpPeer).values() if peer.port == port.name]
    return Uplink(
        port=port.name,
        device=port.interface or "",
        router=port.device,
        asn=_all(snapshot, Router)[port.device].asn or 0,
        mac=router_mac(port),
        addresses=tuple(str(ip_interface(address)) for address in port.addresses),
        peers=tuple(sorted(peers, key=lambda peer: peer.name)),
        networks=tuple(sorted(n.prefix for n in networks if n.router == port.device)),
        draining=_all(snapshot, Host)[port.host].drain if port.host else False,
    )


def _interfaces(ports: Iterable[Port]) -> Iterable[Interface]:
    return (Interface(port.name, port.interface or "") for port in ports)


def _all(snapshot: Snapshot, kind: type[T]) -> dict[str, T]:
    return snapshot.get(kind.KIND, {})  # type: ignore[return-value]
