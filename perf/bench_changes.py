"""Changes of the topology, and its size: what a change costs, and whether packets notice the size.

A change is timed from the new resource to the last byte that tells the switch; only flows that
carry a tag of what changed are looked at, which the counts of messages show exactly.
"""

from __future__ import annotations

import time

import msgspec
import pytest
import workloads
from record import Meter

from onehop.engine import model
from onehop.engine.datapath import Datapath
from onehop.engine.topology import Topology

FLOWS = (1000, 10_000, pytest.param(100_000, marks=pytest.mark.long))
CHANGES = 30
SIZES = (1, 10, pytest.param(100, marks=pytest.mark.long))
ROUNDS = 15  # of 1000 first packets
MORE = 60_000  # entries of their connections


def busy_switch(flows: int) -> tuple[Datapath, list[model.Resource]]:
    """One of a thousand ports' hosts, whose machines have spoken with all others."""
    machines = -(-flows // workloads.OTHERS)
    resources = workloads.keyed(workloads.stateless(machines, workloads.OTHERS))
    path = workloads.hot_path(resources, entries=1024)
    gateway = workloads.gateway_mac(resources)
    for source in range(1, machines + 1):
        batch = [
            workloads.packet_in(
                workloads.one_pair(source, gateway, workloads.address(1, 1 + n)), source
            )
            for n in range(workloads.OTHERS)
        ]
        path.receive(b"".join(batch), 1)
    assert path.flow_count == machines * workloads.OTHERS
    return path, resources


@pytest.mark.parametrize("flows", FLOWS)
def test_change(meter: Meter, flows: int) -> None:
    path, resources = busy_switch(flows)
    ports = {row.name: row for row in resources if isinstance(row, model.Port)}
    took_ms = []
    for n in range(CHANGES):
        port = ports[f"far{n}"]
        before = path.counters
        began = time.process_time()
        moved = msgspec.structs.replace(port, host="h0")
        path.invalidate(path.topology.update([moved]), 2)
        took_ms.append((time.process_time() - began) * 1e3)
        after = path.counters
        touched = {
            name: after[name] - before[name] for name in ("flows_modified", "flows_deleted")
        }
        assert touched == {"flows_modified": flows // workloads.OTHERS, "flows_deleted": 0}
    took_ms.sort()
    meter.time("topology change, nothing depends on it", lambda: path.invalidate((1, 2, 3), 2),
               n=1, unit="ms", rounds=20, flows=flows)  # fmt: skip
    if meter.on:
        for name, at in (("p50", 0.5), ("p99", 0.99)):
            value = took_ms[min(int(at * CHANGES), CHANGES - 1)]
            meter.note(f"topology change {name}", value, "ms", rounds=CHANGES, flows=flows,
                       note=f"a machine moves: {flows // workloads.OTHERS} flows")  # fmt: skip


def large(times: int) -> list[model.Resource]:
    """The network of the targets among `times` 1000 ports, 100 routers, 1000 routes; with it go
    `times` 10 000 connections of others."""
    rows = workloads.stateful()
    for n in range(100 * times):
        rows.append(model.Router(name=f"r{n}"))
        rows.append(model.Bridge(name=f"b{n}"))
        rows += [
            model.Port(name=f"b{n}p{k}", device=f"b{n}", host="h2", interface=f"t{n}-{k}")
            for k in range(8)
        ]
        rows.append(model.Port(name=f"b{n}r", device=f"b{n}", peer=f"r{n}b"))
        rows.append(model.Port(name=f"r{n}b", device=f"r{n}", addresses=("10.0.0.1/24",)))
        rows += [
            model.Route(router="provider", destination=f"{20 + k}.{n // 256}.{n % 256}.0/24",
                        next_hop_port="up1", next_hop_gateway="10.56.1.1")
            for k in range(10)
        ]  # fmt: skip
    return workloads.keyed(rows)


@pytest.mark.parametrize("times", SIZES)
def test_scale(meter: Meter, times: int) -> None:
    if times > 1 and not meter.on:
        pytest.skip("only the smallest size without clocks")
    rows = large(times)
    gateway = workloads.gateway_mac(rows)
    before = resident_bytes()
    began = time.process_time()
    topology = Topology()
    topology.update(rows)
    loaded_s = time.process_time() - began
    grown = resident_bytes() - before
    path = workloads.host_of(topology, entries=10_000 * times + MORE, max_flows=400_000)
    others = workloads.connections(10_000 * times)
    assert path.states.insert_records(others, 1).all()
    batches = iter(
        [
            b"".join(map(workloads.packet_in, workloads.packets(1000, gateway, first=first)))
            for first in range(0, (3 + ROUNDS) * 1000, 1000)
        ]
    )
    for flows in (1000, 2000, 3000):
        first = path.receive(next(batches), 1)
        assert path.flow_count == flows, first.effects
    meter.time("first packet at scale", lambda data: path.receive(data, 1), n=1000,
               setup=lambda: (next(batches),), rounds=ROUNDS, thousand_ports=times)  # fmt: skip
    assert path.counters["dropped"] == 0
    if meter.on:
        meter.note("scale, load", loaded_s, "s", thousand_ports=times)
        meter.note("scale, resident memory", grown / len(rows), "bytes an object",
                   thousand_ports=times)  # fmt: skip


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
