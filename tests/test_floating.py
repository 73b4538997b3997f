"""Floating IPs: in and out without state, hairpin, errors."""

from __future__ import annotations

from dataclasses import replace

import frames
import pytest
import translations
from frames import ICMP, ICMPV6, TCP, UDP
from translations import (
    OUTSIDE,
    OWN,
    VM,
    Edge,
    answer_to,
    error_about,
    floating,
    only,
    packet_of,
    ports_of,
    quoted_in,
    resources,
)  # fmt: skip

from onehop.engine import model

VIP = model.Vip(
    name="www", router="edge", address="10.0.0.77", port=80, protocol="tcp", pool="web"
)
FLOATING = {4: ("203.0.113.50", "203.0.113.51"), 6: ("2001:db8::50", "2001:db8::51")}
PROTOCOLS = [(4, UDP), (4, TCP), (4, ICMP), (6, UDP), (6, TCP), (6, ICMPV6)]


def edge(*machines: int) -> Edge:
    """The network; these machines have floating IPs."""
    rows = [floating(v, FLOATING[v][n], n) for v in (4, 6) for n in machines]
    return Edge([*resources(), *rows])


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
def test_it_stands_for_the_machine_both_ways_without_state(version: int, proto: int) -> None:
    net = edge(0)
    sent = packet_of(proto, OUTSIDE[version], FLOATING[version][0])
    verdict = net.from_outside(1, sent)
    port, seen = only(verdict)
    assert (port, str(seen.dst), ports_of(seen)) == ("vm0", VM[version][0], ports_of(sent))
    assert not verdict.created
    answered = net.from_machine(0, answer_to(seen))
    _, back = only(answered)
    assert str(back.src) == FLOATING[version][0]
    assert not answered.created


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
def test_out_of_the_machine_it_comes_before_snat(version: int, proto: int) -> None:
    net = edge(0)
    sent = packet_of(proto, VM[version][0], OUTSIDE[version])
    verdict = net.from_machine(0, sent)
    _, seen = only(verdict)
    assert (str(seen.src), ports_of(seen)) == (FLOATING[version][0], ports_of(sent))
    assert not verdict.created
    assert str(only(net.from_machine(1, packet_of(proto, VM[version][1], OUTSIDE[version])))[1].src
               ) == translations.PUBLIC[version]  # fmt: skip


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
@pytest.mark.parametrize("machines", [(0, 1), (1,)])
def test_hairpin(version: int, proto: int, machines: tuple[int, ...]) -> None:
    net = edge(*machines)
    sent = packet_of(proto, VM[version][0], FLOATING[version][1])
    port, seen = only(net.from_machine(0, sent))
    assert (port, str(seen.dst)) == ("vm1", VM[version][1])
    assert str(seen.src) == (FLOATING[version][0] if 0 in machines else OWN[version])
    port, back = only(net.from_machine(1, answer_to(seen)))
    assert port == "vm0"
    assert (str(back.src), str(back.dst)) == (FLOATING[version][1], VM[version][0])
    assert ports_of(back) == ports_of(sent)[::-1]


@pytest.mark.parametrize("version", [4, 6])
def test_hairpin_to_itself(version: int) -> None:
    net = edge(0)
    sent = packet_of(UDP, VM[version][0], FLOATING[version][0])
    port, seen = only(net.from_machine(0, sent))
    assert (port, str(seen.src), str(seen.dst)) == ("vm0", FLOATING[version][0], VM[version][0])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("machines", [(0, 1), (1,)])
def test_errors_through_a_hairpin_reach_the_right_socket(
    version: int, machines: tuple[int, ...]
) -> None:
    net = edge(*machines)
    sent = packet_of(UDP, VM[version][0], FLOATING[version][1])
    _, seen = only(net.from_machine(0, sent))
    port, told = only(net.from_machine(1, error_about(seen, VM[version][1])))
    assert (port, str(told.src)) == ("vm0", FLOATING[version][1])
    assert quoted_in(told) == replace(sent, ttl=sent.ttl - 1)


