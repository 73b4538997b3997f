"""What the oracle knows: the resources, who is alive, and plain questions about them.

1. Every question is answered by scanning the resources: slow, obvious, nothing compiled.
2. What a host found out counts only while that host is alive, and a port's status only while
   the port is that host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import NamedTuple

from frames import Address

from onehop.engine import model


class Hop(NamedTuple):
    """One route that applies to a packet."""

    destination: int  # prefix length
    source: int
    weight: int
    type: str
    port: str | None
    gateway: Address | None

    @property
    def rank(self) -> tuple[int, int, int]:
        return (-self.destination, -self.source, self.weight)


class World:
    """The virtual topology as a bag of resources."""

    def __init__(self, resources: Iterable[model.Resource] = ()) -> None:
        self.rows: dict[str, dict[str, model.Resource]] = {kind: {} for kind in model.KINDS}
        self.dead: set[str] = set()
        self.put(resources)

    def put(self, resources: Iterable[model.Resource]) -> None:
        for resource in resources:
            self.rows[resource.KIND][resource.name] = resource

    def remove(self, kind: str, name: str) -> None:
        self.rows[kind].pop(name, None)

    def all(self, kind: type) -> list:
        return list(self.rows[kind.KIND].values())

    def alive(self, kind: type) -> Iterator:
        """State rows that count."""
        return (row for row in self.all(kind) if row.host not in self.dead)

    # Devices and ports

    def port(self, name: str) -> model.Port | None:
        return self.rows["port"].get(name)

    def bridge(self, port: model.Port) -> model.Bridge | None:
        return self.rows["bridge"].get(port.device)

    def router(self, port: model.Port) -> model.Router | None:
        return self.rows["router"].get(port.device)

    def peer(self, port: model.Port) -> model.Port | None:
        if port.peer is not None:
            return self.port(port.peer)
        return next((other for other in self.all(model.Port) if other.peer == port.name), None)

    def ports(self, device: str) -> list[model.Port]:
        return [port for port in self.all(model.Port) if port.device == device]

    def is_exterior(self, port: model.Port) -> bool:
        return port.host is not None and port.interface is not None

    def is_active(self, port: model.Port) -> bool:
        device = self.bridge(port) or self.router(port)
        if not port.admin_state_up or device is None or not device.admin_state_up:
            return False
        if not self.is_exterior(port):
            return self.peer(port) is not None
        here = (row for row in self.alive(model.PortStatus) if row.host == port.host)
        return port.host not in self.dead and all(row.up for row in here if row.port == port.name)

    def mac(self, port: model.Port) -> str:
        """The MAC of a router's port."""
        return (port.mac or model.router_mac(port)).lower()

    # What a bridge knows

    def links(self, bridge: str) -> Iterator[tuple[model.Port, str]]:
        """The ports of `bridge` that lead to another bridge, and which."""
        for port in self.ports(bridge):
            peer = self.peer(port)
            if peer is not None and self.bridge(peer) is not None and self.is_active(port):
                if self.is_active(peer):
                    yield port, peer.device

    def segment(self, bridge: str) -> list[str]:
        """The bridges that `bridge` is joined to by links between bridges, itself first."""
        found = [bridge] if bridge in self.rows["bridge"] else []
        for name in found:
            found += [far for _, far in self.links(name) if far not in found]
        return found

    def stated_macs(self, bridge: str) -> dict[str, model.Port]:
        """The MACs that need no learning on one bridge, and the port each is behind."""
        found = {}
        for port in self.ports(bridge):
            peer = self.peer(port)
            if peer is not None and self.router(peer) is not None:
                found[self.mac(peer)] = port
            elif self.is_exterior(port) and port.mac:
                found[port.mac.lower()] = port
        return found

    def mac_port(self, bridge: str, vlan: int, mac: str, came_from: str = "") -> model.Port | None:
        """The port of `bridge` that `mac` is behind: stated, learned, or known on a linked one."""
        if here := self.mac_here(bridge, vlan, mac):
            return here
        for port, far in self.links(bridge):
            if far != came_from and self.mac_port(far, vlan, mac, bridge):
                return port
        return None

    def mac_here(self, bridge: str, vlan: int, mac: str) -> model.Port | None:
        if stated := self.stated_macs(bridge).get(mac):
            return stated
        for row in self.alive(model.LearnedMac):
            if (row.bridge, row.vlan, row.mac.lower()) == (bridge, vlan, mac):
                return self.port(row.port)
        return None

    def known_addresses(self, bridge: str) -> dict[Address, str]:
        """The addresses in a bridge's segment that need no asking, and their MACs."""
        learned: dict[Address, str] = {}
        stated: dict[Address, str] = {}
        for name in self.segment(bridge):
            for port in self.ports(name):
                peer = self.peer(port)
                if peer is not None and self.router(peer) is not None:
                    learned |= self.neighbor_rows(peer)
                stated |= self._stated_behind(port)
        return learned | stated

    def _stated_behind(self, port: model.Port) -> dict[Address, str]:
        """The addresses that are stated behind a bridge's port: a router's or a machine's."""
        peer = self.peer(port)
        if peer is not None and self.router(peer) is not None:
            return self._answered(peer)
        if self.is_exterior(port) and port.mac:
            return self._own(port, port.mac.lower())
        return {}

    def _own(self, port: model.Port, mac: str) -> dict[Address, str]:
        return {ip_interface(text).ip: mac for text in port.addresses}

    def _answered(self, port: model.Port) -> dict[Address, str]:
        """What a router's port answers for: its addresses, and virtual ones in its subnets."""
        virtual = self.virtual(port.device) | self.pooled(port.device)
        found = {one: self.mac(port) for one in virtual if self.on_link(port, one)}
        return found | self._own(port, self.mac(port))

    def virtual(self, router: str) -> set[Address]:
        """The floating IPs and the VIPs of a router."""
        rows = (*self.all(model.FloatingIp), *self.all(model.Vip))
        return {ip_address(row.address) for row in rows if row.router == router}

    def pooled(self, router: str) -> set[Address]:
        """What the router's filters, and its ports', translate sources to."""
        holders = [*self.ports(router), *filter(None, [self.rows["router"].get(router)])]
        names = [c for h in holders for c in (h.inbound_filter, h.outbound_filter) if c]
        for name in names:
            chain = self.rows["chain"].get(name)
            jumps = (rule.jump for rule in (chain.rules if chain else ()) if rule.jump)
            names += [jump for jump in jumps if jump not in names]
        chains = filter(None, (self.rows["chain"].get(name) for name in names))
        rules = (rule for chain in chains for rule in chain.rules if rule.action == "snat")
        return {one for rule in rules for target in rule.targets for one in _range(target)}

    def neighbor_rows(self, port: model.Port) -> dict[Address, str]:
        rows = (row for row in self.alive(model.Neighbor) if row.port == port.name)
        return {ip_address(row.address): row.mac.lower() for row in rows}

    # What a router knows

    def own_addresses(self, router: str) -> set[Address]:
        own = {ip_interface(t).ip for port in self.ports(router) for t in port.addresses}
        return own | self.pooled(router)

    def source_address(self, port: model.Port, towards: Address) -> Address | None:
        """The port's address to speak from: in the same subnet where there is one."""
        same = [ip_interface(t) for t in port.addresses]
        same = [own for own in same if own.version == towards.version]
        inside = [own for own in same if towards in own.network]
        return next((own.ip for own in (*inside, *same)), None)

    def on_link(self, port: model.Port, address: Address) -> bool:
        return any(address in ip_interface(text).network for text in port.addresses)

    def is_subnet_broadcast(self, router: str, address: Address) -> bool:
        nets = [ip_interface(t).network for p in self.ports(router) for t in p.addresses]
        wide = (net for net in nets if net.version == 4 and net.prefixlen < 31)
        return any(address in (net.broadcast_address, net.network_address) for net in wide)

    def mtu(self, port: model.Port) -> int | None:
        return port.mtu if self.router(port) else None

    def neighbor(self, port: model.Port, address: Address) -> str | None:
        """The MAC of `address` on the link of a router's port."""
        stated, peer = self.stated_neighbors(port), self.peer(port)
        if peer is None or self.bridge(peer) is None:
            return (self.neighbor_rows(port) | stated).get(address)
        return (self.known_addresses(peer.device) | stated).get(address)

    def stated_neighbors(self, port: model.Port) -> dict[Address, str]:
        """The addresses on the link of a router's port that are stated, and their MACs."""
        peer = self.peer(port)
        if peer is None:
            return {}
        if self.router(peer) is not None:
            return self._answered(peer)
        found: dict[Address, str] = {}
        for bridge in self.segment(peer.device):
            for other in self.ports(bridge):
                found |= self._stated_behind(other)
        return found

    def routes(self, router: str, source: Address, destination: Address) -> list[Hop]:
        """The best routes of a router: more than one where they are equal."""
        fitting = [
            hop
            for source_net, net, hop in self._all_routes(router)
            if net.version == destination.version and destination in net
            if source_net is None or source in source_net
            if hop.port is None or self._usable(hop.port)
        ]
        best = min((hop.rank for hop in fitting), default=None)
        return [hop for hop in fitting if hop.rank == best]

    def _usable(self, name: str) -> bool:
        port = self.port(name)
        return port is not None and self.is_active(port)

    def _all_routes(self, router: str) -> Iterator[tuple]:
        for row in self.all(model.Route):
            if row.router == router:
                source = ip_network(row.source) if row.source else None
                yield source, ip_network(row.destination), self._stated(row, source)
        for row in self.alive(model.LearnedRoute):
            port = self.port(row.next_hop_port)
            if port is not None and port.device == router:
                net = ip_network(row.destination)
                gateway = ip_address(row.next_hop_gateway)
                yield None, net, Hop(net.prefixlen, 0, row.weight, "normal", port.name, gateway)
        for port in self.ports(router):
            for text in port.addresses:
                net = ip_interface(text).network
                yield None, net, Hop(net.prefixlen, 0, 0, "normal", port.name, None)

    def _stated(self, row: model.Route, source: object) -> Hop:
        gateway = ip_address(row.next_hop_gateway) if row.next_hop_gateway else None
        lengths = ip_network(row.destination).prefixlen, getattr(source, "prefixlen", 0)
        return Hop(*lengths, row.weight, row.type, row.next_hop_port, gateway)


def _range(target: model.NatTarget) -> Iterator[Address]:
    first = ip_address(target.first_address)
    for number in range(int(first), int(ip_address(target.last_address or first)) + 1):
        yield type(first)(number)
