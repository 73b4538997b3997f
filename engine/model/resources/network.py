"""Hosts, devices, their ports and routes, and what they speak with the outside."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from onehop.engine.model.resources.base import (
    OPERATORS,
    AddressText,
    Asn,
    InterfaceText,
    MacText,
    MadeName,
    Name,
    Part,
    PortMtu,
    PrefixText,
    Ref,
    Stated,
    TunnelKey,
    Weight,
)

RouteType = Literal["normal", "blackhole", "reject", "local"]
Mtu = Annotated[int, msgspec.Meta(ge=576, le=65535)]
FilterName = Annotated[str, Ref("chain")]


class Host(Stated, frozen=True):
    """A machine with Open vSwitch and one agent."""

    KIND: ClassVar[str] = "host"
    PLURAL: ClassVar[str] = "hosts"
    FOR_TENANTS: ClassVar[bool] = False
    name: Name
    tunnel_address: AddressText  # where the other hosts send their tunnelled packets
    drain: bool = False  # true: its uplinks carry what comes, but nobody chooses them any more
    registered: bool = False  # true: by its agent; a file that does not name it lets it be


class Bridge(Stated, frozen=True):
    """A learning switch: one tenant network."""

    KIND: ClassVar[str] = "bridge"
    PLURAL: ClassVar[str] = "bridges"
    name: Name
    admin_state_up: bool = True
    tunnel_key: TunnelKey = 0  # names the bridge in a flood; 0: assigned when applied
    inbound_filter: FilterName | None = None  # None: accepts everything
    outbound_filter: FilterName | None = None


class Router(Stated, frozen=True):
    """A virtual router, IPv4 and IPv6."""

    KIND: ClassVar[str] = "router"
    PLURAL: ClassVar[str] = "routers"
    name: Name
    admin_state_up: bool = True
    asn: Asn | None = None  # the autonomous system that its gateways speak BGP for
    inbound_filter: FilterName | None = None  # None: accepts everything
    outbound_filter: FilterName | None = None


class AddressPair(Part, frozen=True):
    """Further source addresses that a port may send from."""

    address: PrefixText
    mac: MacText | None = None  # None: the port's own


class Port(Stated, frozen=True):
    """A device's port.

    Exterior where `host` and `interface` are stated, interior where it has a `peer` (stated on
    either side), otherwise unplugged.
    """

    KIND: ClassVar[str] = "port"
    PLURAL: ClassVar[str] = "ports"
    name: Name
    device: Annotated[str, Ref("bridge", "router", shared=("bridge",))]
    mac: MacText | None = None  # a router port without one gets one from its name
    # Of a router port: its own address and its subnet, "10.0.0.1/24".
    # Of a bridge port: the addresses of the machine behind it, "10.0.0.5" or "10.0.0.5/24".
    addresses: tuple[InterfaceText, ...] = ()
    mtu: PortMtu | None = None  # of a router port: the longest IP packet that leaves; None: any
    peer: Annotated[str, Ref("port")] | None = None
    host: Annotated[str, Ref("host", operators=True)] | None = None
    interface: Annotated[str, OPERATORS] | None = None  # the network device on that host
    admin_state_up: bool = True
    tunnel_key: TunnelKey = 0  # names the port in a tunnel; 0: assigned when applied
    inbound_filter: FilterName | None = None  # None: accepts everything
    outbound_filter: FilterName | None = None
    security_groups: tuple[Annotated[str, Ref("security_group")], ...] = ()
    # Whether a bridge port that states its MAC and addresses sends from these and no others.
    port_security: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()


class Route(Stated, frozen=True):
    """A route of a router.  Longest destination, then longest source, then lowest weight."""

    KIND: ClassVar[str] = "route"
    PLURAL: ClassVar[str] = "routes"
    router: Annotated[str, Ref("router", shared=())]
    destination: PrefixText
    source: PrefixText | None = None  # None: any
    type: RouteType = "normal"
    next_hop_port: Annotated[str, Ref("port")] | None = None
    next_hop_gateway: AddressText | None = None  # None: the destination is on the link
    weight: Weight = 100
    name: MadeName = ""  # made from the other fields when empty

    def __post_init__(self) -> None:
        if not self.name:
            parts = [self.router, self.destination, self.source, self.next_hop_port]
            parts += [self.next_hop_gateway, None if self.type == "normal" else self.type]
            msgspec.structs.force_setattr(self, "name", " ".join(p for p in parts if p))


class PortGroup(Stated, frozen=True):
    """Ports named together; a stateful group's hosts share flow state."""

    KIND: ClassVar[str] = "port_group"
    PLURAL: ClassVar[str] = "port_groups"
    name: Name
    ports: tuple[Annotated[str, Ref("port")], ...] = ()
    stateful: bool = False


class SubnetRoute(Part, frozen=True):
    """A route that machines are told of (DHCP option 121, RFC 3442)."""

    destination: PrefixText
    gateway: AddressText


class Subnet(Stated, frozen=True):
    """What the machines on a bridge are told by DHCP or router advertisements."""

    KIND: ClassVar[str] = "subnet"
    PLURAL: ClassVar[str] = "subnets"
    name: Name
    bridge: Annotated[str, Ref("bridge", shared=())]
    prefix: PrefixText
    gateway: AddressText | None = None
    dns: tuple[AddressText, ...] = ()
    routes: tuple[SubnetRoute, ...] = ()
    mtu: Mtu | None = None  # None: what fits the underlay


class BgpPeer(Stated, frozen=True):
    """An upstream router that a gateway speaks BGP (RFC 4271) with, guarded by BFD (RFC 5880)."""

    KIND: ClassVar[str] = "bgp_peer"
    PLURAL: ClassVar[str] = "bgp_peers"
    name: Name
    port: Annotated[str, Ref("port", shared=())]  # the uplink
    address: AddressText
    asn: Asn


class BgpNetwork(Stated, frozen=True):
    """A prefix that every uplink of a router announces."""

    KIND: ClassVar[str] = "bgp_network"
    PLURAL: ClassVar[str] = "bgp_networks"
    router: Annotated[str, Ref("router", shared=())]
    prefix: PrefixText
    name: MadeName = ""

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", f"{self.router} {self.prefix}")
