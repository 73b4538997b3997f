"""Reading packets: against Ryu's parser, and on bytes that are no packets."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.lib.packet import ipv4, udp
from ryu.lib.packet import packet as ryu_packet
from samples import SAMPLES, A, B, bare, built, ether, over_ipv4, over_ipv6

from onehop.engine import packet


def test_arp_is_read() -> None:
    assert packet.parse_key(SAMPLES["arp"]) == {
        "eth_src": A, "eth_dst": B, "eth_type": 0x0806, "arp_op": 1, "arp_spa": "10.0.0.1",
        "arp_tpa": "10.0.0.2", "arp_sha": A, "arp_tha": B,
    }  # fmt: skip


def test_ipv4_and_tcp_are_read() -> None:
    assert packet.parse_key(SAMPLES["tcp"]) == {
        "eth_src": A, "eth_dst": B, "eth_type": 0x0800, "ipv4_src": "10.0.0.1",
        "ipv4_dst": "10.0.0.2", "ip_proto": 6, "ip_tos": 0xB8, "ip_ttl": 9, "ip_frag": 0,
        "tcp_src": 1234, "tcp_dst": 80, "tcp_flags": 0,
    }  # fmt: skip


def test_ipv6_and_tcp_are_read() -> None:
    assert packet.parse_key(SAMPLES["tcp6"]) == {
        "eth_src": A, "eth_dst": B, "eth_type": 0x86DD, "ipv6_src": "fd00::1",
        "ipv6_dst": "fd00::2", "ip_proto": 6, "ip_tos": 0xB8, "ip_ttl": 9, "ip_frag": 0,
        "tcp_src": 1234, "tcp_dst": 80, "tcp_flags": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sample", "fields"),
    [
        ("udp", {"udp_src": 53, "udp_dst": 5353}),
        ("udp6", {"udp_src": 53, "udp_dst": 5353}),
        ("sctp", {"sctp_src": 7, "sctp_dst": 8}),
        ("icmp", {"icmp_type": 8, "icmp_code": 0}),
        ("icmp6", {"icmpv6_type": 128, "icmpv6_code": 0}),
        ("solicitation", {"nd_target": "fd00::2", "nd_lladdr": A}),
        ("tagged", {"vlan_tci": 0x7007, "eth_type": 0x0800, "udp_dst": 2}),
        ("other", {"eth_type": 0x88CC}),
    ],
)
def test_what_stands_above_is_read(sample: str, fields: dict[str, object]) -> None:
    assert fields.items() <= packet.parse_key(SAMPLES[sample]).items()


def test_extension_headers_are_stepped_over() -> None:
    options = bytes([60, 0, 1, 4, 0, 0, 0, 0]) + bytes([17, 0, 1, 4, 0, 0, 0, 0])
    data = over_ipv6(0, options + struct.pack("!HHHH", 5, 6, 8, 0))
    key = packet.parse_key(data)
    assert (key["ip_proto"], key["udp_src"], key["udp_dst"]) == (17, 5, 6)


def test_a_later_ipv6_fragment_has_no_ports() -> None:
    data = over_ipv6(44, struct.pack("!BBHI", 17, 0, 8 << 3 | 1, 99) + bytes(16))
    key = packet.parse_key(data)
    assert (key["ip_proto"], key["ip_frag"]) == (44, 2)
    assert "udp_src" not in key


def test_a_first_ipv6_fragment_has_ports() -> None:
    udp_header = struct.pack("!HHHH", 5, 6, 100, 0)
    data = over_ipv6(44, struct.pack("!BBHI", 17, 0, 1, 99) + udp_header)
    key = packet.parse_key(data)
    assert (key["ip_proto"], key["ip_frag"], key["udp_dst"]) == (17, 1, 6)


def test_a_fragment_that_is_the_whole_packet_is_none() -> None:
    udp_header = struct.pack("!HHHH", 5, 6, 8, 0)
    data = over_ipv6(44, struct.pack("!BBHI", 17, 0, 0, 99) + udp_header)
    assert packet.parse_key(data)["ip_frag"] == 0


@pytest.mark.parametrize(("offset", "flags", "frag"), [(0, 1, 1), (8, 1, 2), (8, 0, 2), (0, 2, 0)])
def test_ipv4_fragments_are_told_apart(offset: int, flags: int, frag: int) -> None:
    data = over_ipv4(17, udp.udp(5, 6), b"x" * 8, offset=offset, flags=flags)
    key = packet.parse_key(data)
    assert key["ip_frag"] == frag
    assert ("udp_src" in key) == (frag != 2)


def test_ipv4_options_are_stepped_over() -> None:
    data = over_ipv4(17, udp.udp(5, 6), option=b"\x01\x01\x01\x00", header_length=6)
    assert packet.parse_key(data)["udp_dst"] == 6


def test_a_length_instead_of_a_type_is_llc() -> None:
    assert packet.parse_key(built(ether(60), bytes(60)))["eth_type"] == 0x05FF


def test_snap_tells_the_type_behind_llc() -> None:
    ip = SAMPLES["udp"][14:]
    data = built(ether(60), b"\xaa\xaa\x03\0\0\0\x08\0" + ip)
    key = packet.parse_key(data)
    assert (key["eth_type"], key["udp_dst"]) == (0x0800, 5353)


# What is no packet


def patched(sample: str, at: int, value: bytes) -> bytes:
    data = bytearray(bare(SAMPLES[sample]))
    data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "shorter than an Ethernet header"),
        (SAMPLES["tagged"][:16], "the VLAN tag is cut off"),
        (SAMPLES["arp"][:40], "the ARP packet is cut off"),
        (patched("arp", 18, b"\x08"), "ARP, but not about Ethernet and IPv4"),
        (SAMPLES["tcp"][:30], "the IPv4 header is cut off"),
        (patched("tcp", 14, b"\x55"), "the IPv4 header contradicts itself"),
        (patched("tcp", 14, b"\x44"), "the IPv4 header contradicts itself"),
        (patched("tcp", 16, b"\xff\xff"), "the IPv4 packet is longer than its frame"),
        (SAMPLES["tcp6"][:50], "the IPv6 header is cut off"),
        (patched("tcp6", 14, b"\x40"), "the IPv6 header contradicts itself"),
        (patched("tcp6", 18, b"\xff\xff"), "the IPv6 packet is longer than its frame"),
        (patched("udp6", 20, b"\x3c"), "an IPv6 extension header is cut off"),
        (patched("udp", 16, b"\0\x1a"), "the transport header is cut off"),
        (patched("solicitation", 21, b"\xfe"), "neighbor discovery that RFC 4861"),
        (patched("solicitation", 79, b"\0"), "neighbor discovery that RFC 4861"),
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        packet.parse_key(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_safe(data: bytes) -> None:
    try:
        packet.parse_key(data)
        assert packet.rewrite(data, []) == data
        packet.checksums_ok(data)
    except ValueError as refused:
        assert str(refused) in packet.MALFORMED


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_any_damage_is_safe(sample: str, choose: st.DataObject) -> None:
    data = bytearray(SAMPLES[sample])
    for _ in range(choose.draw(st.integers(1, 4))):
        data[choose.draw(st.integers(0, len(data) - 1))] = choose.draw(st.integers(0, 255))
    cut = bytes(data[: choose.draw(st.integers(0, len(data)))])
    try:
        packet.parse_key(cut)
    except ValueError as refused:
        assert str(refused) in packet.MALFORMED
    else:
        assert packet.rewrite(cut, []) == cut


# Rewriting


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_nothing_changed_is_nothing_changed(sample: str) -> None:
    assert packet.rewrite(SAMPLES[sample], []) == SAMPLES[sample]


@pytest.mark.parametrize("sample", ["tcp", "udp", "tcp6", "udp6", "sctp", "tagged"])
def test_every_checksum_is_right_after_a_rewrite(sample: str) -> None:
    family = "10.9.8.7" if "6" not in sample else "2001:db8::7"
    out = packet.rewrite(
        SAMPLES[sample],
        [
            {"action": "dec_ttl"},
            {"action": "set_ip_src", "value": family},
            {"action": "set_tp_dst", "value": 4242},
            {"action": "set_eth_dst", "value": "02:00:00:00:00:99"},
        ],
    )
    assert packet.checksums_ok(out)
    before, after = packet.parse_key(SAMPLES[sample]), packet.parse_key(out)
    assert after["ip_ttl"] == int(before["ip_ttl"]) - 1
    assert family in after.values() and 4242 in after.values()


def test_ryu_finds_the_same_checksum_after_a_rewrite() -> None:
    out = packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_dst", "value": "192.0.2.77"}])
    again = ryu_packet.Packet(out)
    again.get_protocol(udp.udp).csum = 0
    again.get_protocol(ipv4.ipv4).csum = 0
    again.serialize()
    assert bytes(again.data) == out


def test_an_absent_udp_checksum_stays_absent() -> None:
    data = patched("udp", 40, b"\0\0")
    out = packet.rewrite(data, [{"action": "set_tp_src", "value": 9}])
    assert out[40:42] == b"\0\0"


def test_a_wrong_checksum_stays_wrong() -> None:
    data = patched("tcp", 50, b"\x12\x34")
    assert not packet.checksums_ok(data)
    out = packet.rewrite(data, [{"action": "set_ip_dst", "value": "192.0.2.1"}])
    assert not packet.checksums_ok(out)


def test_a_tag_comes_and_goes() -> None:
    tagged = packet.rewrite(SAMPLES["udp"], [{"action": "set_vlan", "value": 0x2005}])
    assert packet.parse_key(tagged)["vlan_tci"] == 0x3005
    assert packet.rewrite(tagged, [{"action": "pop_vlan"}]) == SAMPLES["udp"]


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="paint: no such action"):
        packet.rewrite(SAMPLES["udp"], [{"action": "paint"}])


def test_an_address_of_the_other_family_is_refused() -> None:
    with pytest.raises(ValueError, match="not of the packet's family"):
        packet.rewrite(SAMPLES["udp"], [{"action": "set_ip_dst", "value": "fd00::1"}])
