"""Filters and security groups: what may be stated, and how each mistake is told."""

import msgspec
import pytest
from mistakes import Edit, problems

from onehop.engine import model
from onehop.engine.model import Chain, Rule, Topology

SOUND = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
address_groups:
  - {name: friends, prefixes: [10.1.0.0/16, "fd01::/16"]}
security_groups:
  - name: web
    rules:
      - {direction: ingress, protocol: tcp, ports: 80-81, remote_prefix: 10.0.0.0/8}
      - {direction: ingress, ether_type: ipv6, protocol: icmpv6, icmp_type: 128, icmp_code: 0}
      - {direction: egress, remote_group: web}
chains:
  - name: main
    rules:
      - {action: accept, ether_type: arp}
      - {action: jump, jump: more, vlan: 0, tos: 184}
      - {action: drop, source_mac: 02:00:00:00:00:00, source_mac_mask: 'ff:ff:ff:00:00:00'}
      - {action: reject, protocol: sctp, destination_ports: 9,
         source_ports: 1-2, invert: [source_ports]}
      - {action: return, fragment: later, in_ports: [vm1], in_port_group: group}
  - name: more
    rules:
      - {action: accept, return_flow: true, source_group: friends}
      - {action: snat, ether_type: 0x800, targets: [{first_address: 192.0.2.1}], then: continue}
      - {action: drop, protocol: 47, destination: "fd00::/8", traversed_device: net}
bridges:
  - {name: net, inbound_filter: main}
ports:
  - {name: vm1, device: net, host: c1, interface: tap1, mac: 02:00:00:00:00:01,
     addresses: [10.0.0.11], outbound_filter: more, security_groups: [web],
     allowed_address_pairs: [{address: 10.0.0.0/30, mac: 02:00:00:00:00:02}]}
  - {name: link, device: net}
  - {name: r-net, device: r, peer: link, addresses: [10.0.0.1/24]}
routers:
  - {name: r, outbound_filter: more}
port_groups:
  - {name: group, ports: [vm1]}
