"""What the lab's tenant shows to the outside instead of its machines' IPv4 addresses.

    192.0.2.N          the floating IP of machine N, where N is odd
    192.0.2.200–207    what the others' connections to the outside come from
    192.0.2.210        the VIP: TCP and UDP port 80, shared by the first three machines

1. The tenant's router translates; the provider's router knows the public prefix and no other.
2. IPv6 is routed as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from onehop.engine.model import (
    Chain,
    FloatingIp,
    NatTarget,
    Pool,
    PoolMember,
    Resource,
    Route,
    Rule,
    Topology,
    Vip,
)

PREFIX = "192.0.2.0/24"  # TEST-NET-1 (RFC 5737)
SNAT = ("192.0.2.200", "192.0.2.207")
VIP, VIP_PORT = "192.0.2.210", 80
MEMBERS, MEMBER_PORT = 3, 8080
POOL = "web"
INBOUND, OUTBOUND = "tenant-in", "tenant-out"
ROUTER, TO_PROVIDER = "tenant", "tenant-to-provider"
PROTOCOLS: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")


def generate(machines: int) -> Iterator[Resource]:
    """Floating IPs, translations and the load balancer for so many machines."""
    target = NatTarget(first_address=SNAT[0], last_address=SNAT[1])
    yield Chain(name=INBOUND, rules=(Rule(action="reverse_snat"),))
    yield Chain(
        name=OUTBOUND,
        rules=(
            Rule(action="snat", ether_type="ipv4", out_ports=(TO_PROVIDER,), targets=(target,)),
        ),
    )
    # What is announced and belongs to nobody has nowhere to go.
    yield Route(router=ROUTER, destination=PREFIX, type="blackhole")
    for n in range(1, machines + 1, 2):
        yield FloatingIp(router=ROUTER, address=f"192.0.2.{n}", fixed_address=f"10.0.0.{10 + n}")
    yield Pool(name=POOL)
    for n in range(1, min(machines, MEMBERS) + 1):
        yield PoolMember(
            name=f"{POOL}{n}", pool=POOL, address=f"10.0.0.{10 + n}", port=MEMBER_PORT
        )
    for protocol in PROTOCOLS:
        yield Vip(
            name=f"www-{protocol}",
            router=ROUTER,
            address=VIP,
            port=VIP_PORT,
            protocol=protocol,
            pool=POOL,
        )


def reached_at(addresses: Sequence[str], topology: Topology) -> str | None:
    """Where the outside reaches a machine of these addresses, in any topology."""
    floating = {found.fixed_address: found.address for found in topology.floating_ips}
    for address in addresses:
        if address in floating:
            return floating[address]
    return None if translates(topology) else next(iter(addresses), None)


def translates(topology: Topology) -> bool:
    """Whether machines without a floating IP are seen under other addresses."""
    return any(rule.action == "snat" for chain in topology.chains for rule in chain.rules)