@pytest.mark.parametrize("version", [4, 6])
def test_errors_both_ways(version: int) -> None:
    net = edge(0)
    sent = packet_of(UDP, OUTSIDE[version], FLOATING[version][0])
    _, seen = only(net.from_outside(1, sent))
    _, told = only(net.from_machine(0, error_about(seen, VM[version][0])))
    assert str(told.src) == FLOATING[version][0]
    assert quoted_in(told) == replace(sent, ttl=sent.ttl - 1)
    sent = packet_of(UDP, VM[version][0], OUTSIDE[version])
    _, seen = only(net.from_machine(0, sent))
    port, told = only(net.from_outside(2, error_about(seen, OUTSIDE[version])))
    assert (port, str(told.dst)) == ("vm0", VM[version][0])
    assert quoted_in(told) == replace(sent, ttl=sent.ttl - 1)


def test_later_fragments_pass() -> None:
    net = edge(0)
    sent = replace(packet_of(UDP, OUTSIDE[4], FLOATING[4][0]), offset=100)
    assert str(net.from_outside(1, sent).match["ipv4_dst"][0])
    verdict = net.from_outside(1, sent)
    assert [o.port for o in verdict.outputs] == ["vm0"]


def test_between_subnets_of_the_router_it_is_not_the_source() -> None:
    rows = [
        *resources(), floating(4, FLOATING[4][0], 0), model.Bridge(name="other"),
        *translations.attach("other", "edge", "10.0.1.1/24"),
        model.Host(name="h9", tunnel_address="172.31.0.99"),
        translations.machine(9, "other", "10.0.1.9/24"),
    ]  # fmt: skip
    _, seen = only(Edge(rows).from_machine(0, packet_of(UDP, VM[4][0], "10.0.1.9")))
    assert str(seen.src) == VM[4][0]


def test_the_router_answers_arp_for_it_on_its_link() -> None:
    rows = [*resources(), floating(4, "10.56.1.77", 0)]
    net = Edge(rows)
    asked = frames.solicit(
        translations.UPSTREAM, frames.IPv4Address("10.56.1.1"), frames.IPv4Address("10.56.1.77")
    )
    ((port, frame),) = translations.networks.answers(net.send("up1", asked))
    assert port == "up1"
    assert frame.body.sha == net.mac_of("up1")


def test_stating_one_changes_what_flows_through_the_router_depend_on() -> None:
    net = edge()
    verdict = net.from_machine(0, packet_of(UDP, VM[4][0], OUTSIDE[4]))
    row = floating(4, FLOATING[4][0], 0)
    assert set(net.topology.update([row])) & set(verdict.tag_ids)
    assert set(net.topology.update([], [(row.KIND, row.name)])) & set(verdict.tag_ids)
    again = net.from_machine(0, packet_of(UDP, VM[4][0], OUTSIDE[4]))
    assert str(only(again)[1].src) == translations.PUBLIC[4]


@pytest.mark.parametrize("row", [floating(4, "10.0.0.77", 0), VIP])
def test_another_router_on_the_link_knows_where_it_is(row: model.Resource) -> None:
    rows = [
        *resources(), row, model.Pool(name="web"), model.Router(name="second"),
        *translations.attach("net", "second", "10.0.0.2/24"), model.Bridge(name="far"),
        *translations.attach("far", "second", "10.0.9.1/24"),
        translations.machine(9, "far", "10.0.9.9/24"),
        model.Host(name="h9", tunnel_address="172.31.0.99"),
    ]  # fmt: skip
    net = Edge(rows)
    assert net.topology.neighbor("second-net", "10.0.0.77") == net.mac_of("edge-net")
    asked = translations.networks.who_has(translations.mac(1), VM[4][1], "10.0.0.77")
    ((port, _),) = translations.networks.answers(net.send("vm1", asked))
    assert port == "vm1"
    net.topology.update([], [(row.KIND, row.name)])
    assert net.topology.neighbor("second-net", "10.0.0.77") is None


def test_a_hairpin_without_a_port_left_is_reset() -> None:
    rows = [*resources(n_ports=1), floating(4, FLOATING[4][1], 1)]
    net = Edge(rows)
    for sport in (40000, 40001):
        verdict = net.from_machine(0, packet_of(TCP, VM[4][0], FLOATING[4][1], sport))
    ((port, frame),) = translations.networks.answers(verdict)
    assert (port, frame.body.proto, frame.body.payload[13]) == ("vm0", TCP, 0x14)
