"""Rules of filters and security groups that no packet could meet, or that say too little.

1. Each function below looks at one rule alone and yields faults: a field of it, and the reason.
2. What `invert` names says nothing about the packets that a rule is for, so it contradicts
   nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain as joined

from onehop.engine.model.resources import (
    CONDITIONS,
    AddressGroup,
    Chain,
    NatTarget,
    Problem,
    Rule,
    SecurityGroup,
    SecurityRule,
)
from onehop.engine.model.rules.base import Problems, wrong
from onehop.engine.model.texts import (
    ETHER_TYPES,
    PROTOCOLS,
    read_address,
    read_ether_type,
    read_prefix,
    read_protocol,
)
from onehop.engine.model.values import several
from onehop.engine.model.view import View

Fault = tuple[str, str]  # a field and the reason
Faults = Iterator[Fault]

MAX_TARGET_ADDRESSES = 1 << 16
WITH_PORTS = {PROTOCOLS["tcp"], PROTOCOLS["udp"], PROTOCOLS["sctp"]}
ICMP_FAMILY = {PROTOCOLS["icmp"]: 4, PROTOCOLS["icmpv6"]: 6}
TRANSLATED = {*WITH_PORTS, *ICMP_FAMILY}  # what has a port, or an identifier in its place
FAMILIES = {ETHER_TYPES["ipv4"]: 4, ETHER_TYPES["ipv6"]: 6}
OF_L4 = ("source_ports", "destination_ports", "icmp_type", "icmp_code")
OF_IP = ("source", "destination", "source_group", "destination_group", "protocol", "tos", *OF_L4)
LISTS = ("in_ports", "out_ports", "invert")


def rules_are_possible(view: View) -> Problems:
    for chain in view.by_name(Chain).values():
        for place, rule in enumerate(chain.rules, 1):
            for field, reason in joined.from_iterable(look(rule) for look in LOOKS):
                yield Problem(chain.KIND, chain.name, f"rules #{place} {field}", reason)


def security_rules_are_possible(view: View) -> Problems:
    for group in view.by_name(SecurityGroup).values():
        for place, rule in enumerate(group.rules, 1):
            for field, reason in _security_rule(rule):
                yield Problem(group.KIND, group.name, f"rules #{place} {field}", reason)


def address_groups_name_a_prefix_once(view: View) -> Problems:
    for group in view.by_name(AddressGroup).values():
        for text in _twice(group.prefixes):
            yield wrong(group, "prefixes", f"names {text!r} more than once")


# One rule of a chain.


def states(rule: Rule, condition: str) -> bool:
    """Whether `rule` has that condition, inverted or not."""
    value = getattr(rule, condition)
    return value is not None and value is not False and value not in ((), "any")


def _plainly(rule: Rule, condition: str) -> bool:
    return states(rule, condition) and condition not in rule.invert


def _action(rule: Rule) -> Faults:
    """What an action needs is there, and nothing that only others have."""
    translates = rule.action in ("snat", "dnat")
    if rule.action == "jump" and rule.jump is None:
        yield "jump", "is missing; it names the chain to go on with"
    if rule.action != "jump" and rule.jump is not None:
        yield "jump", f"does nothing; the action is {rule.action}"
    if translates and not rule.targets:
        yield "targets", f"is missing; {rule.action} translates to one of them"
    if not translates and rule.targets:
        yield "targets", f"does nothing; the action is {rule.action}"
    if not rule.action.endswith("nat") and rule.then != "accept":
        yield "then", f"does nothing; the action is {rule.action}"


def _lists(rule: Rule) -> Faults:
    for field in LISTS:
        for name in _twice(getattr(rule, field)):
            yield field, f"names {name!r} more than once"
    for name in rule.invert:
        if name not in CONDITIONS:
            yield "invert", f"{name!r} is no condition; there are {', '.join(CONDITIONS)}"
        elif not states(rule, name):
            yield "invert", f"{name!r} is inverted but not stated"


def _macs(rule: Rule) -> Faults:
    for field in ("source_mac", "destination_mac"):
        mac, mask = getattr(rule, field), getattr(rule, f"{field}_mask")
        if mask is not None and mac is None:
            yield f"{field}_mask", f"does nothing without {field}"
        elif mask is not None and _bits(mac) & ~_bits(mask):
            yield field, f"{mac!r} has bits set beyond its mask, {mask}"


def _families(rule: Rule) -> Faults:
    stated = list(_stated_families(rule))
    yield from _one_family(iter(stated))
    for place, target in enumerate(rule.targets, 1):
        of_target = (
            (f"targets #{place} {field}", read_address(text).version)
            for field, text in _addresses(target)
        )
        yield from _one_family(joined(stated[:1], of_target))
    other = _plainly(rule, "ether_type") and read_ether_type(rule.ether_type or 0)
    for field in OF_IP if other and other not in FAMILIES else ():
        if states(rule, field):
            yield field, f"is of IP, but ether_type is {rule.ether_type!r}"


def _stated_families(rule: Rule) -> Iterator[tuple[str, int]]:
    """The fields that say which version of IP a rule is for."""
    if rule.ether_type is not None and "ether_type" not in rule.invert:
        number = read_ether_type(rule.ether_type)
        yield from [("ether_type", FAMILIES[number])] if number in FAMILIES else []
    if rule.protocol is not None and "protocol" not in rule.invert:
        yield from _family_of_protocol(rule.protocol)
    for field in ("source", "destination"):
        if (text := getattr(rule, field)) is not None:
            yield field, read_prefix(text).version


def _family_of_protocol(protocol: str | int) -> Iterator[tuple[str, int]]:
    family = ICMP_FAMILY.get(read_protocol(protocol))
    yield from [("protocol", family)] if family else []


def _one_family(stated: Iterator[tuple[str, int]]) -> Faults:
    first: tuple[str, int] | None = None
    for field, version in stated:
        first = first or (field, version)
        if version != first[1]:
            yield field, f"is of IPv{version}, but {first[0]} is of IPv{first[1]}"


def _l4(rule: Rule) -> Faults:
    protocol = rule.protocol if _plainly(rule, "protocol") else None
    for field in ("source_ports", "destination_ports"):
        if states(rule, field):
            yield from _needs_ports(field, protocol)
    for field in ("icmp_type", "icmp_code"):
        if states(rule, field):
            yield from _needs_icmp(field, protocol)


def _needs_ports(field: str, protocol: str | int | None) -> Faults:
    if protocol is None or read_protocol(protocol) not in WITH_PORTS:
        yield field, "needs protocol tcp, udp or sctp"


def _needs_icmp(field: str, protocol: str | int | None) -> Faults:
    if protocol is None or read_protocol(protocol) not in ICMP_FAMILY:
        yield field, "needs protocol icmp or icmpv6"


def _fragments(rule: Rule) -> Faults:
    if rule.fragment == "later" and "fragment" not in rule.invert:
        for field in OF_L4:
            if states(rule, field):
                yield field, "meets no later fragment, but fragment is later"


def _flows(rule: Rule) -> Faults:
    both = rule.forward_flow and rule.return_flow
    if both and ("forward_flow" in rule.invert) == ("return_flow" in rule.invert):
        yield "return_flow", "a packet is of one direction; forward_flow is stated too"


def _translation(rule: Rule) -> Faults:
    if rule.action.endswith("nat") and rule.protocol is not None and _plainly(rule, "protocol"):
        if read_protocol(rule.protocol) not in TRANSLATED:
            yield "protocol", f"{rule.protocol!r} has no ports to translate"
    for place, target in enumerate(rule.targets, 1):
        yield from ((f"targets #{place} {field}", reason) for field, reason in _target(target))


def _target(target: NatTarget) -> Faults:
    first = read_address(target.first_address)
    last = read_address(target.last_address) if target.last_address else first
    if last.version == first.version:
        if int(last) < int(first):
            yield "last_address", "comes before first_address"
        elif int(last) - int(first) >= MAX_TARGET_ADDRESSES:
            yield "last_address", f"makes more than {MAX_TARGET_ADDRESSES} addresses"
    if target.last_port is not None and target.first_port is None:
        yield "first_port", "is missing; last_port is stated"
    elif target.last_port is not None and target.last_port < (target.first_port or 0):
        yield "last_port", "comes before first_port"


LOOKS: tuple[Callable[[Rule], Faults], ...] = (
    _action, _lists, _macs, _families, _l4, _fragments, _flows, _translation,
)  # fmt: skip


# One rule of a security group.


def _security_rule(rule: SecurityRule) -> Faults:
    if rule.remote_prefix is not None and rule.remote_group is not None:
        yield "remote_group", "a rule has either a remote_prefix or a remote_group"
    if rule.ports is not None:
        yield from _needs_ports("ports", rule.protocol)
    for field in ("icmp_type", "icmp_code"):
        if getattr(rule, field) is not None:
            yield from _needs_icmp(field, rule.protocol)
    yield from _one_family(_security_families(rule))


def _security_families(rule: SecurityRule) -> Iterator[tuple[str, int]]:
    if rule.ether_type is not None:
        yield "ether_type", FAMILIES[ETHER_TYPES[rule.ether_type]]
    if rule.protocol is not None:
        yield from _family_of_protocol(rule.protocol)
    if rule.remote_prefix is not None:
        yield "remote_prefix", read_prefix(rule.remote_prefix).version


# Helpers.


def _addresses(target: NatTarget) -> Iterator[tuple[str, str]]:
    for field in ("first_address", "last_address"):
        for text in several(getattr(target, field)):
            yield field, text


def _bits(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def _twice(names: tuple[str, ...]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
