"""The resources that make up a virtual topology: their fields, and what each field means.

Every other page about a field (a table's column, an error, a file's key) is made from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from onehop.engine.model.resources.balance import HealthMonitor, Pool, PoolMember, Vip
from onehop.engine.model.resources.base import (
    MAC,
    MADE_NAME,
    MAX_KEY,
    NAME,
    PLACES,
    ModelError,
    Part,
    Problem,
    Ref,
    Resource,
)
from onehop.engine.model.resources.filters import (
    CONDITIONS,
    SNAT_PORTS,
    Action,
    AddressGroup,
    Chain,
    Fragment,
    NatTarget,
    Rule,
    SecurityGroup,
    SecurityRule,
)
from onehop.engine.model.resources.nat import FloatingIp
from onehop.engine.model.resources.network import (
    AddressPair,
    BgpNetwork,
    BgpPeer,
    Bridge,
    Host,
    Port,
    PortGroup,
    Route,
    Router,
    RouteType,
    Subnet,
    SubnetRoute,
)
from onehop.engine.model.resources.state import (
    HostStatus,
    LearnedMac,
    LearnedRoute,
    MemberStatus,
    MonitorOwner,
    NatBlock,
    Neighbor,
    PortStatus,
)

__all__ = [
    "CONDITIONS",
    "KINDS",
    "MAC",
    "MADE_NAME",
    "MAX_KEY",
    "NAME",
    "PLACES",
    "SNAT_PORTS",
    "STATE",
    "STATED",
    "Action",
    "AddressGroup",
    "AddressPair",
    "BgpNetwork",
    "BgpPeer",
    "Bridge",
    "Chain",
    "FloatingIp",
    "Fragment",
    "HealthMonitor",
    "Host",
    "HostStatus",
    "LearnedMac",
    "LearnedRoute",
    "MemberStatus",
    "ModelError",
    "MonitorOwner",
    "NatBlock",
    "NatTarget",
    "Neighbor",
    "Part",
    "Pool",
    "PoolMember",
    "Port",
    "PortGroup",
    "PortStatus",
    "Problem",
    "Ref",
    "Resource",
    "Route",
    "RouteType",
    "Router",
    "Rule",
    "SecurityGroup",
    "SecurityRule",
    "Subnet",
    "SubnetRoute",
    "Topology",
    "Vip",
]

# What is referred to comes first, but for what chains refer to: ports refer to chains.
STATED: tuple[type[Resource], ...] = (
    Host, AddressGroup, SecurityGroup, Chain, Bridge, Router, Port, Route, PortGroup, Subnet,
    FloatingIp, HealthMonitor, Pool, PoolMember, Vip, BgpPeer, BgpNetwork,
)  # fmt: skip
STATE: tuple[type[Resource], ...] = (
    LearnedRoute, LearnedMac, Neighbor, PortStatus, HostStatus, NatBlock, MonitorOwner,
    MemberStatus,
)  # fmt: skip
KINDS: dict[str, type[Resource]] = {kind.KIND: kind for kind in (*STATED, *STATE)}


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that users state, kind by kind: the content of a topology file."""

    hosts: tuple[Host, ...] = ()
    address_groups: tuple[AddressGroup, ...] = ()
    security_groups: tuple[SecurityGroup, ...] = ()
    chains: tuple[Chain, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    routers: tuple[Router, ...] = ()
    ports: tuple[Port, ...] = ()
    routes: tuple[Route, ...] = ()
    port_groups: tuple[PortGroup, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    floating_ips: tuple[FloatingIp, ...] = ()
    health_monitors: tuple[HealthMonitor, ...] = ()
    pools: tuple[Pool, ...] = ()
    pool_members: tuple[PoolMember, ...] = ()
    vips: tuple[Vip, ...] = ()
    bgp_peers: tuple[BgpPeer, ...] = ()
    bgp_networks: tuple[BgpNetwork, ...] = ()

    def __iter__(self) -> Iterator[Resource]:
        """Every resource, in the order of `STATED`."""
        for kind in STATED:
            yield from getattr(self, kind.PLURAL)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Topology:
        """Gather `resources` of stated kinds into a topology."""
        fields: dict[str, list[Resource]] = {kind.PLURAL: [] for kind in STATED}
        for resource in resources:
            fields[resource.PLURAL].append(resource)
        return cls(**{plural: tuple(found) for plural, found in fields.items()})  # type: ignore[arg-type]
