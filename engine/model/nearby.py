"""What a change may concern: whose verdict it may alter, and what those verdicts depend on.

The rules say what is right; this says where to look.  Of a sound topology, and a change to it:

1. `touched` yields all resources about which a rule may find something new.  It is asked about
   each resource that changes, before the change and after it; more than needed does no harm.
2. `context` adds what the rules consult about these.  With it, a rule finds of them what it would
   find in the whole topology; what it finds of the others means nothing.
3. Costs follow what is linked to, names or shares something with what changes; never the number
   of all resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from onehop.engine.limits import MAX_LIMITS
from onehop.engine.model.domains import Domains, Skeleton
from onehop.engine.model.index import Ident, Index
from onehop.engine.model.keysof import keys_of, packed_interface, snat_ranges
from onehop.engine.model.resources import (
    BgpNetwork,
    BgpPeer,
    Chain,
    FloatingIp,
    HealthMonitor,
    Pool,
    PoolMember,
    Port,
    Resource,
    Route,
    Router,
    Subnet,
    Vip,
)
from onehop.engine.model.texts import read_address

DEVICES = ("bridge", "router")
FILTERS = ("inbound_filter", "outbound_filter")
SHARED = (
    "names",
    "address",
    "mtu",
    "member",
    "among monitors",
)  # the keys that any number may have
OWNERSHIP = ("tenant", "shared")
PLACE = ("device", "peer", "host", "addresses", "mac")  # of a port: what its domain sees of it

Idents = Iterator[Ident]


class Nearby:
    """What is near to resources, in an index that does not change meanwhile."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._domains = Domains(index)

    # What a change may concern.

    def touched(self, resource: Resource, other: Resource | None) -> Idents:
        """What it may concern that `resource` became `other`, or the other way round."""
        ident = (resource.KIND, resource.name)
        for key in keys_of(resource):
            if key[0] not in SHARED:
                yield from self._index.having(*key)
        if _differ(resource, other, OWNERSHIP):
            yield from self._index.users(ident)
        if resource.KIND in DEVICES:
            yield from self._touched_by_device(resource, other)
        look = self.LOOKS.get(type(resource))
        if look is not None:
            yield from look(self, resource, other)

    def _touched_by_device(self, device: Resource, other: Resource | None) -> Idents:
        yield from ((kind, device.name) for kind in DEVICES)
        for kind in DEVICES if other is None else ():
            for user in self._index.users((kind, device.name), "port"):
                port = self._index[user]
                assert isinstance(port, Port)
                yield from self._port(port, None)

    def _port(self, port: Port, other: Port | None) -> Idents:
        ident = ("port", port.name)
        yield from self._index.users(ident, "port", "route", "bgp_peer")
        if port.peer is not None:
            yield "port", port.peer
            yield from self._index.users(("port", port.peer), "port")
        if len(self._index.mtus) > MAX_LIMITS:
            for mtu in self._index.mtus:
                yield from self._index.having("mtu", mtu)
        if _differ(port, other, PLACE):
            yield from self._touched_by_place(port, self._domains.of_port(port))
        if _differ(port, other, (*FILTERS, "device")):
            yield from self._virtuals_in(_filters(port), [port.device])

    def _touched_by_place(self, port: Port, domain: Skeleton) -> Idents:
        if port.name in domain.ports:  # it links the domain, or gives it its subnets
            yield from (("port", name) for name in domain.ports)
            for bridge in domain.bridges:
                yield from self._index.users(("bridge", bridge), "port", "subnet")
        for bridge in domain.bridges:
            for text in port.addresses:
                yield from self._index.having("address on", bridge, packed_interface(text))
            if port.mac is not None:
                yield from self._index.having("mac on", bridge, port.mac.lower())

    def _router(self, router: Router, other: Router | None) -> Idents:
        if _differ(router, other, ("asn",)):
            yield from self._index.users(("router", router.name), "bgp_network")
            for _, name in self._index.users(("router", router.name), "port"):
                yield from self._index.users(("port", name), "bgp_peer")
        if _differ(router, other, FILTERS):
            yield from self._virtuals_in(_filters(router), [router.name])

    def _chain(self, chain: Chain, other: Chain | None) -> Idents:
        above = set(self._reached([chain.name], self._jumping_to))
        yield from (("chain", name) for name in above)
        for first, last, version in snat_ranges(chain):
            yield from (("chain", n) for n in self._index.chains_around(first, last, version))
        routers: set[str] = set()
        for name in above:
            for kind, user in self._index.users(("chain", name), "router", "port"):
                port = self._index.port(user) if kind == "port" else None
                routers.add(port.device if port else user)
        yield from self._virtuals_in([chain.name], routers)

    def _virtuals_in(self, chains: Iterable[str], routers: Iterable[str]) -> Idents:
        """The floating IPs and VIPs of routers with addresses of pools that `chains` lead to."""
        reached = set(self._reached(chains, self._jumped_to))
        pooling = {name for name in reached if self._pools(name)}
        for router in routers if pooling else ():
            for ident in self._index.users(("router", router), "floating_ip", "vip"):
                virtual = self._index[ident]
                assert isinstance(virtual, FloatingIp | Vip)
                if pooling & self._index.chains_with(read_address(virtual.address)):
                    yield ident

    def _pools(self, chain: str) -> bool:
        found = self._index.get(("chain", chain))
        return isinstance(found, Chain) and next(snat_ranges(found), None) is not None

    def _vip(self, vip: Vip, other: Vip | None) -> Idents:
        yield from self._asked_from(vip.pool)
        yield from self._index.users(("pool", vip.pool), "pool_member")
        for ident in self._index.having("member", read_address(vip.address).packed):
            member = self._index[ident]
            assert isinstance(member, PoolMember)
            if any(self._router_of(user) == vip.router for user in self._vips(member.pool)):
                yield ident

    def _member(self, member: PoolMember, other: PoolMember | None) -> Idents:
        yield from self._asked_from(member.pool)

    def _pool(self, pool: Pool, other: Pool | None) -> Idents:
        yield from self._asked_from(pool.name)

    def _monitor(self, monitor: HealthMonitor, other: HealthMonitor | None) -> Idents:
        for _, pool in self._index.users(("health_monitor", monitor.name), "pool"):
            yield from self._asked_from(pool)

    def _asked_from(self, pool: str) -> Idents:
        """The ports in the way of the monitor that asks a pool's members."""
        for vip in self._vips(pool):
            yield from self._index.having("among monitors", self._router_of(vip))

    def _subnet(self, subnet: Subnet, other: Subnet | None) -> Idents:
        yield from self._index.users(("bridge", subnet.bridge), "subnet")

    def of_ports(self, idents: Iterable[Ident]) -> Idents:
        """The floating IPs and VIPs that have the address of one of these ports."""
        for _, name in (ident for ident in idents if ident[0] == "port"):
            port = self._index.port(name)
            if port is None or not port.addresses:
                continue
            for device in {port.device, *self._domains.of_port(port).devices}:
                for text in port.addresses:
                    yield from self._index.having("virtual", device, packed_interface(text))

    LOOKS: dict[type[Resource], Callable[[Nearby, Any, Any], Idents]] = {
        Port: _port, Router: _router, Chain: _chain, Vip: _vip, Subnet: _subnet, Pool: _pool,
        PoolMember: _member, HealthMonitor: _monitor,
    }  # fmt: skip

    # What their verdicts depend on.

    def context(self, idents: Iterable[Ident]) -> Idents:
        """What the rules consult about these resources, and more."""
        for ident in idents:
            resource = self._index.get(ident)
            look = self.CONTEXTS.get(type(resource))
            if look is not None:
                yield from look(self, resource)

    def _of_port(self, port: Port) -> Idents:
        yield from self._of_domain(self._domains.of_port(port))
        yield from ((kind, port.device) for kind in DEVICES)
        if ("port", port.name) in self._index.having("among monitors", port.device):
            yield from self._monitors_at(port.device)

    def _monitors_at(self, router: str) -> Idents:
        """What makes the monitors of a router: pools, their VIPs at all routers, their members."""
        for ident in self._index.users(("router", router), "vip"):
            vip = self._index[ident]
            assert isinstance(vip, Vip)
            yield "pool", vip.pool
            yield from self._index.users(("pool", vip.pool), "vip", "pool_member")
            pool = self._index.get(("pool", vip.pool))
            yield from [("health_monitor", getattr(pool, "monitor", None) or "")]

    def _of_domain(self, domain: Skeleton) -> Idents:
        yield from (("port", name) for name in domain.ports)
        yield from ((kind, name) for name in domain.devices for kind in DEVICES)

    def _of_route(self, route: Route) -> Idents:
        if route.next_hop_port is not None:
            yield from self._port_and_device(route.next_hop_port)

    def _of_bgp_peer(self, peer: BgpPeer) -> Idents:
        yield from self._port_and_device(peer.port)

    def _port_and_device(self, name: str) -> Idents:
        port = self._index.port(name)
        if port is not None:
            yield "port", name
            yield from ((kind, port.device) for kind in DEVICES)

    def _of_network(self, network: BgpNetwork) -> Idents:
        yield "router", network.router

    def _of_chain(self, chain: Chain) -> Idents:
        yield from (("chain", name) for name in self._reached([chain.name], self._jumped_to))

    def _of_virtual(self, virtual: FloatingIp | Vip) -> Idents:
        yield "router", virtual.router
        address = read_address(virtual.address)
        for ident in self._index.having("address", address.packed):
            yield ident
            yield from self.context([ident])
        if self._index.chains_with(address):
            yield from self._chains_at(virtual.router)

    def _chains_at(self, router: str) -> Idents:
        """What packets are filtered by at a router, and the ports that say so."""
        ident = ("router", router)
        filters = set(_filters(self._index.get(ident)))
        for user in self._index.users(ident, "port"):
            found = _filters(self._index[user])
            if found:
                filters.update(found)
                yield user
        yield from (("chain", name) for name in self._reached(filters, self._jumped_to))

    def _of_member(self, member: PoolMember) -> Idents:
        packed = read_address(member.address).packed
        for vip in self._vips(member.pool):
            yield vip
            yield from self._index.having("virtual", self._router_of(vip), packed)

    def _of_subnet(self, subnet: Subnet) -> Idents:
        yield from self._of_domain(self._domains.of_bridge(subnet.bridge))

    CONTEXTS: dict[type[Resource] | type[None], Callable[[Nearby, Any], Idents]] = {
        Port: _of_port, Route: _of_route, BgpPeer: _of_bgp_peer, Chain: _of_chain,
        FloatingIp: _of_virtual, Vip: _of_virtual, PoolMember: _of_member, Subnet: _of_subnet,
        BgpNetwork: _of_network,
    }  # fmt: skip

    # Ways between resources.

    def _vips(self, pool: str) -> list[Ident]:
        return self._index.users(("pool", pool), "vip")

    def _router_of(self, vip: Ident) -> str:
        found = self._index[vip]
        assert isinstance(found, Vip)
        return found.router

    def _jumped_to(self, chain: str) -> Iterable[str]:
        found = self._index.get(("chain", chain))
        rules = found.rules if isinstance(found, Chain) else ()
        return {rule.jump for rule in rules if rule.jump is not None}

    def _jumping_to(self, chain: str) -> Iterable[str]:
        return [name for _, name in self._index.users(("chain", chain), "chain")]

    def _reached(
        self, names: Iterable[str], following: Callable[[str], Iterable[str]]
    ) -> set[str]:
        found, waiting = set(names), list(names)
        while waiting:
            new = set(following(waiting.pop())) - found
            found |= new
            waiting += new
        return found


def _differ(one: Resource, other: Resource | None, fields: Iterable[str]) -> bool:
    return other is None or any(getattr(one, name) != getattr(other, name) for name in fields)


def _filters(holder: Any) -> list[str]:
    names = (getattr(holder, field, None) for field in FILTERS)
    return [name for name in names if name is not None]
