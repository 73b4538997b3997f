"""What hosts find out while they run, each resource owned by a host.

A *leased* kind belongs to the first host that claims it, until that host gives it back or is
stated no longer; of every other kind, the last word counts.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from onehop.engine.model.resources.base import (
    AddressText,
    L4Port,
    MacText,
    PrefixText,
    Ref,
    Resource,
    Weight,
)


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


class NatBlock(Resource, frozen=True):
    """Ports of an address that a host may translate sources to (leased by that host)."""

    KIND: ClassVar[str] = "nat_block"
    PLURAL: ClassVar[str] = "nat_blocks"
    LEASED: ClassVar[bool] = True
    host: Annotated[str, Ref("host", owned=True)]
    address: AddressText
    first_port: L4Port
    n_ports: L4Port

    @property
    def name(self) -> str:
        return f"{self.address} {self.first_port}"


class MonitorOwner(Resource, frozen=True):
    """The host that asks the members behind a router's VIPs how they are (owned by that host)."""

    KIND: ClassVar[str] = "monitor_owner"
    PLURAL: ClassVar[str] = "monitor_owners"
    host: Annotated[str, Ref("host", owned=True)]
    router: Annotated[str, Ref("router", owned=True)]

    @property
    def name(self) -> str:
        return self.router


class MemberStatus(Resource, frozen=True):
    """Whether a pool's member answers its monitor (owned by the host that asked it).

    It counts until a host says something else, though its own may be gone: a server does not
    become well because nobody asks it.
    """

    KIND: ClassVar[str] = "member_status"
    PLURAL: ClassVar[str] = "member_statuses"
    host: Annotated[str, Ref("host", owned=True)]
    member: Annotated[str, Ref("pool_member", owned=True)]
    healthy: bool
    reason: str = ""  # why not, in words
    since_s: float = 0.0  # seconds since the epoch, by the clock of the host that noticed

    @property
    def name(self) -> str:
        return self.member
