"""A used-up pool of source ports, at the agent: refused, counted, told once; others go on."""

from __future__ import annotations

import msgspec
import pytest
from agent_bench import Bench
from agent_network import MAC1, OUTSIDE, TAP1, TUNNEL, datagram, learned, network

from onehop.controller.agent import events
from onehop.engine import model

PUBLIC, FAR = "203.0.113.1", "8.8.8.8"
REASON = "no port left to translate to"


@pytest.fixture
def bench() -> Bench:
    """Two connections to one remote end have both ports that there are."""
    target = model.NatTarget(first_address=PUBLIC, first_port=20000, last_port=20001)
    rule = model.Rule(action="snat", out_ports=("up1", "up2"), targets=(target,))
    rows = [
        msgspec.structs.replace(row, outbound_filter="out")
        if isinstance(row, model.Router)
        else row
        for row in network()
    ]
    neighbor = model.Neighbor(host="g1", port="up1", address="10.56.1.1", mac=OUTSIDE["g1"])
    block = model.NatBlock(host="c1", address=PUBLIC, first_port=20000, n_ports=2)
    chain = model.Chain(name="out", rules=(rule,))
    found = Bench([*rows, chain, learned(1), neighbor, block]).boot()
    for sport in (1000, 1001):
        assert [out.port for out in found.receive(TAP1, to(FAR, sport))] == [TUNNEL]
    return found


def to(address: str, sport: int) -> bytes:
    router = model.router_mac(next(r for r in network() if r.name == "r1-n1"))
    return datagram(MAC1, router, "10.0.0.11", address, sport)


def logged(bench: Bench) -> list[str]:
    return [order.text for order in bench.ordered(events.Log) if REASON in order.text]


def test_new_connections_are_refused_and_counted_and_told_once_a_second(bench: Bench) -> None:
    for sport in range(2000, 2020):
        (told,) = bench.receive(TAP1, to(FAR, sport))
        assert (told.port, told.data[34:36]) == (TAP1, b"\x03\x0d")  # prohibited
    assert bench.core.status({}).counters[f"stopped: {REASON}"] == 20
    assert logged(bench) == [f"vm1: a connection is refused: {REASON}"]
    bench.pass_time(1.5)
    bench.receive(TAP1, to(FAR, 2020))
    assert len(logged(bench)) == 2


def test_old_connections_and_other_remote_ends_go_on(bench: Bench) -> None:
    bench.receive(TAP1, to(FAR, 2000))
    for sport in (1000, 1001):
        assert [out.port for out in bench.receive(TAP1, to(FAR, sport))] == [TUNNEL]
    assert [out.port for out in bench.receive(TAP1, to("8.8.4.4", 2000))] == [TUNNEL]
