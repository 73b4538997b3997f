"""First packets of new connections: packet-in to flow-mod and packet-out.

The clock runs over parsing, the walk, connections, translation, the verdict, and the encoding of
flow-mod, packet-out and state messages. The path is warm: it has answered such a batch before;
and all packet-ins are made before, for making them would take the caches from the engine.

Peers: what a Ryu application does at the least (parse the message and the packet into objects,
serialise one flow-mod and one packet-out, without deciding anything); the oracle of the tests;
MidoNet, from its published 10 000 to 40 000 packets/s per core.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import workloads
from connections import Memory
from oracle import judge
from record import Meter
from ryu_objects import answer
from workloads import address, mac, packet_in, packets
from world import World

from onehop.engine import model
from onehop.engine.datapath import Datapath

BATCHES = (1, 10, 100, 1000, 10_000)
FEWER = 1000  # packets in a round of single ones
STATEFUL = "first packet, stateful"


class Stream:
    """Batches of first packets that never repeat, for one hot path."""

    def __init__(
        self, resources: list[model.Resource], make: Callable[[int, int], list[bytes]]
    ) -> None:
        self.path = workloads.hot_path(resources, entries=1 << 19)
        self._make = make
        self._sent = 0

    def batch(self, count: int) -> bytes:
        messages = self._make(count, self._sent)
        self._sent += count
        return b"".join(messages)

    def check(self, count: int) -> None:
        """Every packet of a batch gets a flow and is sent on."""
        before = self.path.counters
        data = self.batch(count)
        got = self.path.receive(data, 1)
        assert got.consumed == len(data)
        after = self.path.counters
        for name in ("flows_installed", "packet_outs", "forwarded"):
            assert after[name] - before[name] == count, (name, after)

    def measure(self, meter: Meter, what: str, batch: int, *, rounds: int) -> None:
        calls = max(1, FEWER // batch)
        self.check(max(batch, 1000))
        ready = iter([[self.batch(batch) for _ in range(calls)] for _ in range(rounds)])

        def fresh() -> tuple[Datapath, list[bytes]]:
            return self.path, next(ready)

        meter.time(what, take, n=batch * calls, setup=fresh, rounds=rounds, batch=batch)
        after = self.path.counters  # nothing was refused for want of room
        assert after["forwarded"] == after["flows_installed"] == after["packet_ins"]


def take(path: Datapath, buffers: list[bytes]) -> None:
    for buffer in buffers:
        path.receive(buffer, 1)


def stateful() -> Stream:
    resources = workloads.stateful()
    gateway = workloads.gateway_mac(resources)
    return Stream(resources, lambda n, at: list(map(packet_in, packets(n, gateway, first=at))))


@pytest.mark.parametrize("batch", BATCHES)
def test_stateful(meter: Meter, batch: int) -> None:
    stream = stateful()
    stream.check(1)
    assert len(stream.path.states) == 3  # a connection, and a translation there and back
    stream.measure(meter, STATEFUL, batch, rounds=25 if batch < 10_000 else 10)


def test_stateful_state_goes_to_every_gateway() -> None:
    stream = stateful()
    got = stream.path.receive(stream.batch(10), 1)
    assert sorted(host for host, _ in got.state) == ["g1", "g2", "g3"]


def stateless(*, routed: bool) -> Stream:
    """Each pair of machines has a flow: a round has packets of one machine to all others."""
    resources = workloads.stateless()
    gateway = workloads.gateway_mac(resources)

    def make(count: int, at: int) -> list[bytes]:
        return [to_other(1 + n // 1000, n % 1000) for n in range(at, at + count)]

    def to_other(source: int, n: int) -> bytes:
        to = (gateway, address(1, 1 + n)) if routed else (mac(1000 + n), address(0, 1000 + n))
        return packet_in(workloads.one_pair(source, *to), source)

    return Stream(resources, make)


@pytest.mark.parametrize("batch", (1, 10, 100, 1000))
@pytest.mark.parametrize("routed", (False, True), ids=("L2", "L3"))
def test_stateless(meter: Meter, batch: int, *, routed: bool) -> None:
    what = "first packet, L3" if routed else "first packet, L2"
    stateless(routed=routed).measure(meter, what, batch, rounds=25)


@pytest.mark.parametrize("what", (STATEFUL, "first packet, L2", "first packet, L3"))
def test_ryu_objects(meter: Meter, what: str) -> None:
    resources = workloads.stateful()
    first = packets(100, workloads.gateway_mac(resources))
    messages = [packet_in(packet) for packet in first]
    assert len(answer(messages[0])) > 100
    meter.time(what, lambda: [answer(m) for m in messages], n=100, rounds=5, who="Ryu's objects",
               note="decides nothing", batch=1)  # fmt: skip


def test_oracle(meter: Meter) -> None:
    """It has no translation yet: the tenant's router has no filters here."""
    resources = [
        msgspec.structs.replace(row, inbound_filter=None, outbound_filter=None)
        if isinstance(row, model.Router)
        else row
        for row in workloads.stateful()
    ]
    world = World(resources)
    first = list(packets(20, workloads.gateway_mac(resources)))
    assert all(one.kind == "forward" for one in judge(world, "vm1", first[0], Memory()))
    meter.time(STATEFUL, lambda: [judge(world, "vm1", p, Memory()) for p in first], n=20,
               rounds=3, who="the oracle", note="plain Python, without SNAT", batch=1)  # fmt: skip


def test_midonet(meter: Meter) -> None:
    def note() -> None:
        meter.note(STATEFUL, 65.0, "µs", who="MidoNet (derived)", batch=1000,
                   note="published: 10 000 to 40 000 packets/s; its better end is 65")  # fmt: skip

    meter.once(note)
