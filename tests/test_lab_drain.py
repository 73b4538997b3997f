"""What a drained gateway does to flows, in the lab's own topology, with its translations."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from agent_bench import Bench
from agent_network import datagram, port

from onehop.controller.agent import uplinks
from onehop.controller.agent.desired import TUNNEL_DEVICE
from onehop.controller.agent.tunnels import watch_device
from onehop.engine import model
from onehop.lab.topo import generate

GATEWAYS = (1, 2, 3)
CLIENT, PUBLIC, STREAMS = "198.51.100.11", "192.0.2.1", 48
OUTER = 2  # the number of a machine's port, or of an uplink
FLOW_MOD, MODIFY_STRICT = 14, 2  # OpenFlow 1.3, sections A.1 and A.3.4.1
TOPOLOGY = model.assign_keys(generate(4, len(GATEWAYS)))
MACS = {f"g{n}": f"02:ee:00:00:00:0{n}" for n in GATEWAYS}  # of the outside router


def learned(n: int, weight: int = 100) -> model.LearnedRoute:
    return model.LearnedRoute(
        host=f"g{n}",
        next_hop_port=f"uplink-g{n}",
        destination="0.0.0.0/0",
        next_hop_gateway=f"10.56.{n}.1",
        weight=weight,
    )


def bench(host: str) -> Bench:
    """An agent of the lab, whose uplinks have learned their routes."""
    uplink = f"uplink-{host}"
    devices = [TUNNEL_DEVICE, "uplink" if host in MACS else f"vm{host[1:]}"]
    devices += [uplinks.frr_device(uplink)] if host in MACS else []
    devices += [watch_device(other.name) for other in TOPOLOGY.hosts if other.name != host]
    rows = [
        *TOPOLOGY,
        *(learned(n) for n in GATEWAYS),
        *(
            model.Neighbor(host=g, port=f"uplink-{g}", address=f"10.56.{g[1]}.1", mac=mac)
            for g, mac in MACS.items()
        ),
        model.NatBlock(host=host, address="192.0.2.200", first_port=1024, n_ports=256),
    ]
    return Bench(rows, host=host).boot({d: port(d, n) for n, d in enumerate(devices, 1)})


def packets(host: str) -> list[bytes]:
    """From a machine to the client, or from the client to a floating IP."""
    ports = {found.name: found for found in TOPOLOGY.ports}
    if host in MACS:
        mac, to, ends = MACS[host], ports[f"uplink-{host}"], (CLIENT, PUBLIC)
    else:
        machine = ports[f"vm{host[1:]}"]
        mac, to = machine.mac or "", ports["tenant-to-net"]
        ends = (machine.addresses[0].partition("/")[0], CLIENT)
    return [datagram(mac, model.router_mac(to), *ends, 30_000 + n) for n in range(STREAMS)]


def changes(bench: Bench, monkeypatch: pytest.MonkeyPatch, *rows: model.Resource) -> Counter[int]:
    """The flow modifications that a step of the store leads to, by command."""
    found: Counter[int] = Counter()

    def counted(data: bytes) -> None:
        at = 0
        while at < len(data):
            if data[at + 1] == FLOW_MOD:
                found[data[at + 25]] += 1
            at += int.from_bytes(data[at + 2 : at + 4], "big")
        write(data)

    write = bench.switch.write
    with monkeypatch.context() as patch:
        patch.setattr(bench.switch, "write", counted)
        bench.put(*rows)
    return found


@pytest.mark.parametrize("host", ["c1", "c2"], ids=["floating ip", "snat"])
def test_flows_of_machines_are_changed_in_place(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = bench(host)
    for data in packets(host):
        assert agent.receive(OUTER, data)
    drained = changes(agent, monkeypatch, learned(1, weight=65_535))
    assert set(drained) == {MODIFY_STRICT} and 0 < drained[MODIFY_STRICT] < STREAMS
    assert changes(agent, monkeypatch, learned(1)) == drained


@pytest.mark.parametrize("host", ["g1", "g2"], ids=["the drained one", "another one"])
def test_flows_of_gateways_stay(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = bench(host)
    for data in packets(host):
        assert agent.receive(OUTER, data)
    own = next(found for found in TOPOLOGY.hosts if found.name == "g1")
    rows = [learned(1, weight=65_535), msgspec.structs.replace(own, drain=True)]
    assert not changes(agent, monkeypatch, *rows)
