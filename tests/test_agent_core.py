"""The agent's core, its switch and its store in memory."""

from __future__ import annotations

import msgspec
import pytest
from agent_bench import Bench
from agent_network import (
    BFD_G1,
    BFD_G2,
    MAC1,
    MAC2,
    MAC3,
    OUTSIDE,
    TAP1,
    TAP3,
    TUNNEL,
    arp_packet,
    c1_ports,
    datagram,
    learned,
    network,
    port,
)
from fake_switch import Out

from onehop.controller.agent import events
from onehop.controller.agent.core import Phase
from onehop.controller.agent.desired import StaticFlow
from onehop.controller.agent.statics import changes, cookie
from onehop.engine import openflow
from onehop.engine.model import (
    Host,
    HostStatus,
    LearnedMac,
    LearnedRoute,
    Neighbor,
    Port,
    PortStatus,
    router_mac,
)

TO_VM2 = datagram(MAC1, MAC2, "10.0.0.11", "10.0.0.12")
TO_VM3 = datagram(MAC1, MAC3, "10.0.0.11", "10.0.0.13")
VM2_AT_C2 = ("172.31.0.22", 2)  # tunnel address and key


def neighbors() -> list[Neighbor]:
    return [
        Neighbor(host=f"g{n}", port=f"up{n}", address=f"10.56.{n}.1", mac=OUTSIDE[f"g{n}"])
        for n in (1, 2)
    ]


def to_outside(sport: int) -> bytes:
    router = router_mac(next(r for r in network() if r.name == "r1-n1"))
    return datagram(MAC1, router, "10.0.0.11", "8.8.8.8", sport)


def tunnelled(outs: list[Out]) -> list[tuple[str, int]]:
    assert all(out.port == TUNNEL for out in outs)
    return [(out.tunnel_dst, out.tunnel_id) for out in outs]


def dynamic(bench: Bench) -> dict[int, int]:
    """Cookies and priorities of the flows that came from packets."""
    flows = bench.switch.flows.values()
    return {
        f.cookie: f.priority for f in flows if f.cookie & openflow.CLASS_MASK == openflow.DYNAMIC
    }


# Packets


def test_packet_to_another_host_takes_the_tunnel_and_later_ones_need_no_agent():
    bench = Bench().boot()
    assert tunnelled(bench.receive(TAP1, TO_VM2)) == [VM2_AT_C2]
    assert len(dynamic(bench)) == 1
    assert tunnelled(bench.switch.receive(TAP1, TO_VM2)) == [VM2_AT_C2]
    assert not bench.switch.heard()


def test_packet_to_the_same_host_stays_there():
    bench = Bench().boot()
    assert bench.receive(TAP1, TO_VM3) == [Out(TAP3, TO_VM3)]


def test_packet_from_the_tunnel_needs_no_agent():
    bench = Bench().boot()
    from_vm2 = datagram(MAC2, MAC1, "10.0.0.12", "10.0.0.11")
    assert bench.switch.receive(TUNNEL, from_vm2, tunnel_id=1) == [Out(TAP1, from_vm2)]
    assert not bench.switch.receive(TUNNEL, from_vm2, tunnel_id=77)
    assert not bench.switch.heard()


def test_flood_from_the_tunnel_goes_to_every_local_port_of_the_bridge():
    bench = Bench().boot()
    flood = arp_packet(1, MAC2, "ff:ff:ff:ff:ff:ff", "10.0.0.12", "10.0.0.99")
    outs = bench.switch.receive(TUNNEL, flood, tunnel_id=100)
    assert sorted(out.port for out in outs) == [TAP1, TAP3]


def test_packet_that_comes_before_the_agent_is_live_is_answered_then():
    bench = Bench()
    bench.tell(events.StoreStep(put=bench.resources))
    bench.tell(events.SwitchUp(list(c1_ports().values())))
    bench.switch.write(changes((), {1: StaticFlow(0, (), (("controller",),))}))
    assert not bench.receive(TAP1, TO_VM2)
    bench.tell(events.SwitchSettled(frozenset(c1_ports())))
    sent = bench.switch.take()
    assert VM2_AT_C2 in tunnelled(sent)
    assert [out.data for out in sent if out.tunnel_id] == [TO_VM2]


