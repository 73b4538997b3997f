"""Subnets, and what guards the machines on a bridge's ports."""

from __future__ import annotations

from collections import defaultdict

from onehop.engine.model.resources import Port, Problem, Subnet
from onehop.engine.model.rules.base import Problems, wrong
from onehop.engine.model.texts import IPNetwork, read_address, read_prefix
from onehop.engine.model.view import View

MIN_MTU_IPV6 = 1280  # RFC 8200, section 5
OPTION_BYTES = 255  # of an option of DHCPv4


def subnets_are_whole(view: View) -> Problems:
    for subnet in view.by_name(Subnet).values():
        prefix = read_prefix(subnet.prefix)
        if subnet.gateway is not None:
            yield from _inside(subnet, prefix, "gateway", subnet.gateway)
        for address in subnet.dns:
            yield from _of_family(subnet, prefix, "dns", read_address(address).version, address)
        for place, route in enumerate(subnet.routes, 1):
            field = f"routes #{place}"
            version = read_prefix(route.destination).version
            text = route.destination
            yield from _of_family(subnet, prefix, f"{field} destination", version, text)
            yield from _inside(subnet, prefix, f"{field} gateway", route.gateway)
        if subnet.mtu is not None and prefix.version == 6 and subnet.mtu < MIN_MTU_IPV6:
            yield wrong(subnet, "mtu", f"{subnet.mtu} is less than IPv6 needs, {MIN_MTU_IPV6}")
        yield from _can_be_told(subnet, prefix)


def _can_be_told(subnet: Subnet, prefix: IPNetwork) -> Problems:
    if prefix.version == 6:
        if subnet.routes:
            reason = "cannot be told: neither DHCPv6 nor the gateway speaks of other routers"
            yield wrong(subnet, "routes", reason)
        return
    if (n_bytes := 4 * len(subnet.dns)) > OPTION_BYTES:
        yield wrong(subnet, "dns", f"take {n_bytes} bytes of {OPTION_BYTES} in a DHCP option")
    lengths = [read_prefix(route.destination).prefixlen for route in subnet.routes]
    lengths += [0] if lengths and subnet.gateway else []
    if (n_bytes := sum(5 + (length + 7) // 8 for length in lengths)) > OPTION_BYTES:
        yield wrong(subnet, "routes", f"take {n_bytes} bytes of {OPTION_BYTES} in a DHCP option")


def _inside(subnet: Subnet, prefix: IPNetwork, field: str, text: str) -> Problems:
    address = read_address(text)
    local = address.version == 6 == prefix.version and address.is_link_local
    if address not in prefix and not local:
        yield Problem(subnet.KIND, subnet.name, field, f"{text!r} is outside {subnet.prefix}")


def _of_family(subnet: Subnet, prefix: IPNetwork, field: str, version: int, text: str) -> Problems:
    if version != prefix.version:
        reason = f"{text!r} is IPv{version}, but the prefix is IPv{prefix.version}"
        yield Problem(subnet.KIND, subnet.name, field, reason)


def subnets_agree(view: View) -> Problems:
    """Subnets of one bridge do not overlap, and are what its routers say they are."""
    found: defaultdict[str, list[tuple[IPNetwork, Subnet]]] = defaultdict(list)
    for subnet in view.by_name(Subnet).values():
        prefix = read_prefix(subnet.prefix)
        for other, owner in found[subnet.bridge]:
            if _overlap(prefix, other):
                reason = f"{subnet.prefix!r} overlaps that of subnet {owner.name!r}"
                yield wrong(subnet, "prefix", reason)
        found[subnet.bridge].append((prefix, subnet))
        routed = view.subnets[view.domain_of_bridge(subnet.bridge), prefix.version]
        for network in sorted(routed, key=str):
            if network != prefix and _overlap(prefix, network):
                reason = f"{subnet.prefix!r} is not what a router on the bridge has, {network}"
                yield wrong(subnet, "prefix", reason)


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def only_machines_are_guarded(view: View) -> Problems:
    for port in view.ports.values():
        machine = port.device not in view.routers and port.name not in view.peers
        for field in ("security_groups", "allowed_address_pairs"):
            if getattr(port, field) and not machine:
                yield wrong(port, field, "is for machines; no machine is behind this port")
        for name in dict.fromkeys(port.security_groups):
            if port.security_groups.count(name) > 1:
                yield wrong(port, "security_groups", f"names {name!r} more than once")
        if port.allowed_address_pairs and machine:
            yield from _pairs(port)


def _pairs(port: Port) -> Problems:
    if not port.port_security:
        yield wrong(port, "allowed_address_pairs", "does nothing; port_security is false")
    elif not port.mac or not port.addresses:
        reason = "does nothing; a port that states no mac and addresses may send from any"
        yield wrong(port, "allowed_address_pairs", reason)
