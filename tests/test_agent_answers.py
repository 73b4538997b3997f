"""ARP that the switch answers by itself."""

from __future__ import annotations

import pytest
from agent_bench import Bench
from agent_network import MAC1, MAC2, TAP1, arp_packet, c1_ports, network

from onehop.controller.agent import answers, events
from onehop.engine.model import Bridge, router_mac

GATEWAY = router_mac(next(r for r in network() if r.name == "r1-n1"))
BROADCAST = "ff:ff:ff:ff:ff:ff"
ASKED = {"gateway": (GATEWAY, "10.0.0.1"), "machine": (MAC2, "10.0.0.12")}


def probe(mac: str, address: str, to: str = "") -> bytes:
    return arp_packet(1, MAC1, to or mac, "10.0.0.11", address)


@pytest.fixture
def bench() -> Bench:
    bench = Bench().boot()
    bench.pass_time(1)
    return bench


@pytest.mark.parametrize("who", ASKED)
def test_known_neighbor_is_confirmed_without_the_agent_and_as_the_agent_does(bench, who):
    mac, address = ASKED[who]
    alone = bench.switch.receive(TAP1, probe(mac, address))
    assert not bench.switch.heard()
    by_agent = bench.receive(TAP1, probe(mac, address, BROADCAST))
    assert [out.port for out in alone] == [out.port for out in by_agent] == [TAP1]
    assert alone[0].data[:42] == by_agent[0].data[:42]


def test_unknown_address_and_wrong_mac_go_to_the_agent(bench):
    for mac, address in ((GATEWAY, "10.0.0.99"), (MAC2, "10.0.0.1")):
        assert not bench.switch.receive(TAP1, probe(mac, address))
        assert bench.switch.heard()


def test_neighbor_that_is_gone_is_confirmed_no_more(bench):
    bench.tell(events.StoreStep(remove=[("port", "vm2")]))
    bench.pass_time(1)
    bench.switch.receive(TAP1, probe(MAC2, "10.0.0.12"))
    assert bench.switch.heard()


def test_bridge_that_is_down_answers_nothing(bench):
    bench.put(Bridge(name="n1", tunnel_key=100, admin_state_up=False))
    bench.pass_time(1)
    assert not bench.receive(TAP1, probe(GATEWAY, "10.0.0.1"))


def test_answers_survive_a_restart(bench):
    again = Bench(switch=bench.switch)
    assert bench.switch.receive(TAP1, probe(GATEWAY, "10.0.0.1"))
    again.switch.messages.clear()
    again.boot(c1_ports())
    assert "flow_mod" not in again.switch.messages
    assert again.switch.receive(TAP1, probe(GATEWAY, "10.0.0.1"))


def test_routers_come_first_when_there_are_too_many(bench, monkeypatch):
    monkeypatch.setattr(answers, "ANSWERS", 2)
    bench.put(Bridge(name="n2"))
    bench.pass_time(1)
    assert bench.switch.receive(TAP1, probe(GATEWAY, "10.0.0.1"))
    assert not bench.switch.receive(TAP1, probe(MAC2, "10.0.0.12"))
