"""`onehop plan`: what a change would do to connections that live."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from frames import ICMP, TCP, UDP, Ip
from networks import Resources
from translations import (
    OUTSIDE,
    PUBLIC,
    VM,
    Edge,
    answer_to,
    floating,
    only,
    packet_of,
    ports_of,
    resources,
)  # fmt: skip

from onehop.controller.plan import report
from onehop.controller.plan.evaluate import plan
from onehop.controller.plan.findings import Plan
from onehop.controller.plan.scene import Live
from onehop.engine import model
from onehop.engine.model import Rule

FIP = "203.0.113.50"
WEB = model.Vip(name="www", router="edge", address="203.0.113.80", port=80, pool="web")
OTHER = "10.0.0.99"
PING = (8, 0)


def held_of(rows: Iterable[model.Resource]) -> dict[tuple[str, str], model.Resource]:
    return {(row.KIND, row.name): row for row in rows}


class Network(Edge):
    """The network, whose hosts all know of every connection."""

    def __init__(self, rows: Resources) -> None:
        super().__init__(rows)
        self.held = held_of(rows)

    def talk(self, sent: Ip, *, by: str = "vm0") -> str:
        """A connection that is answered; by which port it goes."""
        send = self.from_machine if by.startswith("vm") else self.from_outside
        port, seen = only(send(int(by[2:]), sent))
        back = self.from_machine if port.startswith("vm") else self.from_outside
        only(back(int(port[2:]), answer_to(seen)))
        return port

    def plan(self, *put: model.Resource, remove: Iterable[model.Resource] = ()) -> Plan:
        states = list(self.simulator.states.messages(0))
        names = [name for kind, name in self.held if kind == "host"]
        live = [Live(host, {}, [], states) for host in names]
        gone = [(row.KIND, row.name) for row in remove]
        return plan(self.held, put, gone, live, {})

    def get(self, kind: str, name: str) -> model.Resource:
        return self.held[kind, name]


def chain(net: Network, name: str, *first: Rule, last: tuple[Rule, ...] = ()) -> model.Chain:
    """A chain with other rules before and behind those that it has."""
    old = net.get("chain", name)
    assert isinstance(old, model.Chain)
    return msgspec.structs.replace(old, rules=(*first, *old.rules, *last))


def fates(found: Plan) -> list[tuple[str, str]]:
    return [(one.fate, one.direction) for one in found.affected]


@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_that_drops_an_established_connection_cuts_it(version: int) -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[version][0], OUTSIDE[version], 40000, 443))
    net.talk(packet_of(UDP, VM[version][0], OUTSIDE[version], 40000, 53))
    found = net.plan(chain(net, "out", Rule(action="drop", protocol="tcp")))
    assert (found.connections, found.unplaced, fates(found)) == (2, 0, [("cut", "there")])
    (one,) = found.affected
    ends = one.source.address, one.source.number, one.destination.address, one.destination.number
    assert (one.protocol, *ends) == ("tcp", VM[version][0], 40000, OUTSIDE[version], 443)
    assert (one.source.port, one.source.host) == ("vm0", "h0")
    assert "rule 1 of out: drop" in one.reason
    assert found.cuts == 1


def test_a_rule_that_rejects_cuts_too() -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    found = net.plan(chain(net, "out", Rule(action="reject", protocol="tcp")))
    assert fates(found) == [("cut", "there")]
    assert "rule 1 of out: reject" in found.affected[0].reason


def test_a_rule_against_answers_alone_cuts_on_the_way_back() -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4], 40000, 443))
    found = net.plan(chain(net, "in", Rule(action="drop", source_ports="443", protocol="tcp")))
    assert fates(found) == [("cut", "back")]
    assert "rule 1 of in: drop" in found.affected[0].reason


def test_a_rule_behind_one_that_accepts_what_is_established_does_not() -> None:
    kept = (Rule(action="accept", forward_flow=True), Rule(action="accept", return_flow=True))
    rows = [
        msgspec.structs.replace(r, outbound_filter="vm") if r.name == "vm0" else r
        for r in resources()
    ] + [model.Chain(name="vm", rules=kept), floating(4, FIP, 0)]  # fmt: skip
    net = Network(rows)
    net.talk(packet_of(TCP, OUTSIDE[4], FIP, 40000, 22), by="up1")
    drop = Rule(action="drop", protocol="tcp")
    assert fates(net.plan(chain(net, "vm", last=(drop,)))) == []
    assert fates(net.plan(chain(net, "vm", drop))) == [("cut", "there")]


def test_a_better_route_takes_connections_another_way() -> None:
    net = Network(resources())
    before = net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    other = {"up1": "up2", "up2": "up1"}[before]
    route = model.Route(
        router="edge",
        destination=f"{OUTSIDE[4]}/32",
        next_hop_port=other,
        next_hop_gateway=f"10.56.{other[-1]}.1",
    )
    found = net.plan(route)
    assert fates(found) == [("rerouted", "there")]
    assert (
        f"would leave by {other} on g{other[-1]} instead of {before}" in found.affected[0].reason
    )
    assert found.cuts == 0


def test_a_route_into_nothing_cuts() -> None:
    net = Network(resources())
    net.talk(packet_of(UDP, VM[4][0], OUTSIDE[4]))
    hole = model.Route(router="edge", destination="198.51.100.0/24", type="blackhole")
    found = net.plan(hole)
    assert fates(found) == [("cut", "there")]
    assert "blackhole" in found.affected[0].reason


def test_a_next_hop_that_nobody_has_seen_is_waited_for() -> None:
    net = Network(resources())
    net.talk(packet_of(UDP, VM[4][0], OUTSIDE[4]))
    route = model.Route(
        router="edge", destination="198.51.100.0/24", next_hop_port="up1",
        next_hop_gateway="10.56.1.77",
    )  # fmt: skip
    found = net.plan(route)
    assert fates(found) == [("waits", "there")]
    assert "10.56.1.77" in found.affected[0].reason


def guarded() -> Resources:
    rules = (model.SecurityRule(direction="ingress", protocol="tcp", ports="22"),)
    rows = [
        msgspec.structs.replace(r, security_groups=("ssh",)) if r.name == "vm0" else r
        for r in resources()
    ]
    return [*rows, model.SecurityGroup(name="ssh", rules=rules), floating(4, FIP, 0)]


def test_without_its_floating_ip_a_connection_is_cut() -> None:
    net = Network(guarded())
    net.talk(packet_of(TCP, OUTSIDE[4], FIP, 40000, 22), by="up1")
    found = net.plan(remove=[floating(4, FIP, 0)])
    assert fates(found) == [("cut", "there")]
    (one,) = found.affected
    assert (one.destination.address, one.reached.address) == (FIP, VM[4][0])
    assert (one.reached.port, one.reached.host) == ("vm0", "h0")


def test_without_a_floating_ip_nobody_reaches_it() -> None:
    net = Network([*resources(), floating(4, FIP, 0)])
    found = net.plan(remove=[floating(4, FIP, 0)])
    lost = {(pair.source, pair.target) for pair in found.pairs.lose}
    assert {("up1", f"floating IP {FIP}"), ("vm1", f"floating IP {FIP}")} <= lost
    assert ("vm1", "vm0") not in lost


def test_a_tightened_security_group_cuts_what_it_no_longer_allows() -> None:
    net = Network(guarded())
    net.talk(packet_of(TCP, OUTSIDE[4], FIP, 40000, 22), by="up1")
    near = model.SecurityRule(
        direction="ingress", protocol="tcp", ports="22", remote_prefix="10.0.0.0/24"
    )
    found = net.plan(model.SecurityGroup(name="ssh", rules=(near,)))
    assert fates(found) == [("cut", "there")]
    assert "no security group allows it" in found.affected[0].reason
    lost = {(pair.source, pair.address, pair.services) for pair in found.pairs.lose}
    assert ("up1", FIP, ("tcp/22",)) in lost
    assert ("vm1", VM[6][0], ("tcp/22",)) in lost
    assert ("vm1", VM[4][0], ("tcp/22",)) not in lost


def balanced() -> Resources:
    members = [
        model.PoolMember(name=f"m{n}", pool="web", address=VM[4][n], port=8080) for n in (0, 1)
    ]
    return [*resources(), WEB, model.Pool(name="web"), *members]


@pytest.fixture
def web() -> tuple[Network, model.PoolMember, int]:
    """Twenty connections to the VIP, the member that has some of them, and how many."""
    net = Network(balanced())
    took = [net.talk(packet_of(TCP, OUTSIDE[4], WEB.address, 40000 + n, 80), by="up1")
            for n in range(20)]  # fmt: skip
    member = net.get("pool_member", "m0")
    assert isinstance(member, model.PoolMember)
    assert 0 < took.count("vm0") < 20
    return net, member, took.count("vm0")


def test_a_member_that_is_removed_takes_its_connections_with_it(
    web: tuple[Network, model.PoolMember, int],
) -> None:
    net, member, count = web
    found = net.plan(remove=[member])
    assert found.connections == 20
    assert fates(found) == [("cut", "there")] * count
    assert f"would go to {VM[4][1]}:8080" in found.affected[0].reason
    assert found.affected[0].destination.address == WEB.address
    assert found.affected[0].reached.address == VM[4][0]


def test_a_member_that_is_drained_keeps_its_connections(
    web: tuple[Network, model.PoolMember, int],
) -> None:
    net, member, _ = web
    found = net.plan(msgspec.structs.replace(member, admin_state_up=False))
    assert (found.connections, fates(found)) == (20, [])


def test_an_echo_is_followed_by_its_identifier() -> None:
    net = Network(resources())
    sent = packet_of(ICMP, VM[4][0], OUTSIDE[4], 777)
    net.talk(sent)
    found = net.plan(chain(net, "out", Rule(action="drop", protocol="icmp")))
    assert fates(found) == [("cut", "there")]
    assert (found.affected[0].source.number, ports_of(sent)[0]) == (777, 777)


def test_what_has_ended_is_not_live() -> None:
    net = Network(resources())
    for sport in (40000, 40001):
        net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4], sport, 443))
    states = net.simulator.states
    for entry in list(states.entries(0)):
        if 40001 in (entry.source_port, entry.port):
            states.insert(entry._replace(state="closing"), 0)
    found = net.plan(chain(net, "out", Rule(action="drop", protocol="tcp")))
    assert [one.source.number for one in found.affected] == [40000]
    assert found.connections == 1


def test_no_change_is_an_empty_plan() -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    found = net.plan()
    assert (found.changes, found.affected, found.cuts) == ((), (), 0)
    assert list(report.lines(found)) == ["nothing to change"]


def test_a_drained_gateway_hands_over_what_goes_out_by_it() -> None:
    net = Network(resources())
    before = net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    gateway = net.get("host", f"g{before[-1]}")
    found = net.plan(msgspec.structs.replace(gateway, drain=True))
    assert fates(found) == [("rerouted", "there")]
    other = net.get("host", {"g1": "g2", "g2": "g1"}[gateway.name])
    assert fates(net.plan(msgspec.structs.replace(other, drain=True))) == []


def test_what_lives_is_not_touched() -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    before = sorted(net.simulator.states.entries(0))
    net.plan(chain(net, "out", Rule(action="drop")))
    net.plan(msgspec.structs.replace(net.get("router", "edge"), outbound_filter=None))
    assert sorted(net.simulator.states.entries(0)) == before


def test_without_its_translation_answers_find_nobody() -> None:
    net = Network(resources())
    net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4]))
    found = net.plan(msgspec.structs.replace(net.get("router", "edge"), outbound_filter=None))
    assert fates(found) == [("cut", "there")]
    assert f"would come from {VM[4][0]}" in found.affected[0].reason
    assert PUBLIC[4] in found.affected[0].reason


def test_pairs_that_gain_are_told() -> None:
    rows = [*guarded()]
    net = Network(rows)
    rules = (model.SecurityRule(direction="ingress", protocol="tcp", ports="8080"),)
    found = net.plan(model.SecurityGroup(name="ssh", rules=rules))
    gained = {(pair.source, pair.target, pair.services) for pair in found.pairs.gain}
    lost = {(pair.source, pair.target, pair.services) for pair in found.pairs.lose}
    assert ("vm1", "vm0", ("tcp/8080",)) in gained
    assert ("vm1", "vm0", ("tcp/22",)) in lost


def test_the_report_begins_with_the_summary_and_is_bounded() -> None:
    net = Network(resources())
    for n in range(30):
        net.talk(packet_of(TCP, VM[4][0], OUTSIDE[4], 40000 + n, 443))
    found = net.plan(chain(net, "out", Rule(action="drop", protocol="tcp")))
    text = list(report.lines(found, most=5))
    assert text[0] == "  ~ chain 'out'"
    (summary,) = [line for line in text if line.startswith("connections")]
    assert "30 live: 30 cut, 0 rerouted, 0 go on" in summary
    assert "  ... and 25 more" in text
    shown = [line for line in text if line.startswith("  tcp ")]
    assert len(shown) == 5
    assert f"{VM[4][0]}:40000 -> {OUTSIDE[4]}:443" in shown[0]
