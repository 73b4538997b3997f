"""What follows from the resources: the facts that the compiled topology holds.

1. Every resource is the source of some facts; a fact's key says what it is about (see `sources`).
   Any sequence of changes that ends in the same resources ends in the same facts.
2. A change recomputes only the sources that it can have touched, and reports only the facts that
   came out different.
3. References to what is not there make a fact inactive or absent; nothing is refused here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from onehop.engine.address import masked, packed
from onehop.engine.fact import (
    DeviceFact,
    HostFact,
    Key,
    MacFact,
    NeighborFact,
    PortFact,
    RouteFact,
    about_prefix,
    addresses_of,
    broadcasts,
    discard,
    is_exterior,
    learned_routes,
    mac_bytes,
    networks_of,
    one_route,
    owner_of,
    port_of,
    say_route,
)
from onehop.engine.filters import say_device_filters, say_filters, say_named
from onehop.engine.model import (
    AddressGroup,
    Bridge,
    Chain,
    FloatingIp,
    Host,
    LearnedMac,
    LearnedRoute,
    MemberStatus,
    NatBlock,
    Neighbor,
    Pool,
    PoolMember,
    Port,
    PortGroup,
    PortStatus,
    Resource,
    Route,
    Router,
    SecurityGroup,
    Subnet,
    Vip,
    router_mac,
)
from onehop.engine.reach import Reach
from onehop.engine.sources import Source, Sources
from onehop.engine.subnets import link_local, say_leases, say_subnet
from onehop.engine.translations import say_member, say_translation

R = TypeVar("R", bound=Resource)

ANY_VLAN = 0xFFFF
POOLS = "pools"  # a source: what a router translates sources to
FEW_BITS = 8  # of a pool, whose addresses are known one by one
NO_NAMES: frozenset[str] = frozenset()
NO_SOURCES: frozenset[Source] = frozenset()


class Facts:
    """The resources, and the facts that follow from them."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], Resource] = {}
        self._sources = Sources()
        self._claims: dict[str, set[str]] = defaultdict(set)  # port -> ports that state it as peer
        self._members: dict[str, set[str]] = defaultdict(set)  # device -> its ports
        self._rows: dict[str, set[Source]] = defaultdict(set)  # port -> what was seen there
        self._subnets: dict[str, set[str]] = defaultdict(set)  # bridge -> its subnets
        self._pools: dict[str, set[Source]] = defaultdict(set)  # pool -> its members
        self._dead: set[str] = set()
        self._reach = Reach()

    def change(self, put: Iterable[Resource], remove: Iterable[tuple[str, str]]) -> dict[Key, Any]:
        """Apply the changes; return the facts that are new, different, or None: gone."""
        touched: set[Source] = set()
        changed: list[Resource] = []
        for resource in put:
            key = resource.KIND, resource.name
            old = self.resources.get(key)
            if old != resource:
                touched |= self._forget(key, old)
                self._note(key, resource)
                changed.append(resource)
        for key in remove:
            touched |= self._forget(key, self.resources.get(key))
        return self._hear(touched | self._touched_by(changed))

    def set_alive(self, host: str, *, alive: bool) -> dict[Key, Any]:
        """What a host saw counts only while it is alive; return the facts that changed."""
        if alive == (host not in self._dead):
            return {}
        (self._dead.discard if alive else self._dead.add)(host)
        rows = (key for keys in self._rows.values() for key in keys)
        return self._hear({key for key in rows if owner_of(self.resources[key]) == host})

    def get(self, cls: type[R], name: str | None) -> R | None:
        """The resource of that class and name."""
        found = self.resources.get((cls.KIND, name)) if name is not None else None
        return found if isinstance(found, cls) else None

    def device(self, name: str) -> Bridge | Router | None:
        """Bridges and routers share one name space; a bridge comes first."""
        return self.get(Bridge, name) or self.get(Router, name)

    # Which sources a change touches

    def _note(self, key: tuple[str, str], new: Resource) -> None:
        self.resources[key] = new
        self._reach.note(new)
        if isinstance(new, Port):
            self._members[new.device].add(new.name)
            if new.peer:
                self._claims[new.peer].add(new.name)
        elif isinstance(new, Subnet):
            self._subnets[new.bridge].add(new.name)
        elif isinstance(new, PoolMember):
            self._pools[new.pool].add(key)
        elif port := port_of(new):
            self._rows[port].add(key)

    def _forget(self, key: tuple[str, str], old: Resource | None) -> set[Source]:
        """Be without it; what had depended on it."""
        if old is None:
            return set()
        touched = self._touched_by([old])
        del self.resources[key]
        self._reach.forget(old)
        if isinstance(old, Port):
            discard(self._members, old.device, old.name)
            if old.peer:
                discard(self._claims, old.peer, old.name)
        elif isinstance(old, Subnet):
            discard(self._subnets, old.bridge, old.name)
        elif isinstance(old, PoolMember):
            discard(self._pools, old.pool, key)
        elif port := port_of(old):
            discard(self._rows, port, key)
        return touched

    def _touched_by(self, resources: Iterable[Resource]) -> set[Source]:
        touched: set[Source] = set()
        ports: set[str] = set()
        for resource in resources:
            match resource:
                case Port():  # the most come first
                    ports.add(resource.name)
                case Host() | Route() | AddressGroup() | PortGroup() | SecurityGroup():
                    touched.add((resource.KIND, resource.name))
                case Chain():
                    touched.add((resource.KIND, resource.name))
                    touched |= {(POOLS, name) for name in self._reach.devices(resource)}
                case FloatingIp() | NatBlock() | PoolMember() | Vip():
                    touched.add((resource.KIND, resource.name))
                case Pool():
                    touched |= self._pools.get(resource.name, set())
                case MemberStatus():
                    touched.add((PoolMember.KIND, resource.member))
                case LearnedMac() | LearnedRoute() | Neighbor():
                    touched.add((resource.KIND, resource.name))
                case PortStatus():
                    touched.add(("port", resource.port))
                case Bridge() | Router():
                    touched |= {("device", resource.name), (POOLS, resource.name)}
                    ports |= self._members.get(resource.name, set())
                case Subnet():
                    touched.add((Subnet.KIND, resource.name))
                    ports |= self._members.get(resource.bridge, set())
        return touched | self._touched_around(ports)

    def _touched_around(self, ports: set[str]) -> set[Source]:
        """What depends on these ports, on their links, and on who is seen there."""
        near = self._near(self._near(ports))
        touched = {("port", name) for name in near}
        devices = set()
        for name in near:
            if port := self.get(Port, name):
                devices.add(port.device)
            touched |= self._rows.get(name, NO_SOURCES)
        for name in devices:
            touched.add((POOLS, name))
            touched |= self._reach.virtual(name)
        return touched

    def _near(self, ports: set[str]) -> set[str]:
        """The ports, and those that their links may depend on."""
        near = set(ports)
        for name in ports:
            port = self.get(Port, name)
            if port and port.peer:
                near.add(port.peer)
            near |= self._claims.get(name, NO_NAMES)
        return near

    # What a source says

    def _hear(self, sources: set[Source]) -> dict[Key, Any]:
        """Have these sources speak again; the facts that are others now.

        In order of their names: what has like names mostly lies together in memory.
        """
        keys: dict[Key, None] = {}
        for source in sorted(sources):
            keys |= dict.fromkeys(self._sources.hear(source, dict(self._say(source))))
        return {key: self._sources.settle(key) for key in keys}

    def _say(self, source: Source) -> Iterable[tuple[Key, Any]]:
        kind, name = source
        if kind == "device":
            return self._say_device(self.device(name))
        if kind == POOLS:
            return self._say_pools(self.get(Router, name))
        match resource := self.resources.get(source):
            case None:
                return ()
            case Port():
                return self._say_port(resource)
            case Route():
                return say_route(resource)
            case Host():
                return [(source, HostFact(packed(resource.tunnel_address)))]
            case FloatingIp() | NatBlock() | Vip():
                return (*say_translation(resource), *self._say_virtual(resource))
            case PoolMember():
                return say_member(resource, self._status(resource))
            case Subnet():
                return say_subnet(resource)
            case LearnedMac() | LearnedRoute() | Neighbor():
                return self._say_seen(resource)
        return say_named(resource)

    def _status(self, member: PoolMember) -> MemberStatus | None:
        """What was found out about a member whose pool is monitored."""
        pool = self.get(Pool, member.pool)
        return self.get(MemberStatus, member.name) if pool and pool.monitor else None

    def _say_device(self, device: Bridge | Router | None) -> Iterator[tuple[Key, Any]]:
        if device is None:
            return
        is_router = isinstance(device, Router)
        key = 0 if isinstance(device, Router) else device.tunnel_key
        yield ("device", device.name), DeviceFact(is_router, device.admin_state_up, key)
        yield from say_device_filters(device)

    def _say_port(self, port: Port) -> Iterator[tuple[Key, Any]]:
        peer = self.link(port)
        device = self.device(port.device)
        yield ("port", port.name), self._port_fact(port, device, peer)
        yield ("members", port.device), port.name
        is_machine = isinstance(device, Bridge) and peer is None
        yield from say_filters(port, is_bridge_port=is_machine)
        if isinstance(device, Bridge):
            yield from self._say_bridge_port(port, peer)
        elif isinstance(device, Router):
            yield from self._say_router_port(port, peer)

    def _port_fact(
        self, port: Port, device: Bridge | Router | None, peer: Port | None
    ) -> PortFact:
        is_router = isinstance(device, Router)
        status = self.get(PortStatus, port.name)
        return PortFact(
            device=port.device,
            up=port.admin_state_up and device is not None and device.admin_state_up,
            carrier=status is None or status.up or status.host != port.host,
            peer=peer.name if peer else None,
            host=port.host if is_exterior(port) else None,
            key=port.tunnel_key,
            mac=mac_bytes(router_mac(port)) if is_router else bytes(6),
            addresses=addresses_of(port) if is_router else (),
            place=self._place(port, peer),
            mtu=(port.mtu or 0) if is_router else 0,
        )

    def _say_bridge_port(self, port: Port, peer: Port | None) -> Iterator[tuple[Key, Any]]:
        """Who is behind it: what it states, or the router it is peered with; and who was seen."""
        behind = peer if peer and isinstance(self.device(peer.device), Router) else None
        if behind is None and peer is None:
            behind = port
        mac = behind and (router_mac(behind) if behind is peer else behind.mac)
        if behind is port:
            yield from say_leases(port, self._subnets_of(port.device))
        elif behind and mac and self._advertises(port.device):
            about = ("neighbor", ("device", port.device), link_local(mac_bytes(mac)))
            yield about, NeighborFact(False, mac_bytes(mac))
        if behind and mac:
            yield ("mac", port.device, ANY_VLAN, mac_bytes(mac)), MacFact(False, port.name)
            for ip, _ in addresses_of(behind):
                yield (
                    ("neighbor", ("device", port.device), ip),
                    NeighborFact(False, mac_bytes(mac)),
                )

    def _say_router_port(self, port: Port, peer: Port | None) -> Iterator[tuple[Key, Any]]:
        """Its own and its connected prefixes, who is on its link, what was learned by it."""
        place = self._place(port, peer)
        routes: dict[Key, tuple[RouteFact, ...]] = defaultdict(tuple)
        for own, bits in addresses_of(port):
            whole, network = len(own) * 8, masked(own, bits)
            routes["prefix", port.device, own, whole] += one_route("local")
            if bits < whole:
                routes["prefix", port.device, network, bits] += one_route("normal", port=port.name)
            for broadcast in broadcasts(network, bits):
                routes["prefix", port.device, broadcast, whole] += one_route("broadcast")
        if peer and self._advertises(peer.device):
            own = link_local(mac_bytes(router_mac(port)))
            routes["prefix", port.device, own, len(own) * 8] += one_route("local")
        yield from routes.items()
        if peer and isinstance(self.device(peer.device), Router):
            for ip, _ in addresses_of(peer):
                yield ("neighbor", place, ip), NeighborFact(False, mac_bytes(router_mac(peer)))

    def _say_virtual(self, resource: Resource | None) -> Iterator[tuple[Key, Any]]:
        """A floating IP or a VIP: who is beside the router knows it as the router's."""
        if isinstance(resource, FloatingIp | Vip) and self.get(Router, resource.router):
            yield from self._say_beside(resource.router, packed(resource.address))

    def _say_pools(self, router: Router | None) -> Iterator[tuple[Key, Any]]:
        """What a router translates sources to is its own."""
        if router is None:
            return
        for ip, length in sorted(self._reach.pools(router.name)):
            yield ("prefix", router.name, ip, length), one_route("pool")
            if len(ip) * 8 - length <= FEW_BITS:
                network = ip_network((ip, length))
                for address in network:
                    yield from self._say_beside(router.name, address.packed)

    def _say_beside(self, router: str, ip: bytes) -> Iterator[tuple[Key, Any]]:
        for name in sorted(self._members.get(router, ())):
            port = self.get(Port, name)
            peer = self.link(port) if port else None
            if port and peer and any(ip_address(ip) in net for net in networks_of(port)):
                is_bridge = isinstance(self.device(peer.device), Bridge)
                place = ("device", peer.device) if is_bridge else self._place(peer, port)
                yield ("neighbor", place, ip), NeighborFact(False, mac_bytes(router_mac(port)))

    def _say_seen(self, row: Resource | None) -> Iterator[tuple[Key, Any]]:
        """What a host found out, where it fits what is stated."""
        port = self.get(Port, port_of(row))
        if row is None or port is None or owner_of(row) in self._dead:
            return
        device, peer = self.device(port.device), self.link(port)
        match row:
            case LearnedMac() if row.bridge == port.device and is_exterior(port):
                yield ("mac", row.bridge, row.vlan, mac_bytes(row.mac)), MacFact(True, port.name)
            case Neighbor() if isinstance(device, Router):
                about = ("neighbor", self._place(port, peer), packed(row.address))
                yield about, NeighborFact(True, mac_bytes(row.mac))
            case LearnedRoute() if isinstance(device, Router):
                about = about_prefix(port.device, row.destination)
                yield about, learned_routes(row, about)

    # Subnets

    def _subnets_of(self, bridge: str) -> list[Subnet]:
        names = sorted(self._subnets.get(bridge, NO_NAMES))
        return [found for name in names if (found := self.get(Subnet, name))]

    def _advertises(self, bridge: str) -> bool:
        """Whether the bridge's routers are told of by router advertisements."""
        return any(":" in subnet.prefix for subnet in self._subnets_of(bridge))

    # Links

    def link(self, port: Port) -> Port | None:
        """The port at the other end, where both ends agree that they are each other's peers."""
        wish = self._wish(port)
        return wish if wish and wish is not port and self._wish(wish) is port else None

    def _wish(self, port: Port) -> Port | None:
        if is_exterior(port):
            return None
        claims = self._claims.get(port.name)
        return self.get(Port, port.peer or (min(claims) if claims else None))

    def _place(self, port: Port, peer: Port | None) -> tuple[str, str]:
        if peer and isinstance(self.device(peer.device), Bridge):
            return ("device", peer.device)
        return ("port", port.name)
