"""DHCPv6 and router discovery: what machines are told, and that no bytes do harm."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leases import (
    ADVERTISE,
    CLIENT_ID,
    CONFIRM,
    DECLINE6,
    INFORMATION,
    IP6,
    LINK_LOCAL,
    MAC,
    OTHER_MAC,
    REBIND,
    RELEASE6,
    RENEW,
    REPLY,
    REQUEST6,
    ROUTER_LINK_LOCAL,
    ROUTER_MAC,
    SOLICIT,
    TOPOLOGY,
    advertised,
    ask6,
    association,
    network,
    option6,
    router_solicitation,
    sent_by,
    told6,
)

from onehop.controller.cli import frames
from onehop.engine.datapath import Datapath

ANSWERED, MALFORMED = "DHCP or router discovery", "malformed DHCP or router discovery"
SUCCESS, NO_ADDRESSES, NOT_ON_LINK, NO_PREFIXES = 0, 2, 4, 6
DAY = 86400
RAPID = option6(14, b"")
ELSEWHERE, NEARBY = "fd99::1", "fd00:10::77"
NET = network()
DUID = told6(NET.simulate(ask6(SOLICIT, association()), "vm1")).one(2)


def asked(kind: int, *options: bytes, **fields: object) -> object:
    return NET.simulate(ask6(kind, *options, **fields), "vm1")  # type: ignore[arg-type]


def test_solicitation_is_answered_with_the_ports_address() -> None:
    found = told6(asked(SOLICIT, association(number=7), option6(6, b"\0\x17")))
    assert (found.kind, found.src, found.dst) == (ADVERTISE, ROUTER_LINK_LOCAL, LINK_LOCAL)
    assert (found.one(1), found.one(7)) == (CLIENT_ID, b"\xff")
    assert found.one(3)[:4] == b"\0\0\0\7"
    assert found.addresses() == [(IP6, DAY)]
    assert found.one(23) == ip_address("fd00::53").packed


def test_rapid_solicitation_is_replied_to_at_once() -> None:
    found = told6(asked(SOLICIT, RAPID, association()))
    assert (found.kind, found.one(14), found.addresses()) == (REPLY, b"", [(IP6, DAY)])


@pytest.mark.parametrize("kind", [REQUEST6, RENEW, REBIND])
def test_address_is_granted(kind: int) -> None:
    server = None if kind == REBIND else DUID
    found = told6(asked(kind, association(IP6), server=server))
    assert (found.kind, found.addresses(), found.one(2)) == (REPLY, [(IP6, DAY)], DUID)


@pytest.mark.parametrize("kind", [RENEW, REBIND])
def test_other_addresses_are_taken_away(kind: int) -> None:
    server = None if kind == REBIND else DUID
    found = told6(asked(kind, association(NEARBY, IP6, ELSEWHERE), server=server))
    assert found.addresses() == [(IP6, DAY), (NEARBY, 0), (ELSEWHERE, 0)]


def test_request_for_an_address_of_another_link_is_refused() -> None:
    found = told6(asked(REQUEST6, association(ELSEWHERE), server=DUID))
    assert (found.addresses(), found.status(3)) == ([], NOT_ON_LINK)
    found = told6(asked(REQUEST6, association(NEARBY), server=DUID))
    assert found.addresses() == [(IP6, DAY)]


@pytest.mark.parametrize(
    ("address", "status"), [(IP6, SUCCESS), (ELSEWHERE, NOT_ON_LINK), (NEARBY, NOT_ON_LINK)]
)
def test_address_is_confirmed_or_not(address: str, status: int) -> None:
    assert told6(asked(CONFIRM, association(address))).status() == status


def test_there_is_one_address_and_no_prefix() -> None:
    two = association(number=1) + association(number=2)
    found = told6(asked(SOLICIT, two, association(code=4), association(code=25)))
    assert found.addresses() == [(IP6, DAY)]
    assert len(found.all(3)) == 2 and found.status(3) == NO_ADDRESSES
    assert (found.status(4), found.status(25)) == (NO_ADDRESSES, NO_PREFIXES)
    assert told6(asked(SOLICIT, association(code=25))).status() == NO_ADDRESSES


@pytest.mark.parametrize("kind", [RELEASE6, DECLINE6])
def test_what_is_given_back_is_acknowledged(kind: int) -> None:
    assert told6(asked(kind, association(IP6), server=DUID)).status() == SUCCESS


@pytest.mark.parametrize("client", [CLIENT_ID, None])
def test_machine_that_has_its_address_is_told_the_rest(client: bytes | None) -> None:
    found = told6(asked(INFORMATION, client=client))
    assert (found.kind, found.all(3)) == (REPLY, [])
    assert found.one(23) == ip_address("fd00::53").packed


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (ask6(REQUEST6, association(), server=b"\0\3\0\1another one"), ANSWERED),
        (ask6(INFORMATION, server=b"\0\3\0\1another one"), ANSWERED),
        (ask6(CONFIRM, association()), ANSWERED),
        (ask6(SOLICIT, association(), client=None), MALFORMED),
        (ask6(SOLICIT, association(), server=DUID), MALFORMED),
        (ask6(REBIND, association(), server=DUID), MALFORMED),
        (ask6(REQUEST6, association()), MALFORMED),
        (ask6(INFORMATION, association()), MALFORMED),
        (ask6(ADVERTISE, association(), server=DUID), MALFORMED),
        (ask6(REPLY, server=DUID), MALFORMED),
        (ask6(12), MALFORMED),
        (ask6(SOLICIT, b"\0\3\0\x0c\0"), MALFORMED),
        (ask6(SOLICIT, option6(3, b"\0\0\0\1")), MALFORMED),
        (ask6(SOLICIT, option6(3, bytes(12) + option6(5, bytes(16)))), MALFORMED),
        (ask6(SOLICIT, association(), src="::"), MALFORMED),
    ],
)
def test_what_is_not_answered_is_absorbed_and_counted(sent: bytes, reason: str) -> None:
    verdict = network(TOPOLOGY, (", security_groups: [shut]", ", port_security: false")).simulate(
        sent, "vm1"
    )
    assert (verdict.kind, verdict.reason, sent_by(verdict)) == ("consumed", reason, [])


def test_router_is_advertised_to_who_solicits() -> None:
    ((port, frame),) = sent_by(NET.simulate(router_solicitation(), "vm1"))
    ether, ip, advert, options = advertised(frame)
    assert (port, ether.dst, ether.src) == ("vm1", MAC, ROUTER_MAC)
    assert (ip.src, ip.dst) == (ROUTER_LINK_LOCAL, LINK_LOCAL)
    assert (advert.ch_l, advert.res, advert.rou_l) == (64, 3, 65535)  # managed, other
    assert options[1] == frames.mac_bytes(ROUTER_MAC)
    assert int.from_bytes(options[5][2:], "big") == 1400
    assert options[3][:2] == bytes([64, 0x80])  # on the link, and nothing to make addresses from
    assert options[3][14:] == ip_address("fd00:10::").packed


def test_router_is_advertised_to_all_where_the_asker_has_no_address() -> None:
    ((_, frame),) = sent_by(NET.simulate(router_solicitation("::"), "vm1"))
    ether, ip, *_ = advertised(frame)
    assert (ether.dst, ip.dst) == ("33:33:00:00:00:01", "ff02::1")


def test_bridge_without_a_router_says_that_it_is_none() -> None:
    net = network(TOPOLOGY, (', gateway: "fd00:10::1"', ""))
    ((_, frame),) = sent_by(net.simulate(router_solicitation(), "vm1"))
    ether, _, advert, _ = advertised(frame)
    assert advert.rou_l == 0 and ether.src != ROUTER_MAC


@pytest.mark.parametrize(
    "sent",
    [router_solicitation(hops=64), router_solicitation(options=b"\1\0abcdef"),
     router_solicitation(options=b"\1\1abc")],
    ids=["from afar", "endless option", "cut off"],
)  # fmt: skip
def test_false_solicitation_is_counted_and_dropped(sent: bytes) -> None:
    verdict = NET.simulate(sent, "vm1")
    assert (verdict.kind, verdict.reason, sent_by(verdict)) == ("consumed", MALFORMED, [])


def test_router_answers_for_the_address_that_it_advertises_from() -> None:
    target = ip_address(ROUTER_LINK_LOCAL)
    for mac, to in (frames.solicited_node(target), (ROUTER_MAC, target)):
        body = frames.neighbor(135, target, MAC)
        packet = frames.ip(ip_address(IP6), to, frames.ICMPV6, body, ttl=255)
        sent = NET.simulate(frames.ethernet(mac, MAC, frames.ETH_IPV6, packet), "vm1")
        ((port, frame),) = sent_by(sent)
        assert (port, frame[54], frame[62:78]) == ("vm1", 136, target.packed)
    ping = frames.ip(ip_address(LINK_LOCAL), target, frames.ICMPV6, frames.icmp(128, 0, 1, 1, b""))
    ((port, frame),) = sent_by(
        NET.simulate(frames.ethernet(ROUTER_MAC, MAC, frames.ETH_IPV6, ping), "vm1")
    )
    assert (port, frame[54]) == ("vm1", 129)


@pytest.mark.parametrize("sent", [ask6(SOLICIT, association(), mac=OTHER_MAC),
                                  router_solicitation(mac=OTHER_MAC)])  # fmt: skip
def test_port_without_an_ipv6_address_is_not_answered(sent: bytes) -> None:
    verdict = NET.simulate(sent, "vm2")
    assert sent_by(verdict) == [] and verdict.reason != ANSWERED


def test_filters_that_let_nothing_pass_let_it_pass() -> None:
    net = network(
        TOPOLOGY + "chains: [{name: none, rules: [{action: drop}]}]\n",
        ("security_groups: [shut]}", "inbound_filter: none, outbound_filter: none}"),
    )
    assert told6(net.simulate(ask6(SOLICIT, association()), "vm1")).kind == ADVERTISE
    assert sent_by(net.simulate(router_solicitation(), "vm1"))


def test_router_is_advertised_unasked() -> None:
    path = Datapath(NET.topology, host="c1")
    path.bind("vm1", 5)
    path.bind("vm2", 6)
    sent = path.advertise("vm1", 0).out
    frame = sent[sent.index(b"\x33\x33\0\0\0\1" + frames.mac_bytes(ROUTER_MAC)) :]
    assert advertised(frame)[2].rou_l == 65535
    assert path.advertise("vm2", 0).out == b"" == path.advertise("no such port", 0).out


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 13), st.binary(max_size=300), st.booleans())
def test_any_options_are_safe_and_an_answer_is_whole(kind: int, data: bytes, ours: bool) -> None:
    verdict = NET.simulate(ask6(kind, data, server=DUID if ours else None), "vm1")
    assert verdict.kind == "consumed"
    if verdict.emitted:
        told6(verdict)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3, 4, 5, 13, 14, 25]),
            st.one_of(
                st.binary(max_size=40), st.just(association(IP6)[4:]), st.binary(min_size=400)
            ),
        ),
        max_size=8,
    ),
    st.sampled_from([1, 3, 4, 5, 6, 8, 9, 11]),
)
def test_any_associations_are_safe(options: list[tuple[int, bytes]], kind: int) -> None:
    data = b"".join(option6(code, value) for code, value in options)
    verdict = NET.simulate(ask6(kind, data), "vm1")
    assert verdict.kind == "consumed"
    if verdict.emitted:
        told6(verdict)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([133, 134]))
def test_any_router_solicitation_is_safe(data: bytes, kind: int) -> None:
    packet = frames.ip(ip_address(LINK_LOCAL), ip_address("ff02::2"), frames.ICMPV6,
                       bytes([kind]) + data, ttl=255)  # fmt: skip
    frame = frames.ethernet("33:33:00:00:00:02", MAC, frames.ETH_IPV6, packet)
    if len(data) >= 7:
        NET.simulate(frame, "vm1")
