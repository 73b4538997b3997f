"""What follows from filters, groups and security groups: facts for the compiled topology.

1. A chain's rules become plain numbers and names here, once for each different rule.
2. What the model derives is derived here: of a prefix or a protocol the family, of a security
   group its two chains, of a port what it may send from.
3. Names of chains that are made here have a space in them; those that users state have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from onehop.engine.address import interface
from onehop.engine.model import (
    AddressGroup,
    Bridge,
    Chain,
    NatTarget,
    Port,
    PortGroup,
    Router,
    Rule,
    SecurityGroup,
    SecurityRule,
    read_ether_type,
    read_ports,
    read_protocol,
)

Prefix = tuple[bytes, int]
Said = tuple[tuple[Any, ...], Any]

IPV4, IPV6 = 0x0800, 0x86DD
VLAN_PRESENT = 0x1000
ALL_BITS = b"\xff" * 6


class RuleFact(NamedTuple):
    """One rule: what its action needs, and the values of the conditions that it states."""

    action: str
    then: str
    jump: str
    conditions: tuple[tuple[str, Any], ...]  # name -> value, in a form `rules.pyx` reads
    inverted: frozenset[str]
    targets: tuple[tuple[bytes, bytes, int, int], ...]  # first and last address, ports


class FiltersFact(NamedTuple):
    """("filters", "port" or "device", name)"""

    inbound: str | None
    outbound: str | None
    groups: tuple[str, ...] = ()  # security groups
    allowed: tuple[tuple[bytes, bytes, int], ...] = ()  # MAC, prefix, length; b"": the MAC only


def say_filters(port: Port, *, is_bridge_port: bool) -> Iterator[Said]:
    """What filters a port has, and whom its security groups gain."""
    allowed = _allowed(port) if is_bridge_port else ()
    groups = tuple(sorted(set(port.security_groups)))
    fact = FiltersFact(port.inbound_filter, port.outbound_filter, groups, allowed)
    if fact != NOTHING:
        yield ("filters", "port", port.name), fact
    for group in groups:
        yield ("addresses", members_of(group)), _addresses_of(port)


def say_device_filters(device: Bridge | Router) -> Iterator[Said]:
    """What filters a device has."""
    if device.inbound_filter or device.outbound_filter:
        fact = FiltersFact(device.inbound_filter, device.outbound_filter)
        yield ("filters", "device", device.name), fact


def say_named(resource: Any) -> Iterator[Said]:
    """What a chain or a group is."""
    match resource:
        case Chain():
            yield ("chain", resource.name), tuple(map(rule_fact, resource.rules))
        case AddressGroup():
            yield ("addresses", resource.name), frozenset(map(_prefix, resource.prefixes))
        case PortGroup():
            yield ("ports", resource.name), tuple(sorted(resource.ports))
        case SecurityGroup():
            for direction in ("egress", "ingress"):
                about = ("chain", f"{resource.name} {direction}")
                yield about, _group_rules(resource, direction)


NOTHING = FiltersFact(None, None)


def members_of(group: str) -> str:
    """The address set of a security group's members."""
    return f"members {group}"


# Ports


def _allowed(port: Port) -> tuple[tuple[bytes, bytes, int], ...]:
    if not (port.port_security and port.mac and port.addresses):
        return ()
    own = _mac(port.mac)
    found = {(own, interface(text)[0]) for text in port.addresses}
    allowed = {(mac, ip, len(ip) * 8) for mac, ip in found}
    for pair in port.allowed_address_pairs:
        allowed.add((_mac(pair.mac) if pair.mac else own, *_prefix(pair.address)))
    return tuple(sorted(allowed))


def _addresses_of(port: Port) -> frozenset[Prefix]:
    own = (interface(text)[0] for text in port.addresses)
    pairs = (_prefix(pair.address) for pair in port.allowed_address_pairs)
    return frozenset((ip, len(ip) * 8) for ip in own) | frozenset(pairs)


# Rules


