"""Machines hear of their router unasked: when their port comes up, and from time to time."""

from __future__ import annotations

import msgspec
from agent_bench import Bench
from agent_network import TAP1, network
from fake_switch import Out
from leases import advertised

from onehop.controller.agent import events
from onehop.controller.agent.advertising import EVERY_NS, Advertising
from onehop.engine.model import Port, Resource, Subnet

SIX = Subnet(name="six", bridge="n1", prefix="fd00::/64")


def with_ipv6() -> list[Resource]:
    return [
        msgspec.structs.replace(row, addresses=(*row.addresses, "fd00::11/64"))
        if isinstance(row, Port) and row.name == "vm1"
        else row
        for row in network()
    ] + [SIX]


def adverts(outs: list[Out]) -> list[int]:
    """By which ports of the switch any went, to all nodes."""
    found = [out for out in outs if out.data[:6] == b"\x33\x33\0\0\0\1"]
    assert all(advertised(out.data)[1].dst == "ff02::1" for out in found)
    return [out.port for out in found]


def test_machine_with_a_lease_hears_of_its_router_at_once_and_again() -> None:
    bench = Bench(with_ipv6()).boot()
    assert adverts(bench.pass_time(1)) == [TAP1]
    assert adverts(bench.pass_time(590, step=10)) == []
    assert adverts(bench.pass_time(20, step=10)) == [TAP1]


def test_nobody_hears_of_anything_where_there_is_no_subnet() -> None:
    assert adverts(Bench().boot().pass_time(1)) == []


def test_each_port_has_its_own_time_and_a_port_that_comes_back_its_turn_at_once() -> None:
    turns = Advertising()
    assert turns.due(["a"], 0) == ["a"]
    assert turns.due(["a", "b"], 5) == ["b"]
    assert turns.due(["a"], EVERY_NS) == ["a"]
    assert turns.due(["a", "b"], EVERY_NS + 1) == ["b"]
    assert turns.due(["a", "b"], EVERY_NS + 2) == []


def test_machines_are_told_what_the_underlay_leaves() -> None:
    bench = Bench(with_ipv6()).boot()
    bench.tell(events.UnderlayMeasured(9000))
    (out,) = [out for out in bench.pass_time(1) if out.port == TAP1]
    assert advertised(out.data)[3][5][2:] == (8950).to_bytes(4, "big")