def test_mac_that_was_learned_goes_to_the_store():
    unstated = Port(name="vm9", device="n1", host="c1", interface="tap9", tunnel_key=9)
    bench = Bench([*network(), unstated]).boot(c1_ports() | {"tap9": port("tap9", 9)})
    mac = "02:00:00:00:00:99"
    bench.receive(9, datagram(mac, MAC2, "10.0.0.99", "10.0.0.12"))
    row = LearnedMac(host="c1", bridge="n1", port="vm9", mac=mac)
    assert bench.rows(LearnedMac) == {row.name: row}


def test_mac_is_forgotten_when_its_flows_are_gone():
    unstated = Port(name="vm9", device="n1", host="c1", interface="tap9", tunnel_key=9)
    bench = Bench([*network(), unstated]).boot(c1_ports() | {"tap9": port("tap9", 9)})
    bench.receive(9, datagram("02:00:00:00:00:99", MAC2, "10.0.0.99", "10.0.0.12"))
    bench.put(*bench.rows(LearnedMac).values())  # as the store tells it
    bench.pass_time(60)
    assert bench.rows(LearnedMac)
    bench.pass_time(60)
    assert not bench.rows(LearnedMac)


def test_flow_that_nobody_uses_is_removed_and_one_in_use_stays():
    bench = Bench().boot()
    bench.receive(TAP1, TO_VM2)
    bench.receive(TAP1, TO_VM3)
    used = bench.switch.flows.values()
    for _ in range(6):
        bench.receive(TAP1, TO_VM2)
        bench.pass_time(20)
    assert [f for f in used if f.priority == openflow.DYNAMIC_PRIORITY]
    assert len(dynamic(bench)) == 1
    assert tunnelled(bench.switch.receive(TAP1, TO_VM2)) == [VM2_AT_C2]
    assert not bench.switch.heard()


# Hosts


@pytest.mark.parametrize(
    ("address", "registered"), [("172.31.0.99", True), ("", False), ("172.31.0.21", False)]
)
def test_host_that_is_not_stated_registers_where_its_address_is_its_own(address, registered):
    bench = Bench(host="c9", tunnel_address=address).boot()
    wanted = {"c9": Host(name="c9", tunnel_address=address, registered=True)}
    assert bench.rows(Host) == (wanted if registered else {})


def test_host_that_is_stated_does_not_register():
    assert not Bench(tunnel_address="172.31.0.99").boot().rows(Host)


# Neighbors


@pytest.fixture
def waiting() -> Bench:
    """A packet for the outside waits for the MAC of the next hop."""
    bench = Bench([*network(), learned(1)]).boot()
    asked = bench.receive(TAP1, to_outside(1))
    assert tunnelled(asked) == [("172.31.0.11", 21)]
    return bench


def test_packet_waits_for_the_mac_of_its_next_hop(waiting):
    waiting.put(neighbors()[0])
    sent = waiting.switch.take()
    assert tunnelled(sent) == [("172.31.0.11", 21)]
    assert sent[0].data[:6].hex(":") == OUTSIDE["g1"]
    assert waiting.core.status({}).waiting_packets == 0


def test_neighbor_is_asked_for_again_then_the_sender_is_told(waiting):
    asked = waiting.pass_time(2)
    assert tunnelled(asked) == [("172.31.0.11", 21)] * 2
    told = waiting.pass_time(2)
    assert [out.port for out in told] == [TAP1]
    assert told[0].data[34:36] == b"\x03\x01"  # ICMP: host unreachable
    assert waiting.core.status({}).waiting_packets == 0


