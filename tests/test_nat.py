"""Translations by rules: source ports from leased blocks, destinations, and the way back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
import translations
from frames import ICMP, ICMPV6, TCP, UDP, Ip
from networks import answers
from translations import (
    OUTSIDE,
    PORTS,
    PUBLIC,
    SERVICE,
    UPSTREAM,
    VM,
    Edge,
    answer_to,
    error_about,
    only,
    packet_of,
    ports_of,
    quoted_in,
    resources,
)  # fmt: skip

from onehop.engine import model
from onehop.engine.model.rules.conditions import LOOKS

PROTOCOLS = [(4, UDP), (4, TCP), (4, ICMP), (6, UDP), (6, TCP), (6, ICMPV6)]


def with_data(ip: Ip) -> Ip:
    """The same without SYN, so that its verdict is one for a flow."""
    if ip.proto != TCP:
        return ip
    flags = ip.payload[:13] + b"\x10" + ip.payload[14:]
    return frames.with_checksum(replace(ip, payload=flags), 16)


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
def test_a_source_is_translated_and_its_answer_finds_back_by_either_uplink(
    version: int, proto: int
) -> None:
    net = Edge(resources())
    sent = packet_of(proto, VM[version][0], OUTSIDE[version])
    port, seen = only(net.from_machine(0, sent))
    assert port in ("up1", "up2")
    assert str(seen.src) == PUBLIC[version]
    assert PORTS[0] <= ports_of(seen)[0] < PORTS[0] + PORTS[1]
    for number in (1, 2):
        where, back = only(net.from_outside(number, answer_to(seen)))
        assert where == "vm0"
        assert (str(back.src), str(back.dst)) == (OUTSIDE[version], VM[version][0])
        assert ports_of(back) == ports_of(sent)[::-1]


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
def test_later_packets_of_a_connection_keep_its_port(version: int, proto: int) -> None:
    net = Edge(resources())
    sent = packet_of(proto, VM[version][0], OUTSIDE[version])
    first = only(net.from_machine(0, sent))
    verdict = net.from_machine(0, with_data(sent))
    assert ports_of(only(verdict)[1]) == ports_of(first[1])
    assert not verdict.created
    assert verdict.cacheable == (proto not in (ICMP, ICMPV6))


def test_hosts_take_ports_of_their_own_blocks() -> None:
    net = Edge(resources())
    for number in (0, 1):
        sent = packet_of(UDP, VM[4][number], OUTSIDE[4])
        port = ports_of(only(net.from_machine(number, sent))[1])[0]
        assert PORTS[0] + 1000 * number <= port < PORTS[0] + 1000 * number + PORTS[1]


def test_a_used_up_pool_refuses_new_connections_and_old_ones_go_on() -> None:
    net = Edge(resources(n_ports=4))
    sent = [packet_of(UDP, VM[4][0], OUTSIDE[4], 40000 + n) for n in range(5)]
    seen = [only(net.from_machine(0, ip))[1] for ip in sent[:4]]
    assert len({ports_of(ip)[0] for ip in seen}) == 4
    refused = net.from_machine(0, sent[4])
    assert (refused.kind, refused.reason) == ("consumed", "no port left to translate to")
    assert not refused.created
    (told,) = refused.emitted_outputs
    assert told.port == "vm0"
    assert [only(net.from_machine(0, ip))[1] for ip in sent[:4]] == seen


def test_a_port_is_used_again_for_another_remote_end() -> None:
    net = Edge(resources(n_ports=1))
    for n, remote in enumerate(("198.51.100.1", "198.51.100.2", "198.51.100.3")):
        sent = packet_of(UDP, VM[4][0], remote, 40000 + n)
        assert ports_of(only(net.from_machine(0, sent))[1])[0] == PORTS[0]


def test_without_a_leased_block_nothing_is_translated() -> None:
    net = Edge([row for row in resources() if not isinstance(row, model.NatBlock)])
    verdict = net.from_machine(0, packet_of(UDP, VM[4][0], OUTSIDE[4]))
    assert verdict.reason == "no port left to translate to"


def test_a_later_fragment_does_not_leave_untranslated() -> None:
    net = Edge(resources())
    sent = replace(packet_of(UDP, VM[4][0], OUTSIDE[4]), offset=100)
    verdict = net.from_machine(0, sent)
    assert (verdict.kind, verdict.reason) == ("drop", "cannot be translated")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("proto", [TCP, UDP])
def test_a_destination_is_translated_and_its_answer_comes_from_there(
    version: int, proto: int
) -> None:
    net = Edge(resources())
    sent = packet_of(proto, OUTSIDE[version], SERVICE[version], 40000, 80)
    port, seen = only(net.from_outside(1, sent))
    assert port == "vm1"
    assert (str(seen.dst), ports_of(seen)) == (VM[version][1], (40000, 8080))
    _, back = only(net.from_machine(1, answer_to(seen)))
    assert (str(back.src), ports_of(back)) == (SERVICE[version], (80, 40000))


@pytest.mark.parametrize(("version", "proto"), PROTOCOLS)
def test_an_error_from_outside_quotes_what_the_machine_sent(version: int, proto: int) -> None:
    net = Edge(resources())
    sent = packet_of(proto, VM[version][0], OUTSIDE[version])
    _, seen = only(net.from_machine(0, sent))
    for quoted in (548, 28 if version == 4 else 48):
        error = error_about(seen, "2001:db8:7::7" if version == 6 else "192.0.2.7", quoted=quoted)
        verdict = net.from_outside(2, error)
        port, told = only(verdict)
        assert port == "vm0"
        assert str(told.dst) == VM[version][0]
        assert not verdict.cacheable
        if quoted == 548:
            assert quoted_in(told) == replace(sent, ttl=sent.ttl - 1)
        else:
            assert told.payload[8:][-8:-6] == sent.payload[:8][:2] or proto in (ICMP, ICMPV6)


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_of_the_machine_quotes_what_the_outside_sent(version: int) -> None:
    net = Edge(resources())
    _, seen = only(net.from_machine(0, packet_of(UDP, VM[version][0], OUTSIDE[version])))
    answer = answer_to(seen)
    _, got = only(net.from_outside(1, answer))
    port, told = only(net.from_machine(0, error_about(got, VM[version][0])))
    assert port in ("up1", "up2")
    assert str(told.src) == PUBLIC[version]
    assert quoted_in(told) == replace(answer, ttl=answer.ttl - 1)


@pytest.mark.parametrize("version", [4, 6])
def test_errors_about_a_translated_destination_reach_the_right_sockets(version: int) -> None:
    net = Edge(resources())
    sent = packet_of(UDP, OUTSIDE[version], SERVICE[version], 40000, 80)
    _, seen = only(net.from_outside(1, sent))
    _, told = only(net.from_machine(1, error_about(seen, VM[version][1])))
    assert str(told.src) == SERVICE[version]
    assert quoted_in(told) == replace(sent, ttl=sent.ttl - 1)
    answer = answer_to(seen)
    _, got = only(net.from_machine(1, answer))
    port, told = only(net.from_outside(2, error_about(got, OUTSIDE[version])))
    assert (port, str(told.dst)) == ("vm1", VM[version][1])
    assert quoted_in(told) == replace(answer, ttl=answer.ttl - 1)


def test_the_router_quotes_the_packet_as_it_came() -> None:
    net = Edge([r for r in resources() if not isinstance(r, model.LearnedRoute)])
    sent = packet_of(UDP, OUTSIDE[4], SERVICE[4], 40000, 80)
    _, seen = only(net.from_outside(1, sent))
    assert str(seen.dst) == VM[4][1]
    expired = net.from_outside(1, replace(sent, ttl=1))
    ((port, frame),) = translations.networks.answers(expired)
    assert port == "up1"
    assert str(quoted_in(frame.body).dst) == SERVICE[4]


def test_what_comes_to_the_pool_uninvited_is_not_translated() -> None:
    net = Edge(resources())
    verdict = net.from_outside(1, packet_of(UDP, OUTSIDE[4], PUBLIC[4], 53, PORTS[0]))
    assert not any(output.port.startswith("vm") for output in verdict.outputs)


def test_destinations_are_shared_among_the_targets_and_each_connection_stays() -> None:
    rule = model.Rule(
        action="dnat",
        destination=f"{SERVICE[4]}/32",
        targets=(
            model.NatTarget(first_address="10.0.0.10", last_address="10.0.0.11"),
            model.NatTarget(first_address="10.0.0.10"),
        ),
    )
    rows = [r for r in resources() if getattr(r, "name", "") != "in"]
    net = Edge([*rows, model.Chain(name="in", rules=(rule,))])
    first = {}
    for n in range(60):
        sent = packet_of(UDP, OUTSIDE[4], SERVICE[4], 40000 + n, 53)
        first[n] = only(net.from_outside(1, sent))[0]
        assert only(net.from_outside(2, sent))[0] == first[n]
    assert set(first.values()) == {"vm0", "vm1"}


def test_two_services_of_one_machine_do_not_share_an_answer() -> None:
    """Both would look alike to it: the second is refused."""
    rules = tuple(
        model.Rule(
            action="dnat", destination=f"203.0.113.{n}/32",
            targets=(translations.target(VM[4][1], 8080),),
        )
        for n in (20, 21)
    )  # fmt: skip
    rows = [r for r in resources() if getattr(r, "name", "") != "in"]
    net = Edge([*rows, model.Chain(name="in", rules=rules)])
    only(net.from_outside(1, packet_of(UDP, OUTSIDE[4], "203.0.113.20", 40000, 80)))
    second = net.from_outside(1, packet_of(UDP, OUTSIDE[4], "203.0.113.21", 40000, 80))
    assert second.reason == "no port left to translate to"


def test_both_entries_live_as_long_as_one_direction_is_used() -> None:
    net = Edge(resources())
    sent = packet_of(UDP, VM[4][0], OUTSIDE[4])
    _, seen = only(net.from_machine(0, sent))
    verdict = net.from_machine(0, sent)
    assert sorted(entry.kind for entry in verdict.used) == ["reverse_snat", "snat"]
    verdict = net.from_outside(1, answer_to(seen))
    assert sorted(entry.kind for entry in verdict.used) == ["reverse_snat", "snat"]


def test_an_echo_to_the_routers_own_address_is_answered_with_the_right_identifier() -> None:
    net = Edge(resources())
    verdict = net.from_machine(0, packet_of(ICMP, VM[4][0], "10.0.0.1", 7))
    ((port, frame),) = translations.networks.answers(verdict)
    assert (port, ports_of(frame.body)[0]) == ("vm0", 7)
    assert ip_address("10.0.0.1") == frame.body.src


@pytest.mark.parametrize("proto", [UDP, 47])
def test_a_rule_of_one_family_leaves_what_has_no_port_of_the_other_alone(proto: int) -> None:
    rows = [row for row in resources() if row.name != "out"]
    only4 = model.Rule(action="snat", targets=(translations.target(PUBLIC[4]),))
    net = Edge([*rows, model.Chain(name="out", rules=(only4,))])
    ends = Ip(ip_address(VM[6][0]), ip_address(OUTSIDE[6]), proto, payload=bytes(16))
    chain = bytes([UDP, 0]) + (100 << 3).to_bytes(2, "big") + bytes(4)
    later = replace(ends, offset=100, options=chain, next_header=44)
    _, seen = only(net.from_machine(0, later if proto == UDP else ends))
    assert str(seen.src) == VM[6][0]


def test_one_rule_may_have_targets_of_both_families() -> None:
    both = model.Rule(
        action="snat",
        out_ports=("up1", "up2"),
        targets=(translations.target(PUBLIC[4]), translations.target(PUBLIC[6])),
    )
    assert not [fault for look in LOOKS for fault in look(both)]
    rows = [row for row in resources() if row.name != "out"]
    net = Edge([*rows, model.Chain(name="out", rules=(both,))])
    for version in (4, 6):
        _, seen = only(net.from_machine(0, packet_of(UDP, VM[version][0], OUTSIDE[version])))
        assert str(seen.src) == PUBLIC[version]


@pytest.mark.parametrize("address", ["10.56.1.77", "fd00:56:1::77"])
def test_the_router_answers_for_its_pool_on_the_links_of_its_subnet(address: str) -> None:
    own = ip_address(f"{address[:-2]}1")
    net = with_pool(address)
    ((port, frame),) = answers(net.send("up1", frames.solicit(UPSTREAM, own, ip_address(address))))
    assert (port, frame.src) == ("up1", net.mac_of("up1"))
    elsewhere = frames.solicit(UPSTREAM, own, ip_address(address))
    assert not answers(net.send("up2", elsewhere))


def test_what_comes_to_the_pool_uninvited_is_refused_by_the_router() -> None:
    net = with_pool("203.0.113.1")
    verdict = net.from_outside(1, packet_of(TCP, OUTSIDE[4], "203.0.113.1"))
    ((port, frame),) = answers(verdict)
    assert (verdict.kind, port, frame.body.proto) == ("consumed", "up1", TCP)
    ((_, frame),) = answers(net.from_outside(1, packet_of(ICMP, OUTSIDE[4], "203.0.113.1")))
    assert frame.body.payload[0] == 0


def test_a_pool_is_the_routers_as_long_as_a_filter_of_its_says_so() -> None:
    net = with_pool("203.0.113.1")
    sent = packet_of(UDP, OUTSIDE[4], "203.0.113.1")
    assert answers(net.from_outside(1, sent))
    jump = model.Rule(action="jump", jump="out")
    edge = model.Router(name="edge", inbound_filter="in", outbound_filter="first")
    net.topology.update([model.Chain(name="first", rules=(jump,)), edge])
    assert net.from_outside(1, sent).reason == "for the router itself"
    net.topology.update([model.Chain(name="first", rules=())])
    assert net.from_outside(1, sent).reason != "for the router itself"


def with_pool(address: str) -> Edge:
    rows = [row for row in resources() if row.name != "out"]
    rule = model.Rule(
        action="snat", out_ports=("up1", "up2"), targets=(translations.target(address),)
    )
    return Edge([*rows, model.Chain(name="out", rules=(rule,))])
