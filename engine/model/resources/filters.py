"""Filters: chains of rules, groups of addresses, and security groups."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from onehop.engine.model.resources.base import (
    AddressText,
    EtherTypeText,
    L4Port,
    MacBits,
    Name,
    Octet,
    Part,
    PortsText,
    PrefixText,
    ProtocolText,
    Ref,
    Stated,
)

Action = Literal[
    "accept", "drop", "reject", "return", "jump", "snat", "dnat", "reverse_snat", "reverse_dnat"
]
Fragment = Literal["any", "first", "later", "unfragmented"]
PortName = Annotated[str, Ref("port")]
PortGroupName = Annotated[str, Ref("port_group")]
AddressGroupName = Annotated[str, Ref("address_group")]
SNAT_PORTS = (1024, 65535)  # of a target that states none


class AddressGroup(Stated, frozen=True):
    """Prefixes named together."""

    KIND: ClassVar[str] = "address_group"
    PLURAL: ClassVar[str] = "address_groups"
    name: Name
    prefixes: tuple[PrefixText, ...] = ()


class NatTarget(Part, frozen=True):
    """What an address and a port may be translated to: any of the addresses, any of the ports."""

    first_address: AddressText
    last_address: AddressText | None = None  # None: the first is the only one
    # None: SNAT takes any of `SNAT_PORTS`, DNAT leaves the port as it is.
    first_port: L4Port | None = None
    last_port: L4Port | None = None  # None: the first is the only one


class Rule(Part, frozen=True):
    """What happens to packets that meet every condition.

    A condition that is not stated is met by every packet; one that `invert` names is met by the
    packets that would not meet it otherwise.
    """

    action: Action
    jump: Annotated[str, Ref("chain")] | None = None
    targets: tuple[NatTarget, ...] = ()  # of snat and dnat
    then: Literal["accept", "continue", "return"] = "accept"  # after a translation
    in_ports: tuple[PortName, ...] = ()
    out_ports: tuple[PortName, ...] = ()
    in_port_group: PortGroupName | None = None
    out_port_group: PortGroupName | None = None
    ether_type: EtherTypeText | None = None
    source_mac: MacBits | None = None
    source_mac_mask: MacBits | None = None  # None: all bits
    destination_mac: MacBits | None = None
    destination_mac_mask: MacBits | None = None
    source: PrefixText | None = None
    destination: PrefixText | None = None
    source_group: AddressGroupName | None = None
    destination_group: AddressGroupName | None = None
    protocol: ProtocolText | None = None
    tos: Octet | None = None  # the whole octet: DSCP and ECN
    source_ports: PortsText | None = None
    destination_ports: PortsText | None = None
    icmp_type: Octet | None = None
    icmp_code: Octet | None = None
    fragment: Fragment = "any"  # first: of several
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4094)] | None = None  # 0: untagged
    forward_flow: bool = False  # true: in the direction that opened the connection
    return_flow: bool = False  # true: in the other direction
    traversed_device: Annotated[str, Ref("bridge", "router")] | None = None
    invert: tuple[str, ...] = ()


# The fields of `Rule` that are conditions.  A mask is a part of its MAC's condition.
CONDITIONS = (
    "in_ports", "out_ports", "in_port_group", "out_port_group", "ether_type", "source_mac",
    "destination_mac", "source", "destination", "source_group", "destination_group", "protocol",
    "tos", "source_ports", "destination_ports", "icmp_type", "icmp_code", "fragment", "vlan",
    "forward_flow", "return_flow", "traversed_device",
)  # fmt: skip


class Chain(Stated, frozen=True):
    """Rules that a packet meets in order; the end of the chain accepts."""

    KIND: ClassVar[str] = "chain"
    PLURAL: ClassVar[str] = "chains"
    name: Name
    rules: tuple[Rule, ...] = ()


class SecurityRule(Part, frozen=True):
    """Connections that a security group allows its members."""

    direction: Literal["ingress", "egress"]  # to or from a member
    ether_type: Literal["ipv4", "ipv6"] | None = None  # None: both
    protocol: ProtocolText | None = None
    ports: PortsText | None = None  # the destination's
    icmp_type: Octet | None = None
    icmp_code: Octet | None = None
    remote_prefix: PrefixText | None = None
    remote_group: Annotated[str, Ref("security_group")] | None = None


class SecurityGroup(Stated, frozen=True):
    """What its members may receive, and send where a rule says so; replies always pass."""

    KIND: ClassVar[str] = "security_group"
    PLURAL: ClassVar[str] = "security_groups"
    name: Name
    rules: tuple[SecurityRule, ...] = ()
