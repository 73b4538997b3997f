"""Filters in plain, slow Python: chains, security groups, anti-spoofing.

1. Written from behaviour.md and docs/topology.md; nothing is compiled, every rule is looked at.
2. A condition that the packet has nothing of does not hold; inverted it does. Ports and ICMP
   types never hold for a later fragment, inverted or not.
3. A later fragment of IPv6 has the protocol by which Open vSwitch knows it: 44.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_interface, ip_network

from frames import FRAGMENT, ICMP, ICMPV6, NA, SCTP, TCP, UDP, Address, Arp, Frame, Ip, is_group
from world import World

from onehop.engine import model
from onehop.engine.model.texts import read_ether_type, read_ports, read_protocol

FORWARD, RETURN = "forward", "return"
TRANSLATIONS = ("snat", "dnat", "reverse_snat", "reverse_dnat")
WITH_PORTS = (TCP, UDP, SCTP)
OF_L4 = ("source_ports", "destination_ports", "icmp_type", "icmp_code")
# What makes IPv6 work on a link: neighbor and router discovery (RFC 4861), multicast listeners
# (RFC 2710, RFC 3810).
HOUSEKEEPING = {
    "egress": (131, 132, 133, 135, 136, 143),
    "ingress": (130, 131, 132, 135, 136),  # routers: who a rule lets say that it is one
}


@dataclass
class Sight:
    """A packet at one filter, and what the rules may ask about it; rules may translate it."""

    frame: Frame
    in_port: str
    out_port: str | None
    passed: tuple[str, ...]  # devices, the one whose filter it is included
    direction: Callable[[Frame], str | None]  # of its connection; asking makes it tracked
    translate: Callable[[model.Rule, Frame], Frame | None]  # None: passed over


def run(world: World, chain: str | None, sight: Sight) -> str:
    """accept, drop or reject."""
    ends = ("accept", "drop", "reject")
    found = _chain(world, chain, sight) if chain else "accept"
    return found if found in ends else "accept"


def _chain(world: World, name: str, sight: Sight) -> str | None:
    chain = world.rows["chain"].get(name)
    for rule in chain.rules if chain else ():
        if not all(_holds(world, rule, condition, sight) for condition in model.CONDITIONS):
            continue
        if rule.action in TRANSLATIONS:
            found = sight.translate(rule, sight.frame)
            if found is None:
                continue
            sight.frame = found
            if rule.then == "continue":
                continue
            return "accept" if rule.then == "accept" else None
        if rule.action == "return":
            return None
        if rule.action != "jump":
            return rule.action
        if found := _chain(world, rule.jump, sight):
            return found
    return None


def translates(world: World, name: str | None) -> bool:
    """Whether a chain has rules that translate, itself or by its jumps."""
    chain = world.rows["chain"].get(name)
    return any(
        rule.action in TRANSLATIONS or (rule.jump and translates(world, rule.jump))
        for rule in (chain.rules if chain else ())
    )


def _holds(world: World, rule: model.Rule, condition: str, sight: Sight) -> bool:
    value = getattr(rule, condition)
    if value is None or value is False or value in ((), "any"):
        return True
    if condition in OF_L4 and _l4(sight.frame) is None:
        return False
    return CONDITIONS[condition](world, rule, sight) != (condition in rule.invert)


# What each condition asks


def _ip(frame: Frame) -> Ip | None:
    return frame.body if isinstance(frame.body, Ip) else None


def protocol(frame: Frame) -> int | None:
    ip = _ip(frame)
    if ip is None:
        return None
    return FRAGMENT if ip.version == 6 and ip.is_later_fragment else ip.proto


def _l4(frame: Frame) -> bytes | None:
    """What begins with ports, or with an ICMP type and code."""
    ip = _ip(frame)
    return None if ip is None or ip.is_later_fragment else ip.payload


def ports(frame: Frame) -> tuple[int, int] | None:
    payload = _l4(frame)
    if payload is None or protocol(frame) not in WITH_PORTS:
        return None
    return int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")


def icmp(frame: Frame) -> tuple[int, int] | None:
    payload, ip = _l4(frame), _ip(frame)
    if payload is None or ip.proto != {4: ICMP, 6: ICMPV6}[ip.version]:
        return None
    return payload[0], payload[1]


def _fragment(frame: Frame) -> str:
    ip = _ip(frame)
    if ip is None or not ip.is_fragment:
        return "unfragmented"
    return "later" if ip.is_later_fragment else "first"


def _in_group(world: World, group: str, port: str | None) -> bool:
    row = world.rows["port_group"].get(group)
    return row is not None and port in row.ports


def _in_prefix(text: str, address: Address | None) -> bool:
    net = ip_network(text)
    return address is not None and net.version == address.version and address in net


def _in_addresses(world: World, group: str, address: Address | None) -> bool:
    row = world.rows["address_group"].get(group)
    return row is not None and any(_in_prefix(text, address) for text in row.prefixes)


def _end(frame: Frame, end: str) -> Address | None:
    ip = _ip(frame)
    return None if ip is None else getattr(ip, end)


def _is_mac(mac: str, wanted: str, mask: str | None) -> bool:
    found, value, bits = (
        int(text.replace(":", ""), 16) for text in (mac, wanted, mask or "ff:ff:ff:ff:ff:ff")
    )
    return found & bits == value & bits


def _in_range(text: str | int, number: int | None) -> bool:
    first, last = read_ports(text)
    return number is not None and first <= number <= last


def _nth(pair: tuple[int, int] | None, n: int) -> int | None:
    return None if pair is None else pair[n]


CONDITIONS: dict[str, Callable[[World, model.Rule, Sight], bool]] = {
    "in_ports": lambda w, r, s: s.in_port in r.in_ports,
    "out_ports": lambda w, r, s: s.out_port in r.out_ports,
    "in_port_group": lambda w, r, s: _in_group(w, r.in_port_group, s.in_port),
    "out_port_group": lambda w, r, s: _in_group(w, r.out_port_group, s.out_port),
    "ether_type": lambda w, r, s: s.frame.eth_type == read_ether_type(r.ether_type),
    "source_mac": lambda w, r, s: _is_mac(s.frame.src, r.source_mac, r.source_mac_mask),
    "destination_mac": lambda w, r, s: _is_mac(
        s.frame.dst, r.destination_mac, r.destination_mac_mask
    ),
    "source": lambda w, r, s: _in_prefix(r.source, _end(s.frame, "src")),
    "destination": lambda w, r, s: _in_prefix(r.destination, _end(s.frame, "dst")),
    "source_group": lambda w, r, s: _in_addresses(w, r.source_group, _end(s.frame, "src")),
    "destination_group": lambda w, r, s: _in_addresses(
        w, r.destination_group, _end(s.frame, "dst")
    ),
    "protocol": lambda w, r, s: protocol(s.frame) == read_protocol(r.protocol),
    "tos": lambda w, r, s: _ip(s.frame) is not None and _ip(s.frame).tos == r.tos,
    "source_ports": lambda w, r, s: _in_range(r.source_ports, _nth(ports(s.frame), 0)),
    "destination_ports": lambda w, r, s: _in_range(r.destination_ports, _nth(ports(s.frame), 1)),
    "icmp_type": lambda w, r, s: _nth(icmp(s.frame), 0) == r.icmp_type,
    "icmp_code": lambda w, r, s: _nth(icmp(s.frame), 1) == r.icmp_code,
    "fragment": lambda w, r, s: _fragment(s.frame) == r.fragment,
    "vlan": lambda w, r, s: s.frame.vlan_id == r.vlan,
    "forward_flow": lambda w, r, s: s.direction(s.frame) == FORWARD,
    "return_flow": lambda w, r, s: s.direction(s.frame) == RETURN,
    "traversed_device": lambda w, r, s: r.traversed_device in s.passed,
}


# Security groups


def groups(world: World, port: model.Port, way: str, sight: Sight) -> str:
    """accept or drop: what the port's groups say of a packet from (egress) or to its machine."""
    found = [world.rows["security_group"].get(name) for name in port.security_groups]
    found = [group for group in found if group is not None]
    if not found or _is_housekeeping(sight.frame, way) or _ip(sight.frame) is None:
        return "accept"
    if sight.frame.body.is_later_fragment:
        return "accept"  # worth nothing without the first, of which the groups decide
    if not is_group(sight.frame.dst) and sight.direction(sight.frame) == RETURN:
        return "accept"
    allowed = any(_allows(world, group, way, sight.frame) for group in found)
    return "accept" if allowed else "drop"


