"""What the lab consists of: pure data, made from the virtual topology that is to run on it.

1. `generate` states the lab's own topology; `plan` works out, of any topology, the machines,
   wires and hosts that it speaks of. Nothing here touches the system.
2. A bridge's exterior port is a machine; a router's exterior port with a BGP peer is an uplink,
   and its host a gateway; every other host is a compute node.

          10.0.0.0/24       100.64.1.0/30             10.56.N.0/24
    vm1…vm8 ── tenant-net ── tenant ── provider ──┬── uplink-g1 ──┬── outside ──┬── client1
               (bridge)     (router)   (router)   ├── uplink-g2 ──┤             └── client2
                                                  └── uplink-g3 ──┘

3. The outside knows none of the machines' IPv4 addresses: `public.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

import msgspec

from onehop.controller.cli.output import InputError
from onehop.engine.model import (
    BgpNetwork,
    BgpPeer,
    Bridge,
    Host,
    Port,
    PortGroup,
    Resource,
    Route,
    Router,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Topology,
)
from onehop.lab import public

CLIENTS = 2
LAN = ("198.51.100.1/24", "fd00:99::1/64")  # the outside router's, in front of the clients
UNDERLAY_PREFIX = 24
NAME_MAX = 10  # a host's name, so that "NAME-wire" still is a device's name
DEVICE_MAX = 15  # IFNAMSIZ less its end
MAX_GATEWAYS, MAX_COMPUTES = 9, 200
SUBNETS = (  # what machines are told by DHCP and router advertisements
    ("tenant4", "10.0.0.0/24", "10.0.0.1"),
    ("tenant6", "fd00:10::/64", "fd00:10::1"),
)
UPLINKS = "uplinks"  # the port group of all gateways
# What anybody may open to a machine: pings, and the ports that the scenarios' programs take.
OPEN = (
    SecurityRule(direction="ingress", protocol="icmp"),
    SecurityRule(direction="ingress", protocol="icmpv6"),
    SecurityRule(direction="ingress", protocol="tcp", ports="1024-65535"),
    SecurityRule(direction="ingress", protocol="udp", ports="1024-65535"),
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's machine: a node with one interface, on a compute node."""

    name: str
    host: str
    device: str  # its other end, on the host
    mac: str | None
    addresses: tuple[str, ...]  # with prefix length
    gateways: tuple[str, ...]  # default routers
    leases: tuple[int, ...] = ()  # IP versions whose addresses the machine asks the network for
    public: str | None = None  # the IPv4 address that the outside reaches it at


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's wire to the outside router."""

    host: str
    device: str  # on the host
    asn: int  # of the gateway
    gateway: tuple[str, ...]  # addresses at the gateway's end, without prefix length
    outside: tuple[str, ...]  # addresses at the other end, with prefix length


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the lab has to build."""

    hosts: dict[str, str]  # name -> tunnel address with prefix length
    machines: tuple[Machine, ...]
    uplinks: tuple[Uplink, ...]
    outside_asn: int
    clients: int = CLIENTS

    def is_gateway(self, host: str) -> bool:
        return any(uplink.host == host for uplink in self.uplinks)


def generate(computes: int, gateways: int, mtu: int | None = None) -> Topology:
    """One tenant network of a machine for each compute node, behind `gateways` uplinks."""
    _bound("computes", computes, MAX_COMPUTES)
    _bound("gateways", gateways, MAX_GATEWAYS)
    return Topology.of(
        [
            *(Host(name=f"c{n}", tunnel_address=f"172.31.0.{20 + n}") for n in count(computes)),
            *_tenant(computes, mtu),
            *_provider(),
            *public.generate(computes),
            *(resource for n in count(gateways) for resource in gateway(n)),
            # What one gateway knows of a connection, all of them know.
            PortGroup(
                name=UPLINKS, ports=tuple(f"uplink-g{n}" for n in count(gateways)), stateful=True
            ),
        ]
    )


def _tenant(computes: int, mtu: int | None) -> Iterator[Resource]:
    yield Bridge(name="tenant-net")
    for name, prefix, router in SUBNETS:
        yield Subnet(name=name, bridge="tenant-net", prefix=prefix, gateway=router, mtu=mtu)
    yield Router(name="tenant", inbound_filter=public.INBOUND, outbound_filter=public.OUTBOUND)
    yield SecurityGroup(name="machines", rules=OPEN)
    for n in count(computes):
        yield Port(
            name=f"vm{n}",
            device="tenant-net",
            mac=f"02:00:0a:00:00:{n:02x}",
            addresses=(f"10.0.0.{10 + n}/24", f"fd00:10::{10 + n}/64"),
            host=f"c{n}",
            interface=f"vm{n}",
            security_groups=("machines",),
        )
    yield Port(name="net-to-tenant", device="tenant-net", peer="tenant-to-net")
    yield Port(name="tenant-to-net", device="tenant", addresses=("10.0.0.1/24", "fd00:10::1/64"))
    yield Port(
        name="tenant-to-provider",
        device="tenant",
        addresses=("100.64.1.2/30", "fd00:ff::2/64"),
        peer="provider-to-tenant",
    )
    for destination, gateway in (("0.0.0.0/0", "100.64.1.1"), ("::/0", "fd00:ff::1")):
        yield _route("tenant", destination, "tenant-to-provider", gateway)


def _provider() -> Iterator[Resource]:
    yield Router(name="provider", asn=65010)
    yield Port(
        name="provider-to-tenant", device="provider", addresses=("100.64.1.1/30", "fd00:ff::1/64")
    )
    for prefix, gateway in ((public.PREFIX, "100.64.1.2"), ("fd00:10::/64", "fd00:ff::2")):
        yield _route("provider", prefix, "provider-to-tenant", gateway)
        yield BgpNetwork(router="provider", prefix=prefix)


def gateway(n: int) -> Iterator[Resource]:
    """Gateway `gN`: its host, its uplink, its sessions with the outside in both families."""
    uplink = f"uplink-g{n}"
    yield Host(name=f"g{n}", tunnel_address=f"172.31.0.{10 + n}")
    yield Port(
        name=uplink,
        device="provider",
        addresses=(f"10.56.{n}.2/24", f"fd00:56:{n}::2/64"),
        host=f"g{n}",
        interface="uplink",
    )
    for family, address in ((4, f"10.56.{n}.1"), (6, f"fd00:56:{n}::1")):
        yield BgpPeer(name=f"outside-g{n}-{family}", port=uplink, address=address, asn=65100)


def _route(router: str, destination: str, port: str, gateway: str) -> Route:
    return Route(
        router=router, destination=destination, next_hop_port=port, next_hop_gateway=gateway
    )


def with_gateway(topology: Topology, n: int) -> Topology:
    """`topology` and gateway `gN`."""
    own = tuple(gateway(n))
    uplinks = tuple(resource.name for resource in own if isinstance(resource, Port))
    groups = tuple(
        msgspec.structs.replace(group, ports=group.ports + uplinks)
        if group.name == UPLINKS
        else group
        for group in topology.port_groups
    )
    return Topology.of([*msgspec.structs.replace(topology, port_groups=groups), *own])


def without(topology: Topology, host: str) -> Topology:
    """`topology` less a gateway."""
    ports = {port.name for port in topology.ports if port.host == host}
    return msgspec.structs.replace(
        topology,
        bgp_peers=tuple(peer for peer in topology.bgp_peers if peer.port not in ports),
        ports=tuple(port for port in topology.ports if port.name not in ports),
        hosts=tuple(h for h in topology.hosts if h.name != host),
        port_groups=tuple(
            msgspec.structs.replace(group, ports=tuple(p for p in group.ports if p not in ports))
            for group in topology.port_groups
        ),
    )


def plan(topology: Topology) -> Plan:
    """The nodes and wires that `topology` speaks of."""
    ports = {port.name: port for port in topology.ports}
    bridges = {bridge.name for bridge in topology.bridges}
    exterior = [port for port in topology.ports if port.host and port.interface]
    speaking = {peer.port for peer in topology.bgp_peers}
    found = Plan(
        hosts={h.name: f"{h.tunnel_address}/{UNDERLAY_PREFIX}" for h in topology.hosts},
        machines=tuple(_machine(p, ports, topology) for p in exterior if p.device in bridges),
        uplinks=tuple(_uplink(p, topology) for p in exterior if p.name in speaking),
        outside_asn=_outside_asn(topology),
    )
    _check(found)
    return found


def _machine(port: Port, ports: dict[str, Port], topology: Topology) -> Machine:
    assert port.host and port.interface
    routers = [own for peer in _peers(port.device, ports) for own in _interfaces(peer)]
    addresses = [_with_prefix(a, [router.network for router in routers]) for a in port.addresses]
    own = [ip_interface(address).ip for address in addresses]
    return Machine(
        name=port.name,
        host=port.host,
        device=port.interface,
        mac=port.mac,
        addresses=tuple(addresses),
        gateways=tuple(str(r.ip) for r in routers if any(a in r.network for a in own)),
        leases=_leases(port, topology),
        public=public.reached_at([str(a) for a in own if a.version == 4], topology),
    )


def _leases(port: Port, topology: Topology) -> tuple[int, ...]:
    prefixes = [ip_network(s.prefix) for s in topology.subnets if s.bridge == port.device]
    own = [ip_interface(address).ip for address in port.addresses]
    inside = {ip.version for ip in own for prefix in prefixes if ip in prefix}
    return tuple(sorted(inside))


def _peers(bridge: str, ports: dict[str, Port]) -> list[Port]:
    """The router ports that `bridge` is linked with; either side may have stated the link."""
    inner = {p.name: p for p in ports.values() if p.device == bridge}
    stated = [ports[p.peer] for p in inner.values() if p.peer in ports]
    return stated + [p for p in ports.values() if p.peer in inner and p not in stated]


def _interfaces(port: Port) -> list[IPv4Interface | IPv6Interface]:
    return [ip_interface(address) for address in port.addresses]


def _with_prefix(address: str, subnets: list) -> str:  # type: ignore[type-arg]
    """`address` with the length of the subnet that it is in, where it has none of its own."""
    if "/" in address:
        return address
    inside = [s for s in subnets if ip_address(address) in s]
    return f"{address}/{inside[0].prefixlen}" if inside else str(ip_interface(address))


def _uplink(port: Port, topology: Topology) -> Uplink:
    assert port.host and port.interface
    addresses = _interfaces(port)
    peers = [peer.address for peer in topology.bgp_peers if peer.port == port.name]
    return Uplink(
        host=port.host,
        device=port.interface,
        asn=next(r.asn for r in topology.routers if r.name == port.device) or 0,
        gateway=tuple(str(address.ip) for address in addresses),
        outside=tuple(_with_prefix(peer, [a.network for a in addresses]) for peer in peers),
    )


def _outside_asn(topology: Topology) -> int:
    asns = sorted({peer.asn for peer in topology.bgp_peers})
    if len(asns) > 1:
        raise InputError(f"bgp peers: the lab has one outside router, not one for each of {asns}")
    return asns[0] if asns else 65100


def _check(found: Plan) -> None:
    """What the lab cannot build, although the model allows it."""
    if not found.machines:
        raise InputError("topology: no bridge has an exterior port, so there is no machine to run")
    for host in found.hosts:
        if len(host) > NAME_MAX:
            raise InputError(f"host {host!r}: the lab's names have {NAME_MAX} characters at most")
        if sum(uplink.host == host for uplink in found.uplinks) > 1:
            raise InputError(f"host {host!r}: the lab gives a gateway one uplink")
    for device in [m.device for m in found.machines] + [u.device for u in found.uplinks]:
        if len(device) > DEVICE_MAX:
            raise InputError(f"port: interface: {device!r} is longer than {DEVICE_MAX} characters")


def count(number: int) -> range:
    return range(1, number + 1)


def _bound(option: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InputError(f"--{option} {value}: from 1 to {most}")