def test_gateway_tells_the_store_who_answered():
    ports = {
        "onehop-vx": port("onehop-vx", 1),
        "eth1": port("eth1", 2),
        "frr-up1": port("frr-up1", 3),
    }
    bench = Bench([*network(), learned(1)], host="g1").boot(ports)
    own = router_mac(next(r for r in network() if r.name == "up1"))
    reply = arp_packet(2, OUTSIDE["g1"], own, "10.56.1.1", "10.56.1.2")
    outs = bench.receive(2, reply)
    assert Out(3, reply) in outs  # FRR hears it too
    row = neighbors()[0]
    assert bench.rows(Neighbor) == {row.name: row}


# What dies


def through_gateways(bench: Bench) -> set[str]:
    return {tunnelled(bench.receive(TAP1, to_outside(i)))[0][0] for i in range(40)}


def test_dead_gateway_loses_its_flows_at_once_and_gets_them_back():
    bench = Bench([*network(), learned(1), learned(2), *neighbors()]).boot()
    assert through_gateways(bench) == {"172.31.0.11", "172.31.0.12"}
    bench.tell(events.PortChanged(port("bfd-g1", BFD_G1, live=False)))
    assert through_gateways(bench) == {"172.31.0.12"}
    bench.tell(events.PortChanged(port("bfd-g1", BFD_G1, live=True)))
    bench.pass_time(1)  # until its session is steady
    assert through_gateways(bench) == {"172.31.0.11", "172.31.0.12"}


def test_interface_that_goes_and_comes_is_told_to_the_store_and_counts_at_once():
    bench = Bench().boot()
    bench.receive(TAP1, TO_VM3)
    bench.tell(events.PortGone("tap3"))
    assert bench.rows(PortStatus)["vm3"] == PortStatus(host="c1", port="vm3", up=False)
    assert not bench.receive(TAP1, TO_VM3)
    bench.tell(events.PortChanged(port("tap3", 33)))
    assert bench.rows(PortStatus)["vm3"] == PortStatus(host="c1", port="vm3", up=True)
    assert bench.receive(TAP1, TO_VM3) == [Out(33, TO_VM3)]


def test_interface_that_never_failed_has_no_row():
    bench = Bench().boot()
    assert not bench.rows(PortStatus)


def test_store_that_goes_away_changes_nothing():
    bench = Bench().boot()
    bench.tell(events.StoreLink(connected=True))
    bench.tell(events.StoreLink(connected=False))
    assert tunnelled(bench.receive(TAP1, TO_VM2)) == [VM2_AT_C2]


# Start and restart


def test_far_ends_of_the_tunnels_are_greeted_at_the_start_and_when_they_say_something():
    bench = Bench().boot()
    others = ["172.31.0.22", "172.31.0.11", "172.31.0.12"]
    assert sorted(tunnelled(bench.greetings)) == sorted((address, 0) for address in others)
    bench.put(HostStatus(host="c2", heartbeat_s=1.0))
    assert tunnelled(bench.switch.take()) == [("172.31.0.22", 0)]


def test_agent_waits_for_topology_switch_and_ports_in_any_order():
    arrivals = [
        events.StoreStep(put=network()),
        events.SwitchUp(list(c1_ports().values())),
        events.SwitchSettled(frozenset(c1_ports())),
    ]
    bench = Bench()
    for event in (arrivals[1], arrivals[0], arrivals[2]):
        assert bench.core.phase is Phase.WAITING
        bench.tell(event)
    assert bench.core.phase is Phase.LIVE


def test_host_that_is_not_in_the_topology_waits_until_it_is():
    others = [r for r in network() if r.name != "c1" and not (r.KIND == "port" and r.host == "c1")]
    bench = Bench(others).boot()
    assert bench.core.phase is Phase.WAITING
    bench.put(*network())
    bench.tell(events.SwitchSettled(frozenset(c1_ports())))
    assert bench.core.phase is Phase.LIVE


def test_fresh_host_takes_packets_from_others_only_when_it_is_live():
    bench = Bench().boot()
    assert [order.serving for order in bench.ordered(events.Reconcile)] == [None, False, True]


