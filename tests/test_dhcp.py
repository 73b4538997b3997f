"""DHCPv4: what machines are told, what they are not, and that no bytes do harm."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leases import (
    ACK,
    ALL,
    DECLINE,
    DISCOVER,
    GATEWAY,
    INFORM,
    IP,
    MAC,
    NAK,
    OFFER,
    OTHER_MAC,
    RELEASE,
    REQUEST,
    ROUTER_MAC,
    TOPOLOGY,
    discover,
    network,
    option,
    request,
    sent_by,
    told,
)

from onehop.controller.cli import frames
from onehop.engine import model

TO_ROUTER = (ROUTER_MAC, GATEWAY)
ANSWERED, MALFORMED = "DHCP or router discovery", "malformed DHCP or router discovery"
ROUTES = bytes([16, 10, 9]) + ip_address("10.0.0.9").packed + b"\0" + ip_address(GATEWAY).packed


def test_machine_is_offered_its_address_and_all_that_its_subnet_says() -> None:
    found = told(network().simulate(discover(), "vm1"))
    assert (found.kind, found.address, found.src, found.dst) == (OFFER, IP, GATEWAY, IP)
    assert found.frame[:12] == frames.mac_bytes(MAC) + frames.mac_bytes(ROUTER_MAC)
    assert found.message.xid == 0xABCD
    assert found.options[54] == ip_address(GATEWAY).packed
    assert found.options[51] == (86400).to_bytes(4, "big")
    assert found.options[1] == bytes([255, 255, 255, 0])
    assert found.options[3] == ip_address(GATEWAY).packed
    assert found.options[6] == ip_address("192.0.2.53").packed + ip_address("192.0.2.54").packed
    assert found.options[26] == (1400).to_bytes(2, "big")
    assert found.options[121] == ROUTES
    assert len(found.frame) >= 14 + 28 + 300


@pytest.mark.parametrize(
    "sent",
    [
        request(REQUEST, wanted=IP, server=GATEWAY),
        request(REQUEST, wanted=IP),
        request(REQUEST, ciaddr=IP),
        request(REQUEST, ciaddr=IP, to=TO_ROUTER),
    ],
    ids=["selecting", "rebooted", "rebinding", "renewing"],
)
def test_own_address_is_confirmed(sent: bytes) -> None:
    found = told(network().simulate(sent, "vm1"))
    assert (found.kind, found.address, found.dst) == (ACK, IP, IP)
    assert found.options[51] == (86400).to_bytes(4, "big")


@pytest.mark.parametrize(
    "sent",
    [
        request(REQUEST, wanted="10.0.0.12", server=GATEWAY),
        request(REQUEST, wanted="192.168.7.7"),
    ],
    ids=["selecting", "rebooted elsewhere"],
)
def test_any_other_address_is_refused_to_all_ears(sent: bytes) -> None:
    found = told(network().simulate(sent, "vm1"))
    assert (found.kind, found.address, found.dst) == (NAK, "0.0.0.0", "255.255.255.255")
    assert found.frame[:6] == frames.mac_bytes(ALL)
    assert found.options.keys() == {53, 54}


def test_machine_that_has_its_address_is_told_the_rest() -> None:
    found = told(network().simulate(request(INFORM, ciaddr=IP), "vm1"))
    assert (found.kind, found.address, found.dst) == (ACK, "0.0.0.0", IP)
    assert 51 not in found.options
    assert found.options[26] == (1400).to_bytes(2, "big")


@pytest.mark.parametrize(
    "sent",
    [
        request(REQUEST, wanted=IP, server="10.0.0.99"),
        request(RELEASE, ciaddr=IP, server=GATEWAY, to=TO_ROUTER),
        request(DECLINE, wanted=IP, server=GATEWAY),
    ],
    ids=["for another server", "release", "decline"],
)
def test_what_needs_no_answer_is_absorbed(sent: bytes) -> None:
    verdict = network().simulate(sent, "vm1")
    assert (verdict.kind, verdict.reason, sent_by(verdict)) == ("consumed", ANSWERED, [])


@pytest.mark.parametrize(
    "sent",
    [
        request(REQUEST),
        request(INFORM),
        request(OFFER),
        request(99),
        request(DISCOVER, giaddr="10.0.0.5"),
        request(DISCOVER, more=b"\x32\x04\x01"),
        request(DISCOVER, more=option(50, b"\1")),
        request(DISCOVER)[:-4] + b"\0\0\0\0",
    ],
    ids=["no address", "inform from nowhere", "a server's", "unknown", "relayed", "cut off",
         "odd length", "no kind"],
)  # fmt: skip
def test_what_breaks_the_rules_is_counted_and_dropped(sent: bytes) -> None:
    verdict = network().simulate(sent, "vm1")
    assert (verdict.kind, verdict.reason, sent_by(verdict)) == ("consumed", MALFORMED, [])


def test_answer_goes_to_all_where_that_is_asked_for() -> None:
    found = told(network().simulate(discover(flags=0x8000), "vm1"))
    assert (found.frame[:6], found.dst) == (frames.mac_bytes(ALL), "255.255.255.255")


def test_client_identifier_comes_back() -> None:
    found = told(network().simulate(discover(more=option(61, b"\1some client")), "vm1"))
    assert found.options[61] == b"\1some client"


def test_answer_is_no_longer_than_the_client_takes() -> None:
    servers = ", ".join(f"192.0.2.{n}" for n in range(1, 64))
    net = network(TOPOLOGY, ("192.0.2.53, 192.0.2.54", servers))
    assert 6 in told(net.simulate(discover(), "vm1")).options
    squeezed = told(net.simulate(discover(more=option(61, bytes(200))), "vm1"))
    assert len(squeezed.frame) <= 14 + 576 and 6 not in squeezed.options
    large = option(57, (1400).to_bytes(2, "big")) + option(61, bytes(200))
    assert 6 in told(net.simulate(discover(more=large), "vm1")).options


@pytest.mark.parametrize(("port", "mac", "mtu"), [("vm1", MAC, 1450), ("vm2", OTHER_MAC, 1430)])
def test_mtu_that_nobody_states_is_what_fits_the_underlay(port: str, mac: str, mtu: int) -> None:
    net = network(TOPOLOGY, (",\n     mtu: 1400", ""))
    found = told(net.simulate(discover(mac=mac), port), port)
    assert found.options[26] == mtu.to_bytes(2, "big")
    net.topology.set_underlay_mtu(9000)
    found = told(net.simulate(discover(mac=mac), port), port)
    assert found.options[26] == (mtu + 7500).to_bytes(2, "big")


def test_subnet_without_a_gateway_is_served_by_the_bridge_itself() -> None:
    net = network(TOPOLOGY, (" gateway: 10.0.0.1,", ""))
    offer = told(net.simulate(discover(), "vm1"))
    server = "10.0.0.254"
    assert offer.src == server and 3 not in offer.options
    assert offer.options[121] == ROUTES[:7]
    mac = offer.frame[6:12].hex(":")
    who_has = frames.arp(1, (MAC, ip_address(IP)), ("00:00:00:00:00:00", ip_address(server)))
    asked = net.simulate(frames.ethernet(ALL, MAC, frames.ETH_ARP, who_has), "vm1")
    assert frames.mac_bytes(mac) in sent_by(asked)[0][1]
    renewed = told(net.simulate(request(REQUEST, ciaddr=IP, to=(mac, server)), "vm1"))
    assert (renewed.kind, renewed.src) == (ACK, server)
    other = frames.ip(ip_address(IP), ip_address(server), frames.TCP, frames.tcp(1, 2, "S", b""))
    verdict = net.simulate(frames.ethernet(mac, MAC, frames.ETH_IPV4, other), "vm1")
    assert (verdict.kind, sent_by(verdict)) == ("consumed", [])


@pytest.mark.parametrize(
    ("sent", "port"),
    [
        (discover(mac="02:00:00:00:00:13"), "none"),
        (discover(mac=OTHER_MAC), "vm1"),
        (discover(vlan=7), "vm1"),
    ],
    ids=["no address", "not its MAC", "in a VLAN"],
)
def test_others_are_not_answered(sent: bytes, port: str) -> None:
    verdict = network().simulate(sent, port)
    assert sent_by(verdict) == [] and verdict.reason != ANSWERED


def test_somebody_elses_hardware_address_is_not_answered() -> None:
    sent = discover()
    at = sent.index(b"\x63\x82\x53\x63") - 208
    sent = sent[:at] + frames.mac_bytes(OTHER_MAC) + sent[at + 6 :]
    assert sent_by(network().simulate(sent, "vm1")) == []


def test_filters_that_let_nothing_pass_let_dhcp_pass() -> None:
    net = network(
        TOPOLOGY + "chains: [{name: none, rules: [{action: drop}]}]\n",
        ("security_groups: [shut]}", "inbound_filter: none, outbound_filter: none}"),
        ("{name: net}", "{name: net, inbound_filter: none, outbound_filter: none}"),
    )
    assert told(net.simulate(discover(), "vm1")).kind == OFFER


def test_flow_of_unicast_packets_looks_at_no_port_for_its_sake() -> None:
    sent = frames.ip(ip_address("10.0.0.12"), ip_address("10.0.0.9"), 17, frames.udp(1, 2, b""))
    frame = frames.ethernet("02:00:00:00:00:13", OTHER_MAC, frames.ETH_IPV4, sent)
    verdict = network().simulate(frame, "vm2")
    assert verdict.kind == "forward"
    assert not verdict.match.keys() & {"udp_dst", "udp_src", "ip_proto"}


def test_flood_that_was_cached_before_there_was_a_subnet_is_looked_at_again() -> None:
    net = network(TOPOLOGY[: TOPOLOGY.index("subnets:")])
    before = net.simulate(discover(mac=OTHER_MAC), "vm2")
    assert before.kind == "forward" and before.cacheable
    tags = net.topology.update([model.Subnet(name="s", bridge="net", prefix="10.0.0.0/24")])
    assert set(tags) & set(before.tag_ids)
    assert told(net.simulate(discover(mac=OTHER_MAC), "vm2"), "vm2").kind == OFFER
    tags = net.topology.update([], [("subnet", "s")])
    after = net.simulate(discover(mac=OTHER_MAC), "vm2")
    assert after.kind == "forward" and set(tags) & set(before.tag_ids)


def test_steps_say_it_in_words() -> None:
    assert "net: the machine is offered 10.0.0.11" in network().simulate(discover(), "vm1").steps


NET = network()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_options_are_safe_and_an_answer_is_whole(data: bytes, prefixed: bool) -> None:
    more = option(53, b"\3") + data if prefixed else data
    sent = request(0, more=more)
    verdict = NET.simulate(sent, "vm1")
    assert verdict.kind == "consumed"
    if verdict.emitted:
        told(verdict)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_to_the_server_are_safe(data: bytes) -> None:
    packet = frames.ip(ip_address("0.0.0.0"), ip_address("255.255.255.255"), 17,
                       frames.udp(68, 67, data))  # fmt: skip
    verdict = NET.simulate(frames.ethernet(ALL, MAC, frames.ETH_IPV4, packet), "vm1")
    assert verdict.kind == "consumed"
    if verdict.emitted:
        told(verdict)
