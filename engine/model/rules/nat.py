"""Pools that sources are translated to, and floating IPs.

1. A pool is what a target of an snat rule states.  Two rules with the same pool share it; hosts
   lease its ports by address, so pools that only partly agree would be two owners of one port.
2. A chain belongs to the routers that packets meet it at, by its use as a filter or by jumps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from onehop.engine.model.resources import (
    SNAT_PORTS,
    Chain,
    FloatingIp,
    NatTarget,
    Port,
    Problem,
    Router,
    Vip,
)
from onehop.engine.model.rules.base import Problems, unique, wrong
from onehop.engine.model.rules.jumps import jumps_of
from onehop.engine.model.texts import IPAddress, read_address
from onehop.engine.model.view import View


class Pool(NamedTuple):
    """Addresses and ports that a rule translates sources to; sorts by its first address."""

    version: int
    first: int
    last: int
    ports: tuple[int, int]

    @property
    def words(self) -> str:
        return f"ports {self.ports[0]}-{self.ports[1]}"

    def overlaps(self, other: Pool) -> bool:
        return (
            self.version == other.version
            and self.first <= other.last
            and other.first <= self.last
            and self.ports[0] <= other.ports[1]
            and other.ports[0] <= self.ports[1]
        )

    def has(self, address: IPAddress) -> bool:
        return self.version == address.version and self.first <= int(address) <= self.last


class Place(NamedTuple):
    """Where a pool is stated."""

    chain: str
    field: str

    @property
    def words(self) -> str:
        return f"{self.field} of chain {self.chain!r}"


def snat_pools_do_not_overlap(view: View) -> Problems:
    open_pools: list[tuple[Pool, Place]] = []
    stated: dict[Pool, Place] = {}
    for pool, place in _pools(view):
        stated.setdefault(pool, place)
    for pool, place in sorted(stated.items()):
        open_pools = [(o, p) for o, p in open_pools if o[:1] == pool[:1] and o.last >= pool.first]
        for other, where in open_pools:
            if pool.overlaps(other):
                reason = f"overlaps the pool {where.words}; state the same one or another"
                yield Problem(Chain.KIND, place.chain, place.field, reason)
        open_pools.append((pool, place))


def _pools(view: View) -> Iterator[tuple[Pool, Place]]:
    for chain in view.by_name(Chain).values():
        for number, rule in enumerate(chain.rules, 1):
            for place, target in enumerate(rule.targets if rule.action == "snat" else (), 1):
                pool = _pool(target)
                if pool is not None:
                    yield pool, Place(chain.name, f"rules #{number} targets #{place}")


def _pool(target: NatTarget) -> Pool | None:
    """What a target makes; None where its addresses make nothing."""
    first = read_address(target.first_address)
    last = read_address(target.last_address or target.first_address)
    ports = SNAT_PORTS
    if target.first_port is not None:
        ports = target.first_port, target.last_port or target.first_port
    if last.version != first.version:
        return None
    return Pool(first.version, int(first), int(last), ports)


def snat_pools_leave_others_their_addresses(view: View) -> Problems:
    """A pool has no address of a floating IP, and no address and port of a VIP, of its router."""
    used = _routers_of_chains(view)
    floating, vips = view.by_name(FloatingIp).values(), view.by_name(Vip).values()
    for pool, place in dict.fromkeys(_pools(view)):
        taken: list[FloatingIp | Vip] = [f for f in floating if pool.has(read_address(f.address))]
        taken += [v for v in vips if pool.has(read_address(v.address)) and _in(pool, v.port)]
        for other in taken:
            if other.router in used[place.chain]:
                reason = f"'{other.address}' is in the snat pool {place.words}"
                yield wrong(other, "address", reason)


def _in(pool: Pool, port: int) -> bool:
    return pool.ports[0] <= port <= pool.ports[1]


def _routers_of_chains(view: View) -> defaultdict[str, set[str]]:
    """By chain, the routers that packets meet it at."""
    used: defaultdict[str, set[str]] = defaultdict(set)
    jumps = jumps_of(view.by_name(Chain))
    for router, names in _filters(view).items():
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in jumps and router not in used[name]:
                used[name].add(router)
                waiting += jumps[name]
    return used


def _filters(view: View) -> defaultdict[str, set[str]]:
    """By router, the filters at it and at its ports."""
    filters: defaultdict[str, set[str]] = defaultdict(set)
    holders: list[tuple[str, Router | Port]] = [(r.name, r) for r in view.routers.values()]
    holders += [(port.device, port) for port in view.ports_of(view.routers)]
    for router, holder in holders:
        filters[router] |= {f for f in (holder.inbound_filter, holder.outbound_filter) if f}
    return filters


def floating_ips_are_one_to_one(view: View) -> Problems:
    floating = view.by_name(FloatingIp).values()
    for one in floating:
        address, fixed = read_address(one.address), read_address(one.fixed_address)
        if address.version != fixed.version:
            reason = f"'{fixed}' is IPv{fixed.version}, but the address is IPv{address.version}"
            yield wrong(one, "fixed_address", reason)
        if address == fixed:
            yield wrong(one, "fixed_address", "is the address itself")
    for field in ("address", "fixed_address"):
        yield from unique(
            (
                (one.router, read_address(getattr(one, field))),
                one,
                field,
                repr(getattr(one, field)),
            )
            for one in floating
        )


def virtual_addresses_are_nobodys(view: View) -> Problems:
    """A floating IP or a VIP is not also the address of a router, a machine or one another."""
    owners = _owners(view)
    floating = {
        (one.router, read_address(one.address)): one for one in view.by_name(FloatingIp).values()
    }
    virtuals: list[FloatingIp | Vip] = [*floating.values(), *view.by_name(Vip).values()]
    for virtual in virtuals:
        ident = (virtual.router, read_address(virtual.address))
        owner = owners.get(ident) or (isinstance(virtual, Vip) and floating.get(ident))
        if owner:
            words = f"{owner.KIND} {owner.name!r}"
            if isinstance(owner, Port):
                words += f" of {owner.device!r}"
            yield wrong(virtual, "address", f"{virtual.address!r} is already that of {words}")


def _owners(view: View) -> dict[tuple[str, IPAddress], Port]:
    """Whose addresses there are on a router or on its links, by router and address."""
    routers = defaultdict(set)
    for port in view.ports_of(view.routers):
        routers[view.domain(port)].add(port.device)
    owners: dict[tuple[str, IPAddress], Port] = {}
    for port in view.ports.values():
        for address in view.addresses[port.name]:
            for router in routers.get(view.domain(port), ()):
                owners.setdefault((router, address.ip), port)
    return owners