@lru_cache(maxsize=1 << 16)
def rule_fact(rule: Rule) -> RuleFact:
    """A rule as numbers. A condition that needs a family, plainly stated, states it too."""
    found = dict(_conditions(rule))
    family = _family(rule)
    if family and "ether_type" not in found:
        found["ether_type"] = family
    return RuleFact(
        action=rule.action,
        then=rule.then,
        jump=rule.jump or "",
        conditions=tuple(sorted(found.items())),
        inverted=frozenset(rule.invert),
        targets=tuple(map(_target, rule.targets)),
    )


def _conditions(rule: Rule) -> Iterator[tuple[str, Any]]:
    for name, read in READERS.items():
        value = getattr(rule, name)
        if value is not None and value is not False and value not in ((), "any"):
            yield name, read(value)
    for name in ("source_mac", "destination_mac"):
        if text := getattr(rule, name):
            mask = getattr(rule, f"{name}_mask")
            yield name, (_mac(text), _mac(mask) if mask else ALL_BITS)


def _family(rule: Rule) -> int:
    for name in ("source", "destination"):
        if getattr(rule, name) and name not in rule.invert:
            return IPV4 if ip_network(getattr(rule, name)).version == 4 else IPV6
    return 0


def _target(target: NatTarget) -> tuple[bytes, bytes, int, int]:
    first = ip_address(target.first_address).packed
    last = ip_address(target.last_address).packed if target.last_address else first
    first_port = target.first_port or 0
    return first, last, first_port, target.last_port or first_port


def _group_rules(group: SecurityGroup, direction: str) -> tuple[RuleFact, ...]:
    """A group that says nothing of what its members send lets them send everything."""
    rules = [rule for rule in group.rules if rule.direction == direction]
    if direction == "egress" and not rules:
        return (RuleFact("accept", "accept", "", (), frozenset(), ()),)
    return tuple(map(_security_rule, rules))


def _security_rule(rule: SecurityRule) -> RuleFact:
    is_ingress = rule.direction == "ingress"
    remote, remote_group = ("source", "source_group")
    if not is_ingress:
        remote, remote_group = ("destination", "destination_group")
    found: dict[str, Any] = {}
    for name, value in (("ether_type", rule.ether_type), ("protocol", rule.protocol)):
        if value is not None:
            found[name] = READERS[name](value)
    if rule.ports is not None:
        found["destination_ports"] = read_ports(rule.ports)
    for name in ("icmp_type", "icmp_code"):
        if getattr(rule, name) is not None:
            found[name] = getattr(rule, name)
    if rule.remote_prefix is not None:
        found[remote] = _prefix(rule.remote_prefix)
        found["ether_type"] = IPV4 if len(found[remote][0]) == 4 else IPV6
    if rule.remote_group is not None:
        found[remote_group] = members_of(rule.remote_group)
    return RuleFact("accept", "accept", "", tuple(sorted(found.items())), frozenset(), ())


# Values


def _prefix(text: str) -> Prefix:
    network = ip_network(text)
    return network.network_address.packed, network.prefixlen


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _as_it_is(value: Any) -> Any:
    return value


def _vlan(number: int) -> int:
    return number | VLAN_PRESENT if number else 0


READERS: dict[str, Any] = {
    "in_ports": tuple,
    "out_ports": tuple,
    "in_port_group": _as_it_is,
    "out_port_group": _as_it_is,
    "ether_type": read_ether_type,
    "source": _prefix,
    "destination": _prefix,
    "source_group": _as_it_is,
    "destination_group": _as_it_is,
    "protocol": read_protocol,
    "tos": _as_it_is,
    "source_ports": read_ports,
    "destination_ports": read_ports,
    "icmp_type": _as_it_is,
    "icmp_code": _as_it_is,
    "fragment": _as_it_is,
    "vlan": _vlan,
    "forward_flow": _as_it_is,
    "return_flow": _as_it_is,
    "traversed_device": _as_it_is,
}
