"""What an agent's core does about other hosts' connections."""

from __future__ import annotations

import msgspec
import pytest
from agent_bench import SECOND, Bench
from agent_network import (
    BFD_G1,
    BFD_G2,
    MAC1,
    MAC2,
    TAP1,
    TAP3,
    TUNNEL,
    c1_ports,
    datagram,
    network,
    port,
)

from onehop.controller.agent import events
from onehop.controller.agent.desired import TUNNEL_DEVICE
from onehop.engine.model import AddressPair, Port, Resource, SecurityGroup
from onehop.engine.states import Entry, bytes_for, message

ENTRY = Entry("connection", 7, 17, "10.0.0.11", 1000, "8.8.8.8", 53, state="established")


def serving(bench: Bench) -> list[bool | None]:
    return [order.serving for order in bench.ordered(events.Reconcile)]


def test_entry_that_another_host_tells_of_is_remembered():
    bench = Bench().boot()
    bench.tell(events.StateCame("c2", [message([ENTRY])]))
    assert bench.core.packets.states.find(ENTRY, bench.now) == ENTRY
    assert bench.core.status({}).states["entries"] == 1


def test_entry_that_another_host_removes_is_forgotten():
    bench = Bench().boot()
    bench.tell(events.StateCame("c2", [message([ENTRY]), message([], [ENTRY])]))
    assert bench.core.packets.states.find(ENTRY, bench.now) is None


def test_bytes_that_are_no_message_change_nothing_and_are_counted():
    bench = Bench().boot()
    bench.tell(events.StateCame("c2", [b"", b"noise", bytes(100)]))
    assert not len(bench.core.packets.states)
    assert bench.core.status({}).states["unreadable"] >= 2


def test_agent_that_is_killed_finds_its_memory_again():
    memory = bytearray(bytes_for(1 << 17))
    bench = Bench(memory=memory).boot()
    bench.tell(events.StateCame("c2", [message([ENTRY])]))
    again = Bench(memory=memory, switch=bench.switch, now=SECOND).boot()
    assert again.core.packets.states.find(ENTRY, again.now) == ENTRY


def test_peer_is_told_everything_that_is_known():
    bench, other = Bench().boot(), Bench(host="c2")
    bench.tell(events.StateCame("g1", [message([ENTRY])]))
    pieces = list(bench.core.known(bench.now))
    other.tell(events.StateCame("c1", pieces))
    assert other.core.packets.states.find(ENTRY, other.now) == ENTRY


def test_host_that_boots_takes_packets_when_it_has_fetched_what_others_know():
    bench = Bench(token_file="token").boot()
    assert serving(bench)[-1] is False
    assert not bench.ordered(events.Announce)
    bench.tell(events.StateFetched())
    assert serving(bench)[-1] is True
    assert bench.ordered(events.Announce) == [events.Announce(True)]


def test_host_that_boots_waits_no_longer_than_a_second_for_others():
    bench = Bench(token_file="token").boot()
    bench.pass_time(0.9, 0.1)
    assert serving(bench)[-1] is False
    bench.pass_time(0.2, 0.1)
    assert serving(bench)[-1] is True


def test_agent_that_finds_its_flows_waits_for_nobody():
    first = Bench(token_file="token").boot()
    first.tell(events.StateFetched())
    again = Bench(token_file="token", switch=first.switch).boot()
    assert serving(again)[-1] is True


def test_connections_of_a_port_that_moves_here_are_asked_for():
    bench = Bench().boot()
    assert not bench.ordered(events.WantState)
    bench.put(Port(name="vm9", device="n1", host="c1", interface="tap9", tunnel_key=9))
    bench.tell(events.PortChanged(port("tap9", 9)))
    bench.tell(events.SwitchSettled(frozenset([*c1_ports(), "tap9"])))
    assert len(bench.ordered(events.WantState)) == 1


def test_packet_that_was_quicker_than_the_state_goes_on_when_it_comes():
    bench = Bench(guarded(), token_file="token").boot()
    ask = datagram(MAC2, MAC1, "10.0.0.12", "10.0.0.11", 2000, 1000)
    reply = datagram(MAC1, MAC2, "10.0.0.11", "10.0.0.12", 1000, 2000)
    far = Bench(guarded(), host="c2").boot(c2_ports())
    assert bench.receive(TAP1, reply) == []
    assert far.receive(TAP3, ask)
    for told in far.ordered(events.TellState):
        bench.tell(events.StateCame("c2", [told.message]))
    assert [out.data for out in bench.switch.take()] == [reply]
    assert bench.pass_time(1) == []


def test_packet_that_no_state_comes_for_is_dropped_by_a_flow_soon():
    bench = Bench(guarded(), token_file="token").boot()
    bench.receive(TAP1, datagram(MAC1, MAC2, "10.0.0.11", "10.0.0.12"))
    assert bench.core.status({}).counters["dropped"] == 0
    bench.pass_time(0.1, step=0.1)
    assert bench.core.status({}).counters["dropped"] == 1
    assert bench.core.status({}).flows == 1


@pytest.mark.parametrize(
    ("port_of", "wanted"),
    [
        ({}, ("10.0.0.19",)),
        ({"addresses": ()}, ()),
        ({"allowed_address_pairs": (AddressPair(address="10.0.0.0/28"),)}, ()),
        ({"device": "r1", "addresses": ("10.57.0.1/24",)}, ()),
    ],
    ids=["machine", "any address", "further addresses", "uplink"],
)
def test_only_what_concerns_a_port_that_moved_here_is_asked_for(port_of, wanted):
    stated = Port(name="new", device="n1", mac="02:00:00:00:00:19", addresses=("10.0.0.19/24",),
                  host="c1", interface="tap9", tunnel_key=9)  # fmt: skip
    bench = Bench(token_file="token").boot()
    bench.put(msgspec.structs.replace(stated, **port_of))
    bench.tell(events.PortChanged(port("tap9", 9)))
    assert bench.ordered(events.WantState) == [events.WantState(wanted)]


def guarded() -> list[Resource]:
    """vm2 may only open connections."""
    shut = SecurityGroup(name="shut")
    return [
        msgspec.structs.replace(row, security_groups=("shut",)) if row.name == "vm2" else row
        for row in network()
    ] + [shut]


def c2_ports() -> dict[str, events.OfPort]:
    numbers = {TUNNEL_DEVICE: TUNNEL, "tap2": TAP3, "bfd-g1": BFD_G1, "bfd-g2": BFD_G2}
    return {device: port(device, number) for device, number in numbers.items()}


def test_no_flow_waits_for_an_answer_before_the_switchs_flows_are_known():
    far = Bench(guarded(), host="c2").boot(c2_ports())
    far.receive(TAP3, datagram(MAC2, MAC1, "10.0.0.12", "10.0.0.11", 2000, 1000))
    told = [events.StateCame("c2", [each.message]) for each in far.ordered(events.TellState)]
    assert told
    bench = Bench(guarded(), token_file="token")
    bench.tell(told[0])
    bench.boot()
    bench.tell(told[0])
    assert bench.core.status({}).counters["expected"] == 1
    assert bench.core.status({}).flows == 1