def test_restarted_agent_keeps_every_flow_that_is_right():
    first = Bench([*network(), learned(1), *neighbors()]).boot()
    first.receive(TAP1, TO_VM2)
    first.receive(TAP1, to_outside(1))
    before = dynamic(first)
    first.switch.messages.clear()
    again = Bench([*network(), learned(1), *neighbors()], switch=first.switch).boot()
    assert dynamic(again) == before
    # nothing but greetings
    assert set(first.switch.messages) == {"set_async", "meter_mod", "flow_stats", "packet_out"}
    assert [order.serving for order in again.ordered(events.Reconcile)] == [None, True]
    assert again.core.status({}).flows == len(before)


def test_restarted_agent_mends_flows_that_became_wrong():
    first = Bench([*network(), learned(1), *neighbors()]).boot()
    first.receive(TAP1, to_outside(1))
    again = Bench([*network(), learned(2), *neighbors()], switch=first.switch).boot()
    assert tunnelled(again.receive(TAP1, to_outside(1))) == [("172.31.0.12", 22)]


def test_flows_of_a_past_configuration_go_only_when_the_new_ones_are_there():
    switch = Bench().boot().switch
    stale = StaticFlow(60, (("in_port", TAP1),), ())
    switch.write(changes((), {cookie(stale): stale}))
    bench = Bench(switch=switch)
    bench.tell(events.StoreStep(put=bench.resources))
    assert cookie(stale) in {flow.cookie for flow in switch.flows.values()}
    bench.boot()
    assert cookie(stale) not in {flow.cookie for flow in switch.flows.values()}


def test_switch_that_lost_its_flows_gets_them_again():
    bench = Bench().boot()
    bench.receive(TAP1, TO_VM2)
    bench.tell(events.SwitchDown())
    bench.switch.flows.clear()
    bench.tell(events.SwitchUp(list(c1_ports().values())))
    assert bench.core.phase is Phase.LIVE
    bench.switch.take()
    assert tunnelled(bench.receive(TAP1, TO_VM2)) == [VM2_AT_C2]


def test_agent_that_finds_its_gateway_dead_does_not_use_it():
    first = Bench([*network(), learned(1), learned(2), *neighbors()]).boot()
    ports = c1_ports() | {"bfd-g1": port("bfd-g1", BFD_G1, live=False)}
    again = Bench([*network(), learned(1), learned(2), *neighbors()], switch=first.switch)
    again.boot(ports)
    assert through_gateways(again) == {"172.31.0.12"}


# Gateways


def gateway_ports(**alive: bool) -> dict[str, events.OfPort]:
    names = ["onehop-vx", "eth1", "frr-up1", "bfd-c1", "bfd-c2", "bfd-g2"]
    return {
        name: port(name, number, live=alive.get(name.removeprefix("bfd-"), True))
        for number, name in enumerate(names, start=1)
    }


def test_routes_of_an_uplink_go_to_the_store_and_leave_it():
    bench = Bench(host="g1").boot(gateway_ports())
    bench.tell(events.RoutesLearned("up1", frozenset([learned(1)])))
    assert bench.rows(LearnedRoute) == {learned(1).name: learned(1)}
    bench.tell(events.RoutesLearned("up1", frozenset()))
    assert not bench.rows(LearnedRoute)
    assert (LearnedRoute.KIND, learned(1).name) in bench.ordered(events.RemoveState)[-1].names


def test_gateway_that_comes_back_empty_withdraws_what_it_knew_before_it_serves():
    bench = Bench([*network(), learned(1)], host="g1").boot(gateway_ports())
    orders = bench.orders
    removed = next(i for i, order in enumerate(orders) if isinstance(order, events.RemoveState))
    serving = orders.index(events.Reconcile(bench.core.state, True))
    assert removed < serving


