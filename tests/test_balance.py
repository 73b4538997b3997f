"""VIPs: who gets a connection, who keeps it, who is refused."""

from __future__ import annotations

from collections import Counter

import frames
import msgspec
import pytest
import translations
from frames import TCP, UDP, Ip
from networks import answers
from translations import OUTSIDE, OWN, Edge, answer_to, error_about, only, packet_of, ports_of

from onehop.engine import maglev, model

VIP = {4: "203.0.113.80", 6: "2001:db8::80"}
MEMBER = {4: "10.0.0.2{}", 6: "fd00::2{}"}
WEIGHTS = (1, 3, 9)


def members(version: int = 4) -> list[model.PoolMember]:
    return [
        model.PoolMember(
            name=f"m{n}", pool="web", address=MEMBER[version].format(n), port=8080, weight=weight
        )
        for n, weight in enumerate(WEIGHTS)
    ]


def vip(version: int = 4, *, protocol: str = "tcp", affinity_s: int | None = None) -> model.Vip:
    return model.Vip(
        name="www", router="edge", address=VIP[version], port=80, pool="web",
        protocol=protocol, affinity_s=affinity_s,
    )  # fmt: skip


def machines() -> list[model.Resource]:
    """Three servers, vm20 to vm22, on hosts of their own."""
    found: list[model.Resource] = []
    for n in range(20, 23):
        found.append(model.Host(name=f"h{n}", tunnel_address=f"172.31.2.{n}"))
        found += [
            model.NatBlock(host=f"h{n}", address=own, first_port=2000 * n, n_ports=64)
            for own in OWN.values()
        ]
        found.append(translations.machine(n, "net", f"10.0.0.{n}/24", f"fd00::{n}/64"))
    return found


def edge(*more: model.Resource, version: int = 4, **options: object) -> Edge:
    rows = [*translations.resources(), *machines(), model.Pool(name="web", monitor="m")]
    return Edge([*rows, *members(version), vip(version, **options), *more])


def ask(number: int, *, version: int = 4, proto: int = TCP, source: str = "") -> Ip:
    return packet_of(proto, source or OUTSIDE[version], VIP[version], 30000 + number, 80)


def spread(net: Edge, count: int, first: int = 0) -> dict[int, str]:
    return {n: only(net.from_outside(1, ask(n)))[0] for n in range(first, first + count)}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("protocol", "proto"), [("tcp", TCP), ("udp", UDP)])
def test_a_member_answers_as_the_vip(version: int, protocol: str, proto: int) -> None:
    net = edge(version=version, protocol=protocol)
    sent = ask(1, version=version, proto=proto)
    port, seen = only(net.from_outside(1, sent))
    assert (str(seen.dst)[:-1], ports_of(seen)[1]) == (MEMBER[version].format(""), 8080)
    _, back = only(net.from_machine(int(port[2:]), answer_to(seen)))
    assert (str(back.src), str(back.dst)) == (VIP[version], OUTSIDE[version])
    assert ports_of(back) == ports_of(sent)[::-1]


def test_weights_hold_within_sampling_error() -> None:
    count = 1300
    seen = Counter(spread(edge(), count).values())
    for n, weight in enumerate(WEIGHTS):
        share = weight / sum(WEIGHTS)
        allowed = 4 * (count * share * (1 - share)) ** 0.5
        assert abs(seen[f"vm{20 + n}"] - count * share) < allowed


@pytest.mark.parametrize("count", [2, 3, 5, 20, 21, 100])
def test_the_tables_shares_are_the_weights_and_only_those_of_who_goes_move(count: int) -> None:
    names = [(f"m{n}", 1 + n % 3) for n in range(count)]
    slots = maglev.table(names)
    shares, total = Counter(slots), sum(weight for _, weight in names)
    for place, (_, weight) in enumerate(names):
        assert abs(shares[place] / len(slots) - weight / total) < 0.01 * weight / total + 0.001
    fewer = maglev.table(names[:-1], count)
    moved = sum(a != b for a, b in zip(slots, fewer, strict=True) if a != count - 1)
    assert moved <= 0.01 * len(slots)


def test_a_connection_stays_though_members_come_and_go() -> None:
    net = edge()
    before = spread(net, 60)
    row = model.PoolMember(name="m9", pool="web", address="10.0.0.10", port=8080, weight=50)
    assert net.topology.update([row])
    assert spread(net, 60) == before
    assert "vm0" in spread(net, 60, 100).values()


def test_a_disabled_member_keeps_its_connections_and_gets_no_new_ones() -> None:
    net = edge()
    before = spread(net, 60)
    assert "vm22" in before.values()
    net.topology.update([msgspec.structs.replace(members()[2], admin_state_up=False)])
    assert spread(net, 60) == before
    assert "vm22" not in spread(net, 60, 100).values()


