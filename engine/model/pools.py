"""The addresses and ports that hosts lease to translate sources to.

1. A pool is what a target of an snat rule states; and, for hairpin, a router's own address in the
   subnet of a machine that has a floating IP or is a member of a VIP's pool there.
2. Equal topologies give equal pools; an address range is one pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import NamedTuple

from onehop.engine.model.resources import (
    SNAT_PORTS,
    Chain,
    FloatingIp,
    NatTarget,
    PoolMember,
    Port,
    Resource,
    Vip,
)

Address = IPv4Address | IPv6Address


class LeasePool(NamedTuple):
    """Addresses, from the first to the last, and of each the ports, the last included."""

    first_address: str
    last_address: str
    first_port: int
    last_port: int

    @property
    def n_addresses(self) -> int:
        return int(ip_address(self.last_address)) - int(ip_address(self.first_address)) + 1

    def address(self, number: int) -> str:
        return str(ip_address(self.first_address) + number)


def lease_pools(resources: Iterable[Resource]) -> list[LeasePool]:
    """The pools of a topology."""
    rows = list(resources)
    found = set(_of_rules(rows))
    stated = {pool.first_address for pool in found}
    found |= {pool for pool in _of_routers(rows) if pool.first_address not in stated}
    return sorted(found)


def _of_rules(rows: list[Resource]) -> Iterator[LeasePool]:
    for chain in rows:
        for rule in chain.rules if isinstance(chain, Chain) else ():
            for target in rule.targets if rule.action == "snat" else ():
                yield _of_target(target)


def _of_target(target: NatTarget) -> LeasePool:
    first, last = SNAT_PORTS
    if target.first_port is not None:
        first, last = target.first_port, target.last_port or target.first_port
    return LeasePool(
        str(ip_address(target.first_address)),
        str(ip_address(target.last_address or target.first_address)),
        first,
        last,
    )


def _of_routers(rows: list[Resource]) -> Iterator[LeasePool]:
    fixed: dict[str, set[Address]] = {}  # by router
    for floating in (row for row in rows if isinstance(row, FloatingIp)):
        fixed.setdefault(floating.router, set()).add(ip_address(floating.fixed_address))
    routers: dict[str, set[str]] = {}
    for vip in (row for row in rows if isinstance(row, Vip)):
        routers.setdefault(vip.pool, set()).add(vip.router)
    for member in (row for row in rows if isinstance(row, PoolMember)):
        for router in routers.get(member.pool, ()):
            fixed.setdefault(router, set()).add(ip_address(member.address))
    for port in (row for row in rows if isinstance(row, Port) and row.device in fixed):
        for text in port.addresses:
            own = ip_interface(text)
            if any(ip in own.network for ip in fixed[port.device]):
                yield LeasePool(str(own.ip), str(own.ip), *SNAT_PORTS)