"""
SNAT = "{action: snat, ether_type: 0x800, targets: [{first_address: 192.0.2.1}], then: continue}"
SECURE = "{direction: egress, remote_group: web}"


def instead(old: str, new: str) -> list[Edit]:
    return [(old, new)]


def rule(text: str) -> list[Edit]:
    """The last rule of chain "more" replaced."""
    return [('{action: drop, protocol: 47, destination: "fd00::/8", traversed_device: net}', text)]


def group_rule(text: str) -> list[Edit]:
    return [(SECURE, text)]


MORE = "chain 'more': rules #3 "
WEB = "security_group 'web': rules #3 "
MISTAKES = {
    # Fields of parts.
    "unknown field of a rule": (
        group_rule("{direction: egress, port: 80}"),
        [f"{WEB}port: unknown field; there are direction, ether_type, protocol, ports, "
         "icmp_type, icmp_code, remote_prefix, remote_group"],
    ),
    "unknown action": (
        rule("{action: allow}"),
        [f"{MORE}action: 'allow' is not right: expected one of accept, drop, reject, return, "
         "jump, snat, dnat, reverse_snat, reverse_dnat"],
    ),
    "a rule that is no mapping": (
        rule("drop"), ["chain 'more': rules #3: is not a mapping of fields but 'drop'"]
    ),
    "rules that are no list": (
        [("    rules:\n      - {action: accept, return_flow: true, source_group: friends}",
          "    rules: 5\n    other:\n      - {}")],
        ["chain 'more': other: unknown field; there are name, rules, tenant, shared",
         "chain 'more': rules: 5 is not right: expected array, got int"],
    ),
    "unknown protocol": (
        rule("{action: drop, protocol: tpc}"),
        [f"{MORE}protocol: 'tpc' is not a protocol: icmp, tcp, udp, icmpv6, sctp or a number up "
         "to 255"],
    ),
    "unknown ether type": (
        rule("{action: drop, ether_type: ip}"),
        [f"{MORE}ether_type: 'ip' is not an EtherType: ipv4, arp, ipv6 or a number from 0x0600 "
         "on"],
    ),
    "no ports": (
        rule("{action: drop, protocol: tcp, source_ports: 80 - 81}"),
        [f"{MORE}source_ports: '80 - 81' is not a port like 80 or a range of ports like "
         "1000-2000"],
    ),
    "ports without an end": (
        rule("{action: drop, protocol: tcp, source_ports: 80-}"),
        [f"{MORE}source_ports: '80-' is not a port like 80 or a range of ports like 1000-2000"],
    ),
    "ports backwards": (
        rule("{action: drop, protocol: tcp, source_ports: 81-80}"),
        [f"{MORE}source_ports: '81-80' ends before it begins"],
    ),
    "tos out of range": (
        rule("{action: drop, tos: 256}"),
        [f"{MORE}tos: 256 is not right: expected int <= 255"],
    ),
    "prefix of a pair": (
        instead("address: 10.0.0.0/30", "address: 10.0.0.1/30"),
        ["port 'vm1': allowed_address_pairs #1 address: '10.0.0.1/30' has bits set beyond its "
         "length; is 10.0.0.0/30 meant?"],
    ),
    # References in parts.
    "dangling chain": (
        rule("{action: jump, jump: none}"), [f"{MORE}jump: there is no chain 'none'"]
    ),
    "dangling port of a rule": (
        rule("{action: drop, out_ports: [vm1, vm2]}"),
        [f"{MORE}out_ports: there is no port 'vm2'"],
    ),
    "dangling device of a rule": (
        rule("{action: drop, traversed_device: x}"),
        [f"{MORE}traversed_device: there is no bridge or router 'x'"],
    ),
    "dangling address group": (
        rule("{action: drop, destination_group: x}"),
        [f"{MORE}destination_group: there is no address_group 'x'"],
    ),
    "dangling remote group": (
        group_rule("{direction: egress, remote_group: x}"),
        [f"{WEB}remote_group: there is no security_group 'x'"],
    ),
    "dangling filter": (
        instead("inbound_filter: main", "inbound_filter: mein"),
        ["bridge 'net': inbound_filter: there is no chain 'mein'"],
    ),
    # Actions.
    "jump without a chain": (
        rule("{action: jump}"),
        [f"{MORE}jump: is missing; it names the chain to go on with"],
    ),
    "a chain without a jump": (
        rule("{action: drop, jump: main}"), [f"{MORE}jump: does nothing; the action is drop"]
    ),
    "snat without targets": (
        rule("{action: snat}"),
        [f"{MORE}targets: is missing; snat translates to one of them"],
    ),
    "reverse with targets": (
        rule("{action: reverse_snat, targets: [{first_address: 192.0.2.1}]}"),
        [f"{MORE}targets: does nothing; the action is reverse_snat"],
    ),
    "drop and then": (
        rule("{action: drop, then: return}"), [f"{MORE}then: does nothing; the action is drop"]
    ),
    # Contradictions.
    "inverted but not stated": (
        rule("{action: drop, invert: [source]}"),
        [f"{MORE}invert: 'source' is inverted but not stated"],
    ),
    "inverted but no condition": (
        rule("{action: drop, invert: [action]}"),
        [f"{MORE}invert: 'action' is no condition; there are {', '.join(model.CONDITIONS)}"],
    ),
    "inverted twice": (
        rule("{action: drop, vlan: 0, invert: [vlan, vlan]}"),
        [f"{MORE}invert: names 'vlan' more than once"],
    ),
    "mask without a MAC": (
        rule("{action: drop, destination_mac_mask: 'ff:00:00:00:00:00'}"),
        [f"{MORE}destination_mac_mask: does nothing without destination_mac"],
    ),
    "MAC beyond its mask": (
        rule("{action: drop, destination_mac: '02:00:00:00:00:01',"
             " destination_mac_mask: 'ff:00:00:00:00:00'}"),
        [f"{MORE}destination_mac: '02:00:00:00:00:01' has bits set beyond its mask, "
         "ff:00:00:00:00:00"],
    ),
    "two families": (
        rule('{action: drop, source: 10.0.0.0/8, destination: "fd00::/8"}'),
        [f"{MORE}destination: is of IPv6, but source is of IPv4"],
    ),
    "ether type of another family": (
        rule("{action: drop, ether_type: ipv6, protocol: icmp}"),
        [f"{MORE}protocol: is of IPv4, but ether_type is of IPv6"],
    ),
    "target of another family": (
        rule('{action: snat, source: 10.0.0.0/8, targets: [{first_address: "fd00::1"}]}'),
        [f"{MORE}targets #1 first_address: is of IPv6, but source is of IPv4"],
    ),
    "ARP with a protocol": (
        rule("{action: drop, ether_type: arp, protocol: tcp}"),
        [f"{MORE}protocol: is of IP, but ether_type is 'arp'"],
    ),
    "ports of no protocol": (
        rule("{action: drop, source_ports: 80}"),
        [f"{MORE}source_ports: needs protocol tcp, udp or sctp"],
    ),
    "ports of all but a protocol": (
        rule("{action: drop, source_ports: 80, protocol: tcp, invert: [protocol]}"),
        [f"{MORE}source_ports: needs protocol tcp, udp or sctp"],
    ),
    "ICMP type of TCP": (
        rule("{action: drop, protocol: tcp, icmp_type: 8}"),
        [f"{MORE}icmp_type: needs protocol icmp or icmpv6"],
    ),
    "ports of later fragments": (
        rule("{action: drop, protocol: udp, destination_ports: 53, fragment: later}"),
        [f"{MORE}destination_ports: meets no later fragment, but fragment is later"],
    ),
    "both directions": (
        rule("{action: drop, forward_flow: true, return_flow: true}"),
        [f"{MORE}return_flow: a packet is of one direction; forward_flow is stated too"],
    ),
    "address group twice the same": (
        instead("[10.1.0.0/16, ", "[10.1.0.0/16, 10.1.0.0/16, "),
        ["address_group 'friends': prefixes: names '10.1.0.0/16' more than once"],
    ),
    # Jumps.
    "loop of jumps": (
        rule("{action: jump, jump: main}"),
        ["chain 'main': rules #2 jump: jumps in a loop: main -> more -> main"],
    ),
    "jump to itself": (
        rule("{action: jump, jump: more}"),
        ["chain 'more': rules #3 jump: jumps in a loop: more -> more"],
    ),
    # Security groups and the ports that they guard.
    "both remotes": (
        group_rule("{direction: egress, remote_group: web, remote_prefix: 10.0.0.0/8}"),
        [f"{WEB}remote_group: a rule has either a remote_prefix or a remote_group"],
    ),
    "remote of another family": (
        group_rule("{direction: egress, ether_type: ipv6, remote_prefix: 10.0.0.0/8}"),
        [f"{WEB}remote_prefix: is of IPv4, but ether_type is of IPv6"],
    ),
    "security ports of no protocol": (
        group_rule("{direction: egress, ports: 80}"),
        [f"{WEB}ports: needs protocol tcp, udp or sctp"],
    ),
    "security ICMP of no protocol": (
        group_rule("{direction: egress, icmp_type: 8}"),
        [f"{WEB}icmp_type: needs protocol icmp or icmpv6"],
    ),
    "a guarded router": (
        instead("peer: link,", "peer: link, security_groups: [web],"),
        ["port 'r-net': security_groups: is for machines; no machine is behind this port"],
    ),
    "a group twice": (
        instead("security_groups: [web]", "security_groups: [web, web]"),
        ["port 'vm1': security_groups: names 'web' more than once"],
    ),
    "pairs of a port that is not guarded": (
        instead("security_groups: [web]", "port_security: false"),
        ["port 'vm1': allowed_address_pairs: does nothing; port_security is false"],
    ),
    "pairs of a port that states nothing": (
        instead("\n     addresses: [10.0.0.11],", ""),
        ["port 'vm1': allowed_address_pairs: does nothing; a port that states no mac and "
         "addresses may send from any"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("edits, expected", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_kind_object_field_and_place(
    edits: list[Edit], expected: list[str]
) -> None:
    assert problems(SOUND, *edits) == expected


def test_a_sound_file_is_read_and_written_the_same() -> None:
    topology = model.load(SOUND)
    main = topology.chains[0]
    assert main.rules[1] == Rule(action="jump", jump="more", vlan=0, tos=184)
    assert main.rules[3].destination_ports == 9 and main.rules[3].invert == ("source_ports",)
    assert model.load(model.dump(topology)) == topology


def test_what_a_rule_does_not_state_is_not_written() -> None:
    topology = Topology(chains=(Chain(name="c", rules=(Rule(action="drop", vlan=0),)),))
    assert model.dump(topology) == "chains:\n- name: c\n  rules:\n  - action: drop\n    vlan: 0\n"


@pytest.mark.parametrize(
    "text",
    [
        "{action: drop, source: 10.0.0.0/8, ether_type: ipv6, invert: [ether_type]}",
        "{action: drop, forward_flow: true, return_flow: true, invert: [return_flow]}",
        "{action: drop, fragment: later, protocol: tcp, source_ports: 1, invert: [fragment]}",
        "{action: drop, icmp_code: 3, protocol: 1}",
        "{action: drop, source_mac: 'ff:ff:ff:ff:ff:ff', source_ports: '80', protocol: '6'}",
        "{action: accept, icmp_type: 0, protocol: icmp, invert: [icmp_type]}",
    ],
)
def test_a_rule_that_some_packet_meets_is_accepted(text: str) -> None:
    assert problems(SOUND, *rule(text)) == []


def test_what_was_made_in_python_is_checked_inside_parts_too() -> None:
    rules = (Rule(action="drop"), Rule(action="drop", source="x", tos=999))
    found = model.check(Topology(chains=(Chain(name="c", rules=rules),)))
    assert [problem.field for problem in found] == ["rules #2 source", "rules #2 tos"]


def row_of_chains(length: int, times: int = 1) -> Topology:
    """Each chain jumps to the next, so many times."""
    chains = []
    for n in range(length):
        jumps = [Rule(action="jump", jump=f"c{n + 1:02}")] * times if n + 1 < length else []
        chains.append(Chain(name=f"c{n:02}", rules=(*jumps, Rule(action="return"))))
    return Topology(chains=tuple(chains))


def test_jumps_nest_25_deep_and_no_deeper() -> None:
    assert model.check(row_of_chains(26)) == []
    assert [str(problem) for problem in model.check(row_of_chains(40))] == [
        "chain 'c13': rules: jumps nest 26 deep from here, at most 25 are followed"
    ]


def test_rules_that_multiply_by_jumps_are_bounded() -> None:
    found = model.check(row_of_chains(20, times=2))
    assert [(problem.name, problem.field) for problem in found] == [("c04", "rules")]
    assert "a packet may meet 131069 rules from here on, at most 100000 may" in str(found[0])


def test_every_loop_of_jumps_is_told() -> None:
    chains = [
        Chain(name=name, rules=tuple(Rule(action="jump", jump=to) for to in jumps))
        for name, jumps in {"a": "bc", "b": "a", "c": "d", "d": "c"}.items()
    ]
    reasons = [problem.reason for problem in model.check(Topology(chains=tuple(chains)))]
    assert sorted(reasons) == ["jumps in a loop: a -> b -> a", "jumps in a loop: c -> d -> c"]


def test_numbers_of_texts() -> None:
    assert model.read_ports("1000-2000") == (1000, 2000)
    assert model.read_ports(80) == model.read_ports("80") == (80, 80)
    assert model.read_protocol("icmpv6") == model.read_protocol(58) == 58
    assert model.read_ether_type("ipv6") == 0x86DD and model.read_ether_type(0x88CC) == 0x88CC


def test_parts_with_defaults_are_equal_however_they_came() -> None:
    plain = msgspec.to_builtins(Rule(action="accept", vlan=5))
    assert plain == {"action": "accept", "vlan": 5}
    assert msgspec.convert(plain, Rule) == Rule(action="accept", vlan=5)
    assert hash(msgspec.convert(plain, Rule)) == hash(Rule(action="accept", vlan=5))
