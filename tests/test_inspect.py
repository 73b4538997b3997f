"""What is installed, and what would be: asked of the hot path, which it does not change."""

from __future__ import annotations

import pytest

from onehop.controller.cli import packet_line
from onehop.engine import model
from onehop.engine.datapath import Datapath
from onehop.engine.inspect import canonical
from onehop.engine.topology import Topology

TOPOLOGY = model.load("""
hosts: [{name: c1, tunnel_address: 172.31.0.21}]
bridges: [{name: n1}]
security_groups:
  - {name: web, rules: [{direction: ingress, ether_type: ipv4, protocol: icmp}]}
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24], host: c1,
     interface: tap1, security_groups: [web]}
  - {name: vm2, device: n1, mac: "02:00:00:00:00:02", addresses: [10.0.0.12/24], host: c1,
     interface: tap2, security_groups: [web]}
  - {name: vm3, device: n1, mac: "02:00:00:00:00:03", addresses: [10.0.0.13/24], host: c1,
     interface: tap3}
""")


@pytest.fixture
def datapath() -> Datapath:
    topology = Topology()
    topology.update(list(model.assign_keys(TOPOLOGY)))
    made = Datapath(topology, host="c1")
    for number, port in enumerate(("vm1", "vm2", "vm3"), 1):
        made.bind(port, number)
    return made


def packet(line: str, port: str) -> bytes:
    return packet_line.packet(packet_line.read(line), port, "S", TOPOLOGY)


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("udp -> 10.0.0.12:53", "vm1"),  # dropped at vm2, where vm1 would have begun a connection
        ("udp -> 10.0.0.12:53", "vm3"),
        ("udp -> 10.0.0.13:53", "vm3"),
    ],
)
def test_flow_that_was_just_made_would_be_made_again(datapath, line, port):
    data = packet(line, port)
    proposed = datapath.proposed(data, port, 1)
    datapath.inject(data, port, 1)
    flows = datapath.installed(range(datapath.room), 2)
    for flow in flows:
        assert flow.noted == flow.would
    if proposed.match:
        assert [(f.table, f.match, f.noted) for f in flows] == [proposed[:3]]
        assert datapath.proposed(data, port, 2).cookie == flows[0].cookie
        assert canonical(flows[0].match) == flows[0].match


def test_asking_changes_nothing(datapath):
    before = dict(datapath.counters)
    datapath.proposed(packet("udp -> 10.0.0.13:53", "vm1"), "vm1", 1)
    assert datapath.installed([0, 1 << 40, 7], 1) == []
    assert datapath.counters == before and len(datapath.states) == 0
    assert datapath.invalidate([], 1) == b""
    with pytest.raises(ValueError, match="Ethernet"):
        datapath.proposed(b"short", "vm1", 1)
