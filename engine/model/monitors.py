"""Where the members of monitored pools are asked from: a machine at their VIPs' router.

Nobody states it.  It stands on a bridge of its own that is linked with the router, and like any
other machine it is behind a port of one host::

    router --- bridge --- monitor's port, at one of the hosts

1. Equal topologies give equal places, so that every host knows how to reach a monitor once it
   knows whose it is.
2. Nothing that is stated has such a name (with a space), such a tunnel key (above `MAX_KEY`), or,
   at a router that has a monitor, such an address (in `NETWORKS`).
3. A pool at several routers is asked from the first of them, by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from onehop.engine.model.keys import router_mac
from onehop.engine.model.resources import (
    MAX_KEY,
    PLACES,
    Bridge,
    HealthMonitor,
    Pool,
    PoolMember,
    Port,
    Resource,
    Vip,
)

# Addresses of a link (RFC 3927), and unique local ones (RFC 4193) that spell the project's name.
NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fd6f:6e65:686f::/48"),
)
KINDS = (HealthMonitor.KIND, Pool.KIND, PoolMember.KIND, Vip.KIND)  # what it follows from
LENGTHS = {4: 30, 6: 126}  # of a monitor's own subnet: the router's address, the monitor's
# Not the first and the last 256 addresses (RFC 3927, section 2.1), nor clouds' metadata service.
FREE = sorted(set(range(64, PLACES - 64)) - {(169 << 8 | 254) >> 2})


class Site(NamedTuple):
    """A router, and the members that are asked from there."""

    router: str
    place: int  # which keys and addresses
    members: tuple[tuple[PoolMember, HealthMonitor], ...]

    @property
    def name(self) -> str:
        """Of the bridge, and of the monitor's port on it."""
        return f"monitor {self.router}"

    @property
    def mac(self) -> str:
        return router_mac(Port(name=self.name, device=self.name))

    def addresses(self, number: int) -> tuple[str, ...]:
        """The router's (1) or the monitor's (2), with prefix length, in the members' families."""
        versions = {ip_address(member.address).version for member, _ in self.members}
        return tuple(
            f"{subnet[number]}/{subnet.prefixlen}"
            for subnet in map(self._subnet, NETWORKS)
            if subnet.version in versions
        )

    def resources(self, host: str, interface: str) -> list[Resource]:
        """The bridge and its ports, when the monitor is behind an interface of a host."""
        bridge, key = self.name, MAX_KEY + 1 + 2 * self.place
        inside, router_side = f"{bridge} bridge", f"{bridge} router"
        return [
            Bridge(name=bridge, tunnel_key=key),
            Port(name=inside, device=bridge),
            Port(name=router_side, device=self.router, peer=inside, addresses=self.addresses(1)),
            Port(
                name=bridge,
                device=bridge,
                mac=self.mac,
                addresses=self.addresses(2),
                host=host,
                interface=interface,
                tunnel_key=key + 1,
            ),
        ]

    def _subnet(self, network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
        length = LENGTHS[network.version]
        first = int(network.network_address) + (self.place << network.max_prefixlen - length)
        return ip_network((first, length))


def is_derived(name: str) -> bool:
    """Whether a port or bridge of this name goes with a monitor; nothing stated has a space."""
    return " " in name


def sites(resources: Iterable[Resource]) -> list[Site]:
    """The monitors of a topology, by router."""
    asked = _asked(list(resources))
    routers = sorted(asked)[: len(FREE)]
    return [
        Site(router, place, tuple(asked[router]))
        for router, place in zip(routers, _places(routers), strict=True)
    ]


def _asked(rows: list[Resource]) -> dict[str, list[tuple[PoolMember, HealthMonitor]]]:
    """By router, who is asked from there and how."""
    monitors = {row.name: row for row in rows if isinstance(row, HealthMonitor)}
    pools = {row.name: monitors.get(row.monitor or "") for row in rows if isinstance(row, Pool)}
    first: dict[str, str] = {}  # pool -> router
    for vip in (row for row in rows if isinstance(row, Vip)):
        first[vip.pool] = min(vip.router, first.get(vip.pool, vip.router))
    found: dict[str, list[tuple[PoolMember, HealthMonitor]]] = {}
    members = (row for row in rows if isinstance(row, PoolMember))
    for member in sorted(members, key=lambda member: member.name):
        monitor = pools.get(member.pool)
        if monitor is not None and member.pool in first:
            found.setdefault(first[member.pool], []).append((member, monitor))
    return found


def _places(routers: list[str]) -> Iterator[int]:
    """One for each, where its name leads or the next free one."""
    taken: set[int] = set()
    for router in routers:
        digest = hashlib.sha256(router.encode()).digest()
        number = int.from_bytes(digest[:4], "big") % len(FREE)
        while number in taken:
            number = (number + 1) % len(FREE)
        taken.add(number)
        yield FREE[number]