def _allows(world: World, group: model.SecurityGroup, way: str, frame: Frame) -> bool:
    rules = [rule for rule in group.rules if rule.direction == way]
    if way == "egress" and not rules:
        return True
    return any(_meets(world, rule, way, frame) for rule in rules)


def _meets(world: World, rule: model.SecurityRule, way: str, frame: Frame) -> bool:
    ip = frame.body
    far = ip.src if way == "ingress" else ip.dst
    return all(
        (
            rule.ether_type is None or rule.ether_type == f"ipv{ip.version}",
            rule.protocol is None or protocol(frame) == read_protocol(rule.protocol),
            rule.ports is None or _in_range(rule.ports, _nth(ports(frame), 1)),
            rule.icmp_type is None or _nth(icmp(frame), 0) == rule.icmp_type,
            rule.icmp_code is None or _nth(icmp(frame), 1) == rule.icmp_code,
            rule.remote_prefix is None or _in_prefix(rule.remote_prefix, far),
            rule.remote_group is None or _is_member(world, rule.remote_group, far),
        )
    )


def _is_member(world: World, group: str, address: Address) -> bool:
    """Whether a port in the group states the address, as its own or in an allowed pair."""
    members = [port for port in world.all(model.Port) if group in port.security_groups]
    own = {ip_interface(text).ip for port in members for text in port.addresses}
    pairs = (ip_network(pair.address) for port in members for pair in port.allowed_address_pairs)
    return address in own or any(address in network for network in pairs)


