"""The resources that make up a virtual topology: their fields, and what each field means.

Every other page about a field (a table's column, an error, a file's key) is made from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import msgspec

RouteType = Literal["normal", "blackhole", "reject", "local"]

MAX_KEY = (1 << 24) - 1  # a VXLAN network identifier has 24 bits (RFC 7348, section 5)
MAC = r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._:/@-]{0,198}[A-Za-z0-9])?$"
# Of what names itself: "edge 10.0.0.0/8 reject".
MADE_NAME = r"^([A-Za-z0-9]([ -~]{0,998}[!-~])?)?$"

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
MadeName = Annotated[str, msgspec.Meta(pattern=MADE_NAME)]
MacText = Annotated[str, msgspec.Meta(pattern=MAC, extra={"check": "mac"})]
AddressText = Annotated[str, msgspec.Meta(extra={"check": "address"})]  # 10.0.0.5
InterfaceText = Annotated[str, msgspec.Meta(extra={"check": "interface"})]  # 10.0.0.5/24
PrefixText = Annotated[str, msgspec.Meta(extra={"check": "prefix"})]  # 10.0.0.0/24
TunnelKey = Annotated[int, msgspec.Meta(ge=0, le=MAX_KEY)]
Asn = Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]
PortMtu = Annotated[int, msgspec.Meta(ge=68, le=65535)]  # RFC 791
Weight = Annotated[int, msgspec.Meta(ge=1, le=65535)]


def Ref(*kinds: str, owned: bool = False) -> msgspec.Meta:  # noqa: N802 (an annotation, like Meta)
    """Mark a field as the name of a resource of one of `kinds`."""
    return msgspec.Meta(extra={"ref": kinds, "owned": owned})


class Problem(NamedTuple):
    """One thing wrong with a topology."""

    kind: str  # "port"
    name: str  # the resource's name, or "" where it has none yet
    field: str  # the field's name, or "" where the whole resource is meant
    reason: str

    def __str__(self) -> str:
        where = f"{self.kind} {self.name!r}" if self.name else self.kind
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


class ModelError(ValueError):
    """A topology that was refused, with every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all kinds share."""

    KIND: ClassVar[str] = "resource"
    PLURAL: ClassVar[str] = "resources"

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...


class Host(Resource, frozen=True):
    """A machine with Open vSwitch and one agent."""

    KIND: ClassVar[str] = "host"
    PLURAL: ClassVar[str] = "hosts"
    name: Name
    tunnel_address: AddressText  # where the other hosts send their tunnelled packets


class Bridge(Resource, frozen=True):
    """A learning switch: one tenant network."""

    KIND: ClassVar[str] = "bridge"
    PLURAL: ClassVar[str] = "bridges"
    name: Name
    admin_state_up: bool = True
    tunnel_key: TunnelKey = 0  # names the bridge in a flood; 0: assigned when applied


class Router(Resource, frozen=True):
    """A virtual router, IPv4 and IPv6."""

    KIND: ClassVar[str] = "router"
    PLURAL: ClassVar[str] = "routers"
    name: Name
    admin_state_up: bool = True
    asn: Asn | None = None  # the autonomous system that its gateways speak BGP for


class Port(Resource, frozen=True):
    """A device's port.

    Exterior where `host` and `interface` are stated, interior where it has a `peer` (stated on
    either side), otherwise unplugged.
    """

    KIND: ClassVar[str] = "port"
    PLURAL: ClassVar[str] = "ports"
    name: Name
    device: Annotated[str, Ref("bridge", "router")]
    mac: MacText | None = None  # a router port without one gets one from its name
    # Of a router port: its own address and its subnet, "10.0.0.1/24".
    # Of a bridge port: the addresses of the machine behind it, "10.0.0.5" or "10.0.0.5/24".
    addresses: tuple[InterfaceText, ...] = ()
    mtu: PortMtu | None = None  # of a router port: the longest IP packet that leaves; None: any
    peer: Annotated[str, Ref("port")] | None = None
    host: Annotated[str, Ref("host")] | None = None
    interface: str | None = None  # the network device on that host
    admin_state_up: bool = True
    tunnel_key: TunnelKey = 0  # names the port in a tunnel; 0: assigned when applied


class Route(Resource, frozen=True):
    """A route of a router.  Longest destination, then longest source, then lowest weight."""

    KIND: ClassVar[str] = "route"
    PLURAL: ClassVar[str] = "routes"
    router: Annotated[str, Ref("router")]
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


class PortGroup(Resource, frozen=True):
    """Ports named together; a stateful group's hosts share flow state."""

    KIND: ClassVar[str] = "port_group"
    PLURAL: ClassVar[str] = "port_groups"
    name: Name
    ports: tuple[Annotated[str, Ref("port")], ...] = ()
    stateful: bool = False


