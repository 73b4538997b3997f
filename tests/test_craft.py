"""What the network itself sends, read by Ryu's parser and held against the RFCs."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, vlan
from ryu.lib.packet import packet as ryu_packet
from samples import SAMPLES, A, B, bare, over_ipv4, over_ipv6

from onehop.engine import craft, packet

MAC = "02:00:00:00:00:77"
FROM = {"src_mac": MAC, "dst_mac": A}
BIG = over_ipv4(17, struct.pack("!HHHH", 5, 6, 2008, 0) + bytes(2000))
BIG6 = over_ipv6(17, struct.pack("!HHHH", 5, 6, 2008, 0) + bytes(2000))


def read(data: bytes | None) -> ryu_packet.Packet:
    assert data is not None
    return ryu_packet.Packet(data)


def error(data: bytes, kind: str = "ttl_exceeded", *, mtu: int = 0) -> bytes | None:
    src_ip = "10.0.0.254" if data[12:14] == b"\x08\0" else "fd00::fe"
    return craft.error_about(data, kind, src_ip=src_ip, mtu=mtu, **FROM)


# ARP and neighbor discovery


def test_an_arp_request_is_broadcast() -> None:
    whole = read(craft.ask(MAC, "10.0.0.254", "10.0.0.9"))
    assert whole.get_protocol(ethernet.ethernet).dst == "ff:ff:ff:ff:ff:ff"
    found = whole.get_protocol(arp.arp)
    assert (found.opcode, found.src_mac, found.src_ip) == (1, MAC, "10.0.0.254")
    assert (found.dst_mac, found.dst_ip) == ("00:00:00:00:00:00", "10.0.0.9")


def test_an_arp_reply_goes_to_who_asked() -> None:
    whole = read(craft.answer(SAMPLES["arp"], MAC))
    assert whole.get_protocol(ethernet.ethernet).dst == A
    found = whole.get_protocol(arp.arp)
    assert (found.opcode, found.src_mac, found.src_ip) == (2, MAC, "10.0.0.2")
    assert (found.dst_mac, found.dst_ip) == (A, "10.0.0.1")


def test_a_solicitation_goes_to_the_solicited_node_group() -> None:
    data = craft.ask(MAC, "fd00::fe", "fd00::12:3456")
    whole = read(data)
    assert whole.get_protocol(ethernet.ethernet).dst == "33:33:ff:12:34:56"
    assert whole.get_protocol(ipv6.ipv6).dst == "ff02::1:ff12:3456"
    assert whole.get_protocol(ipv6.ipv6).hop_limit == 255
    assert packet.checksums_ok(data)
    assert packet.parse_key(data)["nd_lladdr"] == MAC


def test_an_advertisement_answers_the_solicitation() -> None:
    data = craft.answer(SAMPLES["solicitation"], MAC, is_router=True)
    whole = read(data)
    assert packet.checksums_ok(data or b"")
    assert whole.get_protocol(ipv6.ipv6).dst == "fd00::1"
    found = whole.get_protocol(icmpv6.icmpv6)
    assert (found.type_, found.data.dst, found.data.res) == (136, "fd00::2", 7)
    assert found.data.option.hw_src == MAC


def test_a_check_for_duplicates_is_answered_to_all_nodes() -> None:
    anonymous = packet.rewrite(SAMPLES["solicitation"], [{"action": "set_ip_src", "value": "::"}])
    whole = read(craft.answer(anonymous, MAC))
    assert whole.get_protocol(ipv6.ipv6).dst == "ff02::1"
    assert whole.get_protocol(ethernet.ethernet).dst == "33:33:00:00:00:01"
    assert not whole.get_protocol(icmpv6.icmpv6).data.res & 2, "not solicited"


def test_an_answer_carries_the_tag_of_the_question() -> None:
    tagged = packet.rewrite(SAMPLES["arp"], [{"action": "set_vlan", "value": 0x6007}])
    found = read(craft.answer(tagged, MAC)).get_protocol(vlan.vlan)
    assert (found.pcp, found.vid) == (3, 7)


def test_an_address_cannot_ask_for_one_of_the_other_family() -> None:
    with pytest.raises(ValueError, match="not of the same family"):
        craft.ask(MAC, "10.0.0.1", "fd00::1")


# Echo


@pytest.mark.parametrize("sample", ["icmp", "icmp6"])
def test_an_echo_comes_back_as_it_was(sample: str) -> None:
    data = craft.answer(SAMPLES[sample], MAC)
    assert data is not None and packet.checksums_ok(data)
    asked, answered = packet.parse_key(SAMPLES[sample]), packet.parse_key(data)
    family = "ipv4" if sample == "icmp" else "ipv6"
    assert answered[f"{family}_src"] == asked[f"{family}_dst"]
    assert answered[f"{family}_dst"] == asked[f"{family}_src"]
    assert (answered["eth_src"], answered["eth_dst"]) == (MAC, A)
    kind = read(data).get_protocol(icmp.icmp) or read(data).get_protocol(icmpv6.icmpv6)
    assert (kind.data.id, kind.data.seq, kind.data.data) == (1, 2, b"x")


def test_a_jumbo_echo_comes_back_whole() -> None:
    data = over_ipv4(1, icmp.icmp(8, 0, data=icmp.echo(1, 2, bytes(8000))))
    reply = craft.answer(data, MAC)
    assert reply is not None and len(reply) == len(data) and packet.checksums_ok(reply)


def test_other_packets_are_not_answered() -> None:
    for sample in ("tcp", "udp6", "other"):
        assert craft.answer(SAMPLES[sample], MAC) is None
    reply = craft.answer(SAMPLES["icmp"], MAC)
    assert reply is not None and craft.answer(reply, MAC) is None


# Errors


@pytest.mark.parametrize(
    ("kind", "ipv4_code", "ipv6_code"),
    [
        ("no_route", (3, 0), (1, 0)),
        ("host_unreachable", (3, 1), (1, 3)),
        ("prohibited", (3, 13), (1, 1)),
        ("ttl_exceeded", (11, 0), (3, 0)),
        ("too_big", (3, 4), (2, 0)),
        ("port_unreachable", (3, 3), (1, 4)),
        ("protocol_unreachable", (3, 2), (4, 1)),
    ],
)
def test_errors_have_their_types_and_codes(
    kind: str, ipv4_code: tuple[int, int], ipv6_code: tuple[int, int]
) -> None:
    fourth, sixth = (packet.parse_key(error(SAMPLES[s], kind) or b"") for s in ("udp", "udp6"))
    assert (fourth["icmp_type"], fourth["icmp_code"]) == ipv4_code
    assert (sixth["icmpv6_type"], sixth["icmpv6_code"]) == ipv6_code


@pytest.mark.parametrize("sample", ["tcp", "udp", "sctp", "icmp", "tcp6", "udp6", "icmp6"])
def test_an_error_quotes_the_packet(sample: str) -> None:
    data = error(SAMPLES[sample])
    assert data is not None and packet.checksums_ok(data)
    quoted = bare(SAMPLES[sample])[14:]
    assert data[-len(quoted) :] == quoted
    assert packet.parse_key(data)["eth_dst"] == A


def test_an_error_is_at_most_576_bytes_of_ipv4() -> None:
    data = error(BIG)
    assert data is not None and len(data) == 14 + 576 and packet.checksums_ok(data)
    assert data[14 + 28 :] == BIG[14 : 14 + 548]


def test_an_error_is_at_most_1280_bytes_of_ipv6() -> None:
    data = error(BIG6)
    assert data is not None and len(data) == 14 + 1280 and packet.checksums_ok(data)
    assert data[14 + 48 :] == BIG6[14 : 14 + 1232]


@pytest.mark.parametrize(("sample", "at"), [("udp", 38), ("udp6", 58)])
def test_too_big_tells_the_mtu(sample: str, at: int) -> None:
    data = error(SAMPLES[sample], "too_big", mtu=1400)
    assert data is not None and struct.unpack_from("!I", data, at)[0] == 1400


def test_an_error_has_the_precedence_of_network_control() -> None:
    assert packet.parse_key(error(SAMPLES["udp"]) or b"")["ip_tos"] == 0xC0


ICMP_ERROR = over_ipv4(1, icmp.icmp(3, 1, data=icmp.dest_unreach()))
ICMP6_ERROR = over_ipv6(58, icmpv6.icmpv6(1, 0, data=bytes(4)))


@pytest.mark.parametrize(
    "about",
    [
        ICMP_ERROR,
        ICMP6_ERROR,
        over_ipv4(17, bytes(16), offset=8),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_eth_dst", "value": "ff:ff:ff:ff:ff:ff"}]),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_dst", "value": "224.0.0.5"}]),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_dst", "value": "255.255.255.255"}]),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_src", "value": "0.0.0.0"}]),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_src", "value": "127.0.0.1"}]),
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_src", "value": "224.1.1.1"}]),
        packet.rewrite(SAMPLES["udp6"], [{"action": "set_ip_src", "value": "::"}]),
        packet.rewrite(SAMPLES["udp6"], [{"action": "set_ip_src", "value": "ff02::1"}]),
        packet.rewrite(SAMPLES["udp6"], [{"action": "set_ip_dst", "value": "ff02::1"}]),
        SAMPLES["arp"],
    ],
)  # fmt: skip
def test_no_error_is_sent_about(about: bytes) -> None:
    assert error(about) is None


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_whatever_is_answered_is_a_packet(sample: str, choose: st.DataObject) -> None:
    data = bytearray(SAMPLES[sample])
    for _ in range(choose.draw(st.integers(0, 3))):
        data[choose.draw(st.integers(0, len(data) - 1))] = choose.draw(st.integers(0, 255))
    cut = bytes(data[: choose.draw(st.integers(0, len(data)))])
    for reply in (craft.answer(cut, MAC), answered_error(cut)):
        if reply is not None:
            packet.parse_key(reply)


def answered_error(data: bytes) -> bytes | None:
    family = {b"\x08\0": "10.0.0.254", b"\x86\xdd": "fd00::fe"}
    try:
        key = packet.parse_key(data)
    except ValueError:
        return None
    src_ip = family.get(int(key["eth_type"]).to_bytes(2, "big"))
    return craft.error_about(data, "no_route", src_ip=src_ip, **FROM) if src_ip else None


def test_an_answer_to_ryus_own_request_satisfies_ryu() -> None:
    reply = read(craft.answer(SAMPLES["icmp"], MAC))
    again = ryu_packet.Packet(bytes(reply.data))
    again.get_protocol(ipv4.ipv4).csum = 0
    again.serialize()
    assert bare(bytes(again.data)) == bytes(reply.data)
    assert B == read(SAMPLES["icmp"]).get_protocol(ethernet.ethernet).dst