def test_restarted_gateway_keeps_its_routes_until_frr_reports():
    first = Bench([*network(), learned(1)], host="g1").boot(gateway_ports())
    again = Bench([*network(), learned(1)], switch=first.switch, host="g1").boot(gateway_ports())
    assert not again.ordered(events.RemoveState)
    again.tell(events.RoutesLearned("up1", frozenset()))
    assert again.ordered(events.RemoveState)


def test_routes_of_a_drained_gateway_stay_as_the_last_choice():
    bench = Bench(host="g1").boot(gateway_ports())
    bench.tell(events.RoutesLearned("up1", frozenset([learned(1)])))
    host = next(r for r in network() if r.name == "g1")
    bench.put(msgspec.structs.replace(host, drain=True))
    last = msgspec.structs.replace(learned(1), weight=65_535)
    assert bench.rows(LearnedRoute) == {learned(1).name: last}
    assert bench.core.state.uplinks[0].draining
    bench.put(host)
    assert bench.rows(LearnedRoute) == {learned(1).name: learned(1)}
    assert not bench.core.state.uplinks[0].draining


def test_flows_leave_a_drained_gateway_by_being_changed():
    bench = Bench([*network(), *neighbors(), learned(1), learned(2)]).boot()
    for sport in range(64):
        bench.receive(TAP1, to_outside(sport))
    before = dynamic(bench)
    bench.put(msgspec.structs.replace(learned(1), weight=65_535))
    assert dynamic(bench) == before
    taken = [bench.switch.receive(TAP1, to_outside(sport)) for sport in range(64)]
    assert {out.tunnel_dst for outs in taken for out in outs} == {"172.31.0.12"}
    assert not bench.switch.heard()


def test_gateway_announces_while_it_reaches_anybody():
    dead = {"c1": False, "c2": False, "g2": False}
    bench = Bench(host="g1").boot(gateway_ports(**dead))
    assert not any(order.announcing for order in bench.ordered(events.Announce))
    bench.tell(events.PortChanged(port("bfd-c2", 5)))
    assert bench.ordered(events.Announce)[-1].announcing
    bench.tell(events.PortChanged(port("bfd-c2", 5, live=False)))
    assert not bench.ordered(events.Announce)[-1].announcing


def test_uplink_that_loses_its_carrier_is_told_to_frr_and_to_the_store():
    bench = Bench(host="g1").boot(gateway_ports())
    bench.tell(events.PortChanged(port("eth1", 2, link_up=False)))
    assert bench.ordered(events.Carrier) == [events.Carrier("up1", False)]
    assert bench.rows(PortStatus)["up1"] == PortStatus(host="g1", port="up1", up=False)
    bench.tell(events.PortChanged(port("eth1", 2)))
    assert bench.ordered(events.Carrier)[-1] == events.Carrier("up1", True)


# What the agent tells


def test_heartbeat_goes_to_the_store():
    bench = Bench().boot()
    bench.pass_time(40)
    beats = [
        order
        for order in bench.ordered(events.PutState)
        if order.resources[0].KIND == "host_status"
    ]
    assert [order.resources[0].heartbeat_s for order in beats] == [15.0, 30.0]


def test_status_tells_how_the_agent_is():
    bench = Bench().boot()
    bench.receive(TAP1, TO_VM2)
    status = bench.core.status({})
    assert (status.phase, status.live, status.flows) == ("live", True, 1)
    assert status.peers == {"g1": True, "g2": True}
    assert status.ports == {"vm1": True, "vm3": True}
    assert status.counters["packet_ins"] == 1
    bench.tell(events.PortChanged(port("bfd-g2", BFD_G2, live=False)))
    assert bench.core.status({}).peers == {"g1": True, "g2": False}


def test_error_from_the_switch_is_counted_and_logged():
    bench = Bench().boot()
    bench.tell(events.SwitchRefused("OFPBMC_BAD_FIELD"))
    assert bench.core.status({}).counters["switch_errors"] == 1
    assert "OFPBMC_BAD_FIELD" in bench.ordered(events.Log)[-1].text
