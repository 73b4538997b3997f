"""What follows from floating IPs and leased ports: facts for the compiled topology.

1. ("floating", router, "floating" or "fixed", address): the other address of the pair.
2. ("block", host, address, first port): how many ports are leased.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from onehop.engine.model import FloatingIp, MemberStatus, NatBlock, PoolMember, Vip

PROTOCOLS = {"tcp": 6, "udp": 17}
Said = tuple[tuple[Any, ...], Any]


class VipFact(NamedTuple):
    """("vip", name)"""

    router: str
    address: bytes
    port: int
    proto: int
    affinity_s: int  # 0: none
    pool: str


class MemberFact(NamedTuple):
    """One of several about ("pool", name)."""

    address: bytes
    port: int
    weight: int
    is_open: bool  # takes new connections
    is_healthy: bool  # keeps those it has


def say_translation(resource: Any) -> Iterator[Said]:
    """What a floating IP or a leased block says."""
    match resource:
        case FloatingIp():
            outer = ip_address(resource.address).packed
            inner = ip_address(resource.fixed_address).packed
            if len(outer) == len(inner):
                yield ("floating", resource.router, "floating", outer), inner
                yield ("floating", resource.router, "fixed", inner), outer
        case NatBlock():
            address = ip_address(resource.address).packed
            yield ("block", resource.host, address, resource.first_port), resource.n_ports
        case Vip():
            yield (
                ("vip", resource.name),
                VipFact(
                    resource.router,
                    ip_address(resource.address).packed,
                    resource.port,
                    PROTOCOLS[resource.protocol],
                    resource.affinity_s or 0,
                    resource.pool,
                ),
            )


def say_member(member: PoolMember, status: MemberStatus | None) -> Iterator[Said]:
    """One of those that share a pool's connections; healthy unless somebody says otherwise."""
    yield (
        ("pool", member.pool),
        MemberFact(
            ip_address(member.address).packed,
            member.port,
            member.weight,
            member.admin_state_up,
            status is None or status.healthy,
        ),
    )