def _is_housekeeping(frame: Frame, way: str) -> bool:
    """Without which no machine has a network: neighbor discovery, and its own DHCP."""
    kind = _nth(icmp(frame), 0)
    if _ip(frame) is not None and frame.body.version == 6 and kind is not None:
        return kind in HOUSEKEEPING[way]
    return _is_dhcp(frame) if way == "egress" else False


def _is_dhcp(frame: Frame) -> bool:
    """A client's question."""
    ip = _ip(frame)
    asks = {4: (68, 67), 6: (546, 547)}
    return ip is not None and protocol(frame) == UDP and ports(frame) == asks[ip.version]


# Anti-spoofing


def is_guarded(world: World, port: model.Port) -> bool:
    states_both = bool(port.mac and port.addresses)
    is_machine = world.bridge(port) is not None and world.is_exterior(port)
    return port.port_security and states_both and is_machine


def is_spoofed(port: model.Port, frame: Frame) -> bool:
    """Whether a guarded port's machine pretends to be another."""
    mac, address = frame.src, _end(frame, "src")
    own = list(_identities(port))
    if mac not in {known for known, _ in own}:
        return True
    if isinstance(frame.body, Arp):
        mac, address = frame.body.sha, frame.body.spa
        if mac != frame.src:
            return True
    if _is_advertisement(frame):
        target = IPv6Address(frame.body.payload[8:24])
        if not target.is_link_local and not _owns(own, mac, target):
            return True
    if address is None or _is_nobody(frame, address):
        return False
    return not _owns(own, mac, address)


def _owns(own: list[tuple[str, str]], mac: str, address: Address) -> bool:
    return any(mac == known and _in_prefix(text, address) for known, text in own)


def _is_advertisement(frame: Frame) -> bool:
    kind = _nth(icmp(frame), 0)
    return kind == NA and frame.body.version == 6 and len(frame.body.payload) >= 24


def _identities(port: model.Port) -> Iterator[tuple[str, str]]:
    mac = port.mac.lower()
    for text in port.addresses:
        yield mac, str(ip_network(ip_interface(text).ip))
    for pair in port.allowed_address_pairs:
        yield (pair.mac or mac).lower(), pair.address


def _is_nobody(frame: Frame, address: Address) -> bool:
    """The source of a machine that has no address yet."""
    if address.version == 6:
        return address.is_unspecified or address.is_link_local
    if isinstance(frame.body, Arp):
        return address.is_unspecified
    return address.is_unspecified and _is_dhcp(frame)
