"""What a bridge does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
from frames import BROADCAST, Arp
from networks import (
    Network,
    Resources,
    answers,
    attach,
    hosts,
    is_at,
    link,
    mac,
    machine,
    outputs,
    raw,
    udp,
    unguarded,
    who_has,
)

from onehop.engine import model
from onehop.engine.effects import MacLearned, NeighborLearned
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology


def bridged(count: int, *, is_stated: bool = False) -> Resources:
    """`count` machines on one bridge, each on a host of its own."""
    ports = [
        machine(n, "b", f"10.0.0.{10 + n}", f"fd00::{10 + n}", is_stated=is_stated)
        for n in range(count)
    ]
    return [*hosts(count), model.Bridge(name="b"), *ports]


def test_an_unknown_destination_floods_once_per_host_and_stops_once_learned() -> None:
    network = Network(bridged(3))
    first = network.send("vm0", raw(mac(1), mac(0)))
    assert [a.action for a in first.actions] == ["flood"]
    assert outputs(first) == ["vm1", "vm2"]
    assert first.learned == (MacLearned("b", 0, mac(0), "vm0"),)
    assert outputs(network.send("vm1", raw(mac(0), mac(1)))) == ["vm0"]
    assert outputs(network.send("vm0", raw(mac(1), mac(0)))) == ["vm1"]


def test_learning_a_mac_invalidates_the_flood_towards_it() -> None:
    network = Network(bridged(3))
    flooded = network.send("vm0", raw(mac(1), mac(0)))
    tags = network.topology.learn(MacLearned("b", 0, mac(1), "vm1"))
    assert set(tags) & set(flooded.tag_ids)


def test_a_mac_that_moves_is_followed_at_once() -> None:
    network = Network(bridged(3))
    network.send("vm1", raw(BROADCAST, mac(9)))
    before = network.send("vm0", raw(mac(9), mac(0)))
    moved = network.simulator.simulate(raw(BROADCAST, mac(9)).encode(), "vm2")
    assert moved.learned == (MacLearned("b", 0, mac(9), "vm2"),)
    assert set(network.simulator.apply(moved)) & set(before.tag_ids)
    assert outputs(network.send("vm0", raw(mac(9), mac(0)))) == ["vm2"]


def test_a_stated_mac_is_not_learned_elsewhere() -> None:
    network = Network(bridged(3, is_stated=True))
    spoofed = network.send("vm1", raw(mac(2), mac(0)))
    assert spoofed.learned == ()
    assert outputs(network.send("vm2", raw(mac(0), mac(2)))) == ["vm0"]


def test_a_learned_mac_belongs_to_its_vlan_and_a_stated_one_to_all() -> None:
    network = Network([*bridged(3), machine(0, "b")])
    network.send("vm1", raw(BROADCAST, mac(9)))
    tagged = replace(raw(mac(9), mac(2)), vlan=5)
    assert outputs(network.send("vm2", tagged)) == ["vm0", "vm1"]
    tagged = replace(raw(mac(0), mac(2)), vlan=5)
    assert outputs(network.send("vm2", tagged)) == ["vm0"]


def test_a_frame_to_where_it_came_from_is_dropped() -> None:
    network = Network(bridged(2))
    network.send("vm0", raw(BROADCAST, mac(9)))
    verdict = network.send("vm0", raw(mac(9), mac(0)))
    assert (verdict.kind, verdict.cacheable) == ("drop", True)


def test_isolated_bridges_stay_isolated() -> None:
    other = [model.Bridge(name="c"), machine(3, "c")]
    network = Network([*bridged(3), *hosts(4), *other])
    assert outputs(network.send("vm0", raw(BROADCAST, mac(0)))) == ["vm1", "vm2"]


def test_a_port_that_goes_down_is_left_out_of_the_flood_until_it_is_back() -> None:
    network = Network(bridged(3))
    down = model.PortStatus(host="h1", port="vm1", up=False)
    before = network.send("vm0", raw(BROADCAST, mac(0)))
    assert set(network.topology.update([down])) & set(before.tag_ids)
    assert outputs(network.send("vm0", raw(BROADCAST, mac(0)))) == ["vm2"]
    network.topology.update([], [("port_status", "vm1")])
    assert outputs(network.send("vm0", raw(BROADCAST, mac(0)))) == ["vm1", "vm2"]


def test_a_dead_host_gets_no_flood() -> None:
    network = Network(bridged(3))
    assert network.topology.bridge_hosts("b") == ["h0", "h1", "h2"]
    network.topology.set_host_alive("h1", False)
    assert network.topology.bridge_hosts("b") == ["h0", "h2"]


def test_the_arp_of_a_known_address_is_answered_and_never_floods() -> None:
    network = Network(bridged(3, is_stated=True))
    verdict = network.send("vm0", who_has(mac(0), "10.0.0.10", "10.0.0.11"))
    assert (verdict.kind, outputs(verdict), verdict.cacheable) == ("consumed", [], False)
    reply = is_at(mac(1), "10.0.0.11", mac(0), "10.0.0.10")
    assert answers(verdict) == [("vm0", reply)]


def test_the_multicast_solicitation_of_a_known_address_is_answered() -> None:
    network = Network(bridged(3, is_stated=True))
    asked = frames.solicit(mac(0), ip_address("fd00::10"), ip_address("fd00::11"))
    verdict = network.send("vm0", asked)
    assert (verdict.kind, outputs(verdict), verdict.cacheable) == ("consumed", [], False)
    assert [(port, frame.src) for port, frame in answers(verdict)] == [("vm0", mac(1))]


def test_the_arp_of_an_unknown_address_floods_and_makes_no_flow() -> None:
    network = Network(bridged(3, is_stated=True))
    verdict = network.send("vm0", who_has(mac(0), "10.0.0.10", "10.0.0.99"))
    assert (outputs(verdict), verdict.cacheable) == (["vm1", "vm2"], False)


def test_a_gratuitous_arp_floods_and_tells_the_router() -> None:
    network = Network([*bridged(2), model.Router(name="r"), *attach("b", "r", "10.0.0.1/24")])
    arp = Arp(1, mac(0), ip_address("10.0.0.77"), frames.NO_MAC, ip_address("10.0.0.77"))
    verdict = network.send("vm0", frames.arp_frame(BROADCAST, mac(0), arp))
    assert outputs(verdict) == ["vm1"]
    assert NeighborLearned("r-b", "10.0.0.77", mac(0)) in verdict.learned


def test_an_unknown_mac_is_no_reason_to_look_into_the_packet() -> None:
    network = Network(unguarded(bridged(2, is_stated=True)))
    for src, dst in (("10.0.0.10", "10.0.0.11"), ("fd00::10", "fd00::11")):
        verdict = network.send("vm0", frames.ip_frame(mac(1), mac(0), udp(src, dst)))
        assert set(verdict.match) == {"in_port", "eth_src", "eth_dst", "eth_type"}


def test_one_bit_tells_all_multicasts_from_the_rest() -> None:
    verdict = Network(bridged(2)).send("vm0", raw("01:00:5e:00:00:09", mac(0)))
    assert verdict.match["eth_dst"] == (1 << 40, 1 << 40)


def test_joined_bridges_know_each_others_machines() -> None:
    resources = [*hosts(3), model.Bridge(name="a"), model.Bridge(name="b"), *link("a", "b")]
    ports = [machine(0, "a", is_stated=False), machine(1, "b", is_stated=False), machine(2, "a")]
    network = Network([*resources, *ports])
    assert outputs(network.send("vm0", raw(mac(1), mac(0)))) == ["vm1", "vm2"]
    assert outputs(network.send("vm1", raw(mac(0), mac(1)))) == ["vm0"]
    assert outputs(network.send("vm0", raw(mac(1), mac(0)))) == ["vm1"]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_ring_of_bridges_is_a_loop_and_no_storm(names: str) -> None:
    bridges = [model.Bridge(name=name) for name in names]
    ring = [model.Port(name=f"{n}>", device=n) for n in names]
    ring += [
        model.Port(name=f"<{n}", device=n, peer=f"{before}>")
        for before, n in zip(names, names[1:] + names[:1], strict=True)
    ]
    network = Network([*hosts(1), *bridges, *ring, machine(0, "a")])
    verdict = network.send("vm0", raw(BROADCAST, mac(0)))
    assert (verdict.kind, outputs(verdict), verdict.cacheable) == ("loop", [], False)


def test_flood_over_a_second_bridge_has_passed_it_when_its_filter_asks():
    topology = Topology()
    topology.update(
        model.load("""
        hosts: [{name: h0, tunnel_address: 172.31.0.1}]
        chains: [{name: c, rules: [{action: drop, traversed_device: far}]}]
        bridges: [{name: near}, {name: far, inbound_filter: c}]
        ports:
          - {name: m0, device: near, host: h0, interface: t0}
          - {name: m1, device: near, host: h0, interface: t1}
          - {name: m2, device: far, host: h0, interface: t2}
          - {name: far-near, device: far, peer: near-far}
          - {name: near-far, device: near}
        """)
    )
    frame = bytes.fromhex("ffffffffffff02000000000188b5") + bytes(46)
    verdict = Simulator(topology).simulate(frame, "m0", 0)
    assert [output.port for output in verdict.outputs] == ["m1"]
