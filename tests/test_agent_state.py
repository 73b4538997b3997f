"""What an agent's core does about other hosts' connections."""

from __future__ import annotations

from agent_bench import SECOND, Bench
from agent_network import c1_ports, port

from onehop.controller.agent import events
from onehop.engine.model import Port
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
    pieces = list(bench.core.everything(bench.now))
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