class BgpPeer(Resource, frozen=True):
    """An upstream router that a gateway speaks BGP (RFC 4271) with, guarded by BFD (RFC 5880)."""

    KIND: ClassVar[str] = "bgp_peer"
    PLURAL: ClassVar[str] = "bgp_peers"
    name: Name
    port: Annotated[str, Ref("port")]  # the uplink
    address: AddressText
    asn: Asn


class BgpNetwork(Resource, frozen=True):
    """A prefix that every uplink of a router announces."""

    KIND: ClassVar[str] = "bgp_network"
    PLURAL: ClassVar[str] = "bgp_networks"
    router: Annotated[str, Ref("router")]
    prefix: PrefixText
    name: MadeName = ""

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", f"{self.router} {self.prefix}")


class LearnedRoute(Resource, frozen=True):
    """A route that a gateway's BGP learned (owned by the gateway)."""

    KIND: ClassVar[str] = "learned_route"
    PLURAL: ClassVar[str] = "learned_routes"
    host: Annotated[str, Ref("host", owned=True)]
    next_hop_port: Annotated[str, Ref("port", owned=True)]
    destination: PrefixText
    next_hop_gateway: AddressText
    weight: Weight = 100

    @property
    def name(self) -> str:
        return f"{self.next_hop_port} {self.destination} {self.next_hop_gateway}"


class LearnedMac(Resource, frozen=True):
    """A MAC that a bridge learned (owned by the port's host)."""

    KIND: ClassVar[str] = "learned_mac"
    PLURAL: ClassVar[str] = "learned_macs"
    host: Annotated[str, Ref("host", owned=True)]
    bridge: Annotated[str, Ref("bridge", owned=True)]
    port: Annotated[str, Ref("port", owned=True)]
    mac: MacText
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4095)] = 0

    @property
    def name(self) -> str:
        return f"{self.bridge} {self.vlan} {self.mac}"


class Neighbor(Resource, frozen=True):
    """The MAC of an address on a router port's link, from ARP or ND (owned by who saw it)."""

    KIND: ClassVar[str] = "neighbor"
    PLURAL: ClassVar[str] = "neighbors"
    host: Annotated[str, Ref("host", owned=True)]
    port: Annotated[str, Ref("port", owned=True)]
    address: AddressText
    mac: MacText

    @property
    def name(self) -> str:
        return f"{self.port} {self.address}"


class PortStatus(Resource, frozen=True):
    """Whether an exterior port carries traffic (owned by the port's host)."""

    KIND: ClassVar[str] = "port_status"
    PLURAL: ClassVar[str] = "port_statuses"
    host: Annotated[str, Ref("host", owned=True)]
    port: Annotated[str, Ref("port", owned=True)]
    up: bool

    @property
    def name(self) -> str:
        return self.port


class HostStatus(Resource, frozen=True):
    """The slow fallback of liveness: a host says now and then that it is there."""

    KIND: ClassVar[str] = "host_status"
    PLURAL: ClassVar[str] = "host_statuses"
    host: Annotated[str, Ref("host", owned=True)]
    heartbeat_s: float  # seconds since the epoch, by the host's clock

    @property
    def name(self) -> str:
        return self.host


STATED: tuple[type[Resource], ...] = (
    Host, Bridge, Router, Port, Route, PortGroup, BgpPeer, BgpNetwork,
)  # fmt: skip
STATE: tuple[type[Resource], ...] = (LearnedRoute, LearnedMac, Neighbor, PortStatus, HostStatus)
KINDS: dict[str, type[Resource]] = {kind.KIND: kind for kind in (*STATED, *STATE)}


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that users state, kind by kind: the content of a topology file."""

    hosts: tuple[Host, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    routers: tuple[Router, ...] = ()
    ports: tuple[Port, ...] = ()
    routes: tuple[Route, ...] = ()
    port_groups: tuple[PortGroup, ...] = ()
    bgp_peers: tuple[BgpPeer, ...] = ()
    bgp_networks: tuple[BgpNetwork, ...] = ()

    def __iter__(self) -> Iterator[Resource]:
        """Every resource, referenced kinds before those that refer to them."""
        for kind in STATED:
            yield from getattr(self, kind.PLURAL)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Topology:
        """Gather `resources` of stated kinds into a topology."""
        fields: dict[str, list[Resource]] = {kind.PLURAL: [] for kind in STATED}
        for resource in resources:
            fields[resource.PLURAL].append(resource)
        return cls(**{plural: tuple(found) for plural, found in fields.items()})  # type: ignore[arg-type]
