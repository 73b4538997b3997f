"""The flows that follow from the configuration, in a switch in memory."""

from __future__ import annotations

import msgspec
from agent_network import (
    MAC2,
    OUTSIDE,
    TAP1,
    TAP3,
    TUNNEL,
    arp_packet,
    c1_ports,
    datagram,
    network,
    port,
)
from fake_switch import FakeSwitch, Out

from onehop.controller.agent import statics
from onehop.controller.agent.desired import StaticFlow, desired
from onehop.engine.model import Resource

DATAGRAM = datagram(MAC2, "02:00:00:00:00:01", "10.0.0.12", "10.0.0.11")


def snapshot() -> dict[str, dict[str, Resource]]:
    found: dict[str, dict[str, Resource]] = {}
    for resource in network():
        found.setdefault(resource.KIND, {})[resource.name] = resource
    return found


def wanted(**changed) -> dict[int, StaticFlow]:
    state = desired("c1", snapshot())
    assert state is not None
    return statics.wanted(state, snapshot(), c1_ports() | changed)


def installed(flows: dict[int, StaticFlow]) -> FakeSwitch:
    switch = FakeSwitch()
    switch.write(statics.changes((), flows))
    return switch


def cookies(switch: FakeSwitch) -> set[int]:
    return {flow.cookie for flow in switch.flows.values()}


def test_key_of_a_port_leads_to_it_and_key_of_a_bridge_to_all_its_ports():
    switch = installed(wanted())
    assert switch.receive(TUNNEL, DATAGRAM, tunnel_id=1) == [Out(TAP1, DATAGRAM)]
    flood = arp_packet(1, MAC2, "ff:ff:ff:ff:ff:ff", "10.0.0.12", "10.0.0.11")
    assert switch.receive(TUNNEL, flood, tunnel_id=100) == [Out(TAP1, flood), Out(TAP3, flood)]


def test_a_flood_from_elsewhere_does_not_leave_by_a_port_that_is_down():
    down = snapshot()
    tap3 = down["port"]["vm3"]
    down["port"]["vm3"] = msgspec.structs.replace(tap3, admin_state_up=False)
    state = desired("c1", down)
    assert state is not None
    switch = installed(statics.wanted(state, down, c1_ports()))
    flood = arp_packet(1, MAC2, "ff:ff:ff:ff:ff:ff", "10.0.0.12", "10.0.0.11")
    assert switch.receive(TUNNEL, flood, tunnel_id=100) == [Out(TAP1, flood)]


def test_keys_of_other_hosts_and_of_nobody_lead_nowhere():
    switch = installed(wanted())
    for key in (2, 77, 0):
        assert not switch.receive(TUNNEL, DATAGRAM, tunnel_id=key)
    assert not switch.heard()


def test_what_no_flow_covers_goes_to_the_agent_whole():
    switch = installed(wanted())
    assert not switch.receive(TAP1, DATAGRAM)
    assert switch.heard().endswith(DATAGRAM)


def test_the_same_flows_need_no_message():
    switch = installed(wanted())
    assert statics.changes(cookies(switch), wanted()) == b""


def test_port_that_is_gone_takes_its_flows_along():
    switch = installed(wanted())
    state = desired("c1", snapshot())
    assert state is not None
    ports = {device: port for device, port in c1_ports().items() if device != "tap3"}
    less = statics.wanted(state, snapshot(), ports)
    switch.write(statics.changes(cookies(switch), less))
    assert cookies(switch) == set(less)
    assert not switch.receive(TUNNEL, DATAGRAM, tunnel_id=3)


def test_flow_is_replaced_without_a_gap():
    switch = installed(wanted())
    messages = statics.changes(cookies(switch), wanted(tap1=c1_ports()["tap3"]))
    switch.messages.clear()
    switch.write(messages)
    assert switch.receive(TUNNEL, DATAGRAM, tunnel_id=1) == [Out(TAP3, DATAGRAM)]
    assert cookies(switch) == set(wanted(tap1=c1_ports()["tap3"]))


def test_what_concerns_bgp_passes_between_the_uplink_and_frr():
    state = desired("g1", snapshot())
    assert state is not None
    ports = {name: port(name, n) for n, name in enumerate(("onehop-vx", "eth1", "frr-up1"), 1)}
    switch = installed(statics.wanted(state, snapshot(), ports))
    own = state.uplinks[0].mac
    bfd = datagram(OUTSIDE["g1"], own, "10.56.1.1", "10.56.1.2", dport=3784)
    assert switch.receive(2, bfd) == [Out(3, bfd)]
    answer = datagram(own, OUTSIDE["g1"], "10.56.1.2", "10.56.1.1", dport=3784)
    assert switch.receive(3, answer) == [Out(2, answer)]
    request = arp_packet(1, OUTSIDE["g1"], "ff:ff:ff:ff:ff:ff", "10.56.1.9", "10.56.1.2")
    assert switch.receive(2, request) == [Out(3, request)]
    assert not switch.heard()


def test_who_answers_an_uplink_is_told_to_frr_and_to_the_agent():
    state = desired("g1", snapshot())
    assert state is not None
    ports = {name: port(name, n) for n, name in enumerate(("onehop-vx", "eth1", "frr-up1"), 1)}
    switch = installed(statics.wanted(state, snapshot(), ports))
    reply = arp_packet(2, OUTSIDE["g1"], state.uplinks[0].mac, "10.56.1.1", "10.56.1.2")
    assert switch.receive(2, reply) == [Out(3, reply)]
    assert switch.heard().endswith(reply)