def test_a_failed_member_loses_its_connections_at_once_and_others_keep_theirs() -> None:
    net = edge()
    before = spread(net, 60)
    verdict = net.from_outside(1, ask(0))
    tags = net.topology.update([model.MemberStatus(host="h0", member="m2", healthy=False)])
    assert set(tags) & set(verdict.tag_ids)
    after = spread(net, 60)
    assert "vm22" not in after.values()
    assert all(after[n] == port for n, port in before.items() if port != "vm22")
    net.topology.update([model.MemberStatus(host="h0", member="m2", healthy=True)])
    assert spread(net, 60) == after
    assert "vm22" in spread(net, 60, 100).values()


def test_what_was_found_out_counts_while_the_pool_is_monitored() -> None:
    net = edge()
    net.topology.update([model.MemberStatus(host="h0", member="m2", healthy=False)])
    assert "vm22" not in spread(net, 60).values()
    assert net.topology.update([model.Pool(name="web")])
    assert "vm22" in spread(net, 60, 100).values()


def test_without_a_healthy_member_a_connection_is_refused() -> None:
    net = edge()
    net.topology.update(
        [model.MemberStatus(host="h0", member=f"m{n}", healthy=False) for n in range(3)]
    )
    verdict = net.from_outside(1, ask(0))
    assert (verdict.kind, verdict.reason) == ("consumed", "no member takes it")
    ((port, frame),) = answers(verdict)
    assert (port, str(frame.body.src)) == ("up1", VIP[4])
    assert frame.body.payload[13] & 4  # RST


def test_affinity_holds_a_source_and_follows_health() -> None:
    net = edge(affinity_s=60)
    places = set(spread(net, 40).values())
    assert len(places) == 1
    sources = {only(net.from_outside(1, ask(n, source=f"198.51.100.{n}")))[0] for n in range(60)}
    assert len(sources) > 1
    name = f"m{int(places.pop()[2:]) - 20}"
    net.topology.update([model.MemberStatus(host="h0", member=name, healthy=False)])
    moved = set(spread(net, 40, 50).values())
    assert len(moved) == 1
    assert moved != {f"vm2{name[1]}"}


@pytest.mark.parametrize("version", [4, 6])
def test_client_and_member_in_one_subnet(version: int) -> None:
    net = edge(version=version)
    sent = ask(1, version=version, source=translations.VM[version][0])
    port, seen = only(net.from_machine(0, sent))
    assert str(seen.src) == OWN[version]
    where, back = only(net.from_machine(int(port[2:]), answer_to(seen)))
    assert (where, str(back.src)) == ("vm0", VIP[version])
    assert ports_of(back) == ports_of(sent)[::-1]


def test_a_member_may_be_its_own_client() -> None:
    net = edge()
    for n in range(20):
        sent = ask(n, source="10.0.0.22")
        port, seen = only(net.from_machine(22, sent))
        where, back = only(net.from_machine(int(port[2:]), answer_to(seen)))
        assert (where, str(back.src)) == ("vm22", VIP[4])


def test_errors_reach_the_right_sockets() -> None:
    net = edge(protocol="udp")
    sent = ask(1, proto=UDP)
    port, seen = only(net.from_outside(1, sent))
    _, told = only(net.from_machine(int(port[2:]), error_about(seen, str(seen.dst))))
    assert (str(told.src), str(told.dst)) == (VIP[4], OUTSIDE[4])
    assert translations.quoted_in(told).dst == sent.dst
    _, back = only(net.from_machine(int(port[2:]), answer_to(seen)))
    where, told = only(net.from_outside(2, error_about(back, OUTSIDE[4])))
    assert (where, told.dst) == (port, seen.dst)


def test_a_hit_skips_the_inbound_filter() -> None:
    closed = model.Chain(name="in", rules=(model.Rule(action="drop"),))
    net = edge(closed)
    assert only(net.from_outside(1, ask(1)))[0].startswith("vm2")
    other = packet_of(TCP, OUTSIDE[4], VIP[4], 30000, 81)
    assert net.from_outside(1, other).kind == "drop"


def test_the_router_answers_arp_for_a_vip_on_its_link() -> None:
    near = msgspec.structs.replace(vip(), name="near", address="10.0.0.80")
    net = edge(near)
    asked = frames.solicit(
        translations.mac(0), frames.IPv4Address("10.0.0.10"), frames.IPv4Address("10.0.0.80")
    )
    found = answers(net.send("vm0", asked))
    assert [(port, frame.body.sha) for port, frame in found] == [("vm0", net.mac_of("edge-net"))]
    sent = packet_of(TCP, "10.0.0.10", "10.0.0.80", 30000, 80)
    port, seen = only(net.from_machine(0, sent))
    where, back = only(net.from_machine(int(port[2:]), answer_to(seen)))
    assert (where, str(back.src)) == ("vm0", "10.0.0.80")


def test_an_error_of_a_router_on_the_way_to_a_member_comes_to_the_right_socket() -> None:
    net = edge()
    sent = ask(3)
    _, seen = only(net.from_outside(1, sent))
    _, told = only(net.from_outside(2, error_about(seen, "10.56.2.9")))
    assert (str(told.src), str(told.dst)) == (VIP[4], OUTSIDE[4])
    assert translations.quoted_in(told).payload == sent.payload
