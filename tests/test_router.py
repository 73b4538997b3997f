"""What a router does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
from frames import BROADCAST, ICMP, ICMPV6, Frame, Ip
from networks import (
    Network,
    Resources,
    answers,
    attach,
    default_route,
    echo,
    hosts,
    is_at,
    link,
    mac,
    machine,
    outputs,
    udp,
    unguarded,
    uplink,
    who_has,
)

from onehop.engine import model
from onehop.engine.effects import NeighborLearned

FAR = "198.51.100.7"


def two_subnets(*, is_stated: bool = True) -> Resources:
    """vm0, vm1 in 10.0.0.0/24 on bridge a; vm2 in 10.0.1.0/24 on bridge b; router r between."""
    devices = [model.Bridge(name="a"), model.Bridge(name="b"), model.Router(name="r")]
    machines = [
        machine(0, "a", "10.0.0.10", "fd00::10"),
        machine(1, "a", "10.0.0.11", "fd00::11"),
        machine(2, "b", "10.0.1.12", "fd00:0:0:1::12", is_stated=is_stated),
    ]
    gateways = attach("a", "r", "10.0.0.1/24", "fd00::1/64")
    gateways += attach("b", "r", "10.0.1.1/24", "fd00:0:0:1::1/64")
    return [*hosts(3), *devices, *machines, *gateways]


def edge(uplinks: int) -> Resources:
    """vm0 behind tenant router r, behind router edge, which has some uplinks."""
    inside = [model.Bridge(name="a"), model.Router(name="r"), model.Router(name="edge")]
    inside += [machine(0, "a", "10.0.0.10"), *attach("a", "r", "10.0.0.1/24")]
    inside += link("r", "edge", "10.255.0.2/30", "10.255.0.1/30")
    ways = {"r": ("0.0.0.0/0", "r-edge", "10.255.0.1")}
    ways["edge"] = ("10.0.0.0/24", "edge-r", "10.255.0.2")
    inside += [
        model.Route(router=r, destination=to, next_hop_port=port, next_hop_gateway=gateway)
        for r, (to, port, gateway) in ways.items()
    ]
    return [*hosts(1), *inside, *(r for n in range(1, uplinks + 1) for r in uplink(n))]


def to_router(network: Network, ip: Ip, *, vm: int = 0, gateway: str = "r-a") -> Frame:
    return frames.ip_frame(network.mac_of(gateway), mac(vm), ip)


def test_a_packet_crosses_to_the_other_subnet_with_new_macs_and_one_hop_less() -> None:
    network = Network(two_subnets())
    sent = udp("10.0.0.10", "10.0.1.12")
    verdict = network.send("vm0", to_router(network, sent))
    assert [a.action for a in verdict.actions] == [
        "dec_ttl", "set_eth_src", "set_eth_dst", "output",
    ]  # fmt: skip
    (out,) = verdict.outputs
    right = frames.ip_frame(mac(2), network.mac_of("r-b"), replace(sent, ttl=63))
    assert (out.port, frames.decode(out.packet)) == ("vm2", right)


def test_a_routed_flow_covers_every_sender_port_and_protocol() -> None:
    network = Network(unguarded(two_subnets()))
    verdict = network.send("vm0", to_router(network, udp("10.0.0.10", "10.0.1.12")))
    assert set(verdict.match) == {
        "in_port", "eth_src", "eth_dst", "vlan_tci", "eth_type", "ipv4_dst",
    }  # fmt: skip


@pytest.mark.parametrize(("src", "dst"), [("10.0.0.10", "10.0.0.1"), ("fd00::10", "fd00::1")])
def test_its_own_addresses_answer_echo(src: str, dst: str) -> None:
    network = Network(two_subnets())
    verdict = network.send("vm0", to_router(network, echo(src, dst)))
    ((port, reply),) = answers(verdict)
    assert (port, reply.dst, reply.src) == ("vm0", mac(0), network.mac_of("r-a"))
    assert reply.body.payload[0] == (0 if "." in src else 129)


def test_the_address_of_another_port_answers_echo_too() -> None:
    network = Network(two_subnets())
    verdict = network.send("vm0", to_router(network, echo("10.0.0.10", "10.0.1.1")))
    assert [(p, str(f.body.src)) for p, f in answers(verdict)] == [("vm0", "10.0.1.1")]


def test_traceroute_through_two_routers_shows_every_hop() -> None:
    network = Network(edge(1))
    seen = []
    for ttl in (1, 2, 3):
        sent = to_router(network, udp("10.0.0.10", FAR, ttl=ttl))
        verdict = network.send("vm0", sent)
        seen += [(p, str(f.body.src), f.body.payload[0]) for p, f in answers(verdict)]
        assert (verdict.kind == "forward") == (ttl == 3)
    assert seen == [("vm0", "10.0.0.1", 11), ("vm0", "10.255.0.1", 11)]


def test_a_packet_with_no_route_is_answered_and_makes_no_flow() -> None:
    network = Network(two_subnets())
    verdict = network.send("vm0", to_router(network, udp("10.0.0.10", FAR)))
    assert (verdict.kind, verdict.reason, verdict.cacheable) == ("consumed", "no route", False)
    ((port, error),) = answers(verdict)
    assert (port, error.body.payload[:2]) == ("vm0", b"\x03\x00")


def test_blackhole_is_silent_and_reject_says_prohibited() -> None:
    ways = [("192.0.2.0/24", "blackhole"), ("203.0.113.0/24", "reject")]
    routes = [model.Route(router="r", destination=to, type=kind) for to, kind in ways]
    network = Network([*two_subnets(), *routes])
    silent = network.send("vm0", to_router(network, udp("10.0.0.10", "192.0.2.9")))
    assert (silent.kind, silent.cacheable, silent.emitted) == ("drop", True, ())
    told = network.send("vm0", to_router(network, udp("10.0.0.10", "203.0.113.9")))
    assert [f.body.payload[:2] for _, f in answers(told)] == [b"\x03\x0d"]


def test_no_error_about_an_error_or_a_later_fragment() -> None:
    network = Network(two_subnets())
    base = Ip(ip_address("10.0.0.10"), ip_address(FAR), 0)
    error = frames.icmp(base, 3, 1, bytes(32))
    fragment = replace(base, proto=17, offset=100, payload=b"later")
    for ip in (error, fragment):
        verdict = network.send("vm0", to_router(network, ip))
        assert (verdict.kind, verdict.emitted) == ("consumed", ())


def test_an_unknown_neighbor_is_asked_for_and_the_packet_goes_on_once_it_answers() -> None:
    network = Network(two_subnets(is_stated=False))
    sent = to_router(network, udp("10.0.0.10", "10.0.1.12"))
    waits = network.send("vm0", sent)
    assert (waits.kind, waits.awaited.port, waits.awaited.address) == ("await", "r-b", "10.0.1.12")
    question = who_has(network.mac_of("r-b"), "10.0.1.1", "10.0.1.12")
    assert answers(waits) == [("vm2", question)]
    told = network.send("vm2", is_at(mac(2), "10.0.1.12", network.mac_of("r-b"), "10.0.1.1"))
    assert NeighborLearned("r-b", "10.0.1.12", mac(2)) in told.learned
    assert outputs(network.send("vm0", sent)) == ["vm2"]


def test_a_neighbor_that_never_answers_is_unreachable() -> None:
    network = Network(two_subnets(is_stated=False))
    sent = to_router(network, udp("10.0.0.10", "10.0.1.12"))
    verdict = network.simulator.unreachable(sent.encode(), "vm0")
    assert verdict.kind == "consumed"
    assert [f.body.payload[:2] for _, f in answers(verdict)] == [b"\x03\x01"]


def test_spoofed_arp_from_outside_the_subnet_is_ignored() -> None:
    network = Network(edge(1))
    arp = frames.Arp(2, mac(9), ip_address(FAR), mac(9), ip_address("10.56.1.2"))
    verdict = network.send("up1", frames.arp_frame(BROADCAST, mac(9), arp))
    assert (verdict.learned, verdict.emitted) == ((), ())


def test_a_stated_address_is_nobody_elses_to_announce() -> None:
    network = Network(two_subnets())
    arp = frames.Arp(1, mac(1), ip_address("10.0.0.10"), frames.NO_MAC, ip_address("10.0.0.10"))
    verdict = network.send("vm1", frames.arp_frame(BROADCAST, mac(1), arp))
    assert verdict.learned == ()


@pytest.mark.parametrize("dst", ["10.0.1.255", "10.0.1.0", "224.0.0.9", "127.0.0.1", "ff0e::1"])
def test_what_is_nobodys_address_is_not_forwarded(dst: str) -> None:
    network = Network([*two_subnets(), model.Route(router="r", destination="0.0.0.0/0",
                                                   next_hop_port="r-b")])  # fmt: skip
    src = "fd00::10" if ":" in dst else "10.0.0.10"
    verdict = network.send("vm0", to_router(network, udp(src, dst)))
    assert (verdict.kind, verdict.cacheable, verdict.emitted) == ("drop", True, ())


def test_link_local_packets_stay_on_their_link() -> None:
    network = Network(two_subnets())
    verdict = network.send("vm0", to_router(network, udp("fe80::1", "fd00:0:0:1::12")))
    assert verdict.reason == "unroutable address"


def test_routers_that_point_at_each_other_are_a_loop() -> None:
    back = model.Route(
        router="edge",
        destination="0.0.0.0/0",
        next_hop_port="edge-r",
        next_hop_gateway="10.255.0.2",
    )
    network = Network([*edge(0), back])
    verdict = network.send("vm0", to_router(network, udp("10.0.0.10", FAR)))
    assert (verdict.kind, verdict.cacheable, verdict.emitted) == ("loop", False, ())


def test_the_lower_weight_wins_until_its_port_goes_down() -> None:
    cheap = replace_weight(default_route(2), 10)
    network = Network([*edge(2), cheap])
    sent = to_router(network, udp("10.0.0.10", FAR))
    verdict = network.send("vm0", sent)
    assert (outputs(verdict), "udp_src" in verdict.match) == (["up2"], False)
    assert set(network.topology.set_host_alive("g2", False)) & set(verdict.tag_ids)
    assert outputs(network.send("vm0", sent)) == ["up1"]


def replace_weight(route: model.LearnedRoute, weight: int) -> model.LearnedRoute:
    return model.LearnedRoute(
        host=route.host,
        next_hop_port=route.next_hop_port,
        destination=route.destination,
        next_hop_gateway=route.next_hop_gateway,
        weight=weight,
    )


def ways(network: Network, count: int = 1500) -> dict[int, str]:
    """The uplink of each of many connections, by source port."""
    found = {}
    for port in range(10000, 10000 + count):
        sent = to_router(network, udp("10.0.0.10", FAR, sport=port))
        (found[port],) = outputs(network.send("vm0", sent))
    return found


def test_equal_routes_share_and_one_that_goes_moves_only_its_own_third() -> None:
    network = Network(edge(3))
    before = ways(network)
    shares = Counter(before.values())
    assert all(0.29 < shares[f"up{n}"] / len(before) < 0.38 for n in (1, 2, 3))
    network.topology.set_host_alive("g2", False)
    after = ways(network)
    moved = {port for port in before if before[port] != after[port]}
    assert moved == {port for port in before if before[port] == "up2"}
    network.topology.set_host_alive("g2", True)
    assert ways(network) == before


def test_a_gateway_that_dies_invalidates_only_the_flows_through_it() -> None:
    network = Network(edge(3))
    flows = {}
    for port in range(10000, 10050):
        verdict = network.send("vm0", to_router(network, udp("10.0.0.10", FAR, sport=port)))
        flows[port] = (outputs(verdict), set(verdict.tag_ids))
    tags = set(network.topology.set_host_alive("g2", False))
    assert {p for p, (_, own) in flows.items() if own & tags} == {
        p for p, (out, _) in flows.items() if out == ["up2"]
    }


def test_the_choice_is_the_same_on_every_host_whatever_came_first() -> None:
    resources = edge(3)
    assert ways(Network(resources), 200) == ways(Network(resources[::-1]), 200)


def test_the_seed_deals_the_connections_anew() -> None:
    one, other = (ways(Network(edge(3), seed=seed), 200) for seed in (1, 2))
    assert one != other


@pytest.mark.parametrize("kind", [ICMP, 47])
def test_without_ports_the_addresses_and_the_protocol_choose(kind: int) -> None:
    network = Network(edge(3))
    ip = replace(udp("10.0.0.10", FAR), proto=kind, payload=b"\x08\0\0\0\0\0\0\0")
    verdict = network.send("vm0", to_router(network, ip))
    seen = {"ipv4_src", "ipv4_dst", "ip_proto", "ip_frag"}
    assert seen <= set(verdict.match) and not {"icmp_type", "icmp_code"} & set(verdict.match)


def test_all_fragments_of_a_packet_go_one_way() -> None:
    network = Network(edge(3))
    whole = udp("10.0.0.10", FAR)
    first = replace(whole, more_fragments=True)
    later = replace(whole, offset=185, payload=b"the rest")
    found = [outputs(network.send("vm0", to_router(network, ip))) for ip in (first, later)]
    assert found[0] == found[1] != []


def test_a_flood_behind_a_router_reaches_the_sender_too() -> None:
    """Its MAC is known to the router, but no more to the bridge: everybody gets it."""
    one_bridge = [
        *hosts(2), model.Bridge(name="a"), model.Router(name="r"),
        machine(0, "a", is_stated=False), machine(1, "a", is_stated=False),
        *attach("a", "r", "10.0.0.1/24", "10.0.1.1/24"),
        model.Neighbor(host="h0", port="r-a", address="10.0.1.9", mac=mac(9)),
    ]  # fmt: skip
    network = Network(one_bridge)
    verdict = network.send("vm0", to_router(network, udp("10.0.0.10", "10.0.1.9")))
    assert outputs(verdict) == ["vm0", "vm1"]


def test_a_tagged_frame_is_nothing_for_a_router() -> None:
    network = Network(two_subnets())
    sent = replace(to_router(network, udp("10.0.0.10", "10.0.1.12")), vlan=7)
    assert network.send("vm0", sent).reason == "tagged at a router port"


def test_ipv6_neighbors_are_asked_by_multicast() -> None:
    network = Network(two_subnets(is_stated=False))
    sent = to_router(network, udp("fd00::10", "fd00:0:0:1::12"))
    verdict = network.send("vm0", sent)
    ((port, question),) = answers(verdict)
    assert (port, question.dst, question.body.proto) == ("vm2", "33:33:ff:00:00:12", ICMPV6)
    assert question.body.payload[0] == frames.NS


@pytest.mark.parametrize("missing", ["b", "r", "h2", "r-b", "b-r", "vm2"])
def test_what_refers_to_something_that_is_not_there_is_inactive(missing: str) -> None:
    network = Network([r for r in two_subnets() if r.name != missing])
    router_mac = model.router_mac(model.Port(name="r-a", device="r"))
    sent = frames.ip_frame(router_mac, mac(0), udp("10.0.0.10", "10.0.1.12"))
    assert "vm2" not in outputs(network.send("vm0", sent))
