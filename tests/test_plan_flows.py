"""`onehop plan` of flows, and of traffic whose connections nobody remembers."""

from __future__ import annotations

import msgspec
from rig import GATEWAY, GUEST, VM1, VM3, Rig, datagram, network, route

from onehop.controller.plan.evaluate import plan
from onehop.controller.plan.findings import Plan
from onehop.controller.plan.scene import Live
from onehop.engine import model, openflow

FAR = "198.51.100.9"


def planned(rig: Rig, *put: model.Resource, remove: tuple[tuple[str, str], ...] = ()) -> Plan:
    numbers = {"vm1": VM1, "vm3": VM3, "guest": GUEST}
    flows = [f.match for f in openflow.flow_stats(rig.stats()) if f.cookie >> 62 == 2]
    states = list(rig.datapath.states.messages(rig.now_ns))
    held = {(row.KIND, row.name): row for row in network()}
    return plan(held, put, remove, [Live("h1", numbers, flows, states)], {})


def talking() -> Rig:
    rig = Rig()
    rig.send(datagram(GATEWAY, FAR))
    rig.send(datagram("02:00:00:00:00:02", "10.0.0.2"))
    assert rig.dynamic_flows == 2
    return rig


def default_route() -> model.Route:
    (found,) = (r for r in network() if r.name == route("far", "up1", "10.8.1.2").name)
    assert isinstance(found, model.Route)
    return found


def test_traffic_into_a_hole_is_cut_and_other_flows_are_left_alone() -> None:
    hole = model.Route(router="far", destination="0.0.0.0/0", type="blackhole", weight=1)
    found = planned(talking(), hole)
    flows = found.flows
    assert (flows.installed, flows.reviewed, flows.dropping, flows.kept) == (2, 1, 1, 0)
    (cut,) = found.traffic
    assert (cut.fate, cut.host, cut.port) == ("cut", "h1", "vm1")
    assert "blackhole" in cut.reason
    assert (found.cuts, found.connections) == (1, 0)


def test_traffic_that_takes_another_way_is_rerouted() -> None:
    other = msgspec.structs.replace(
        default_route(), name="", next_hop_port="up2", next_hop_gateway="10.8.2.2", weight=1
    )
    found = planned(talking(), other)
    assert (found.flows.reviewed, found.flows.rewritten) == (1, 1)
    (moved,) = found.traffic
    assert (moved.fate, found.cuts) == ("rerouted", 0)
    assert "up2 on h3 instead of up1 on h2" in moved.reason


def test_a_flow_that_says_too_little_is_removed_and_no_fate_is_claimed() -> None:
    hole = model.Route(router="far", destination="198.51.100.0/24", type="blackhole")
    found = planned(talking(), hole)
    assert (found.flows.reviewed, found.flows.removed) == (1, 1)
    assert (found.traffic, found.cuts) == ((), 0)


def test_the_flows_looked_at_are_those_that_the_agent_would_look_at() -> None:
    rig = talking()
    hole = model.Route(router="far", destination="0.0.0.0/0", type="blackhole", weight=1)
    said = planned(rig, hole).flows
    before = dict(rig.datapath.counters)
    rig.update(hole)
    assert rig.datapath.counters["flows_modified"] - before["flows_modified"] == said.dropping


def test_flows_of_ports_that_are_not_known_are_left_out() -> None:
    rig = talking()
    flows = [f.match for f in openflow.flow_stats(rig.stats()) if f.cookie >> 62 == 2]
    held = {(row.KIND, row.name): row for row in network()}
    hole = model.Route(router="far", destination="0.0.0.0/0", type="blackhole", weight=1)
    junk = [b"", b"\xff" * 7, bytes(64)]
    found = plan(held, [hole], [], [Live("h1", {"vm3": VM3}, [*flows, *junk], [b"junk"])], {})
    assert (found.flows.installed, found.connections) == (0, 0)
