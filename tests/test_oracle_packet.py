"""The engine's parser and rewriter against plain Python, on random packets."""

from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
import traffic
from frames import Arp, Frame, Ip
from hypothesis import given
from hypothesis import strategies as st
from strategies import plain_scene

from onehop.engine import packet

TRANSPORT = {frames.TCP: "tcp", frames.UDP: "udp", frames.SCTP: "sctp"}

some_packets = traffic.packets(plain_scene()).map(lambda pair: pair[1])
macs = st.sampled_from(("02:00:00:00:00:77", "0a:ff:ff:ff:ff:ff"))


def fields_of(frame: Frame) -> dict[str, int | str]:
    """What a parser should find in `frame`."""
    found: dict[str, int | str] = {"eth_src": frame.src, "eth_dst": frame.dst}
    found["eth_type"] = frame.eth_type
    if frame.vlan is not None:
        found["vlan_tci"] = frame.vlan | 0x1000
    if isinstance(frame.body, Arp):
        arp = frame.body
        found |= {"arp_op": arp.op, "arp_spa": str(arp.spa), "arp_tpa": str(arp.tpa)}
        found |= {"arp_sha": arp.sha, "arp_tha": arp.tha}
    elif isinstance(frame.body, Ip):
        found |= _ip_fields(frame.body)
    return found


def _ip_fields(ip: Ip) -> dict[str, int | str]:
    family = f"ipv{ip.version}"
    found: dict[str, int | str] = {f"{family}_src": str(ip.src), f"{family}_dst": str(ip.dst)}
    found |= {"ip_proto": ip.proto, "ip_tos": ip.tos, "ip_ttl": ip.ttl}
    found["ip_frag"] = 2 if ip.offset else 1 if ip.more_fragments else 0
    if ip.offset:
        if ip.version == 6:
            found["ip_proto"] = frames.FRAGMENT  # as Open vSwitch matches it
        return found
    if ip.proto in TRANSPORT:
        name = TRANSPORT[ip.proto]
        found[f"{name}_src"] = int.from_bytes(ip.payload[:2], "big")
        found[f"{name}_dst"] = int.from_bytes(ip.payload[2:4], "big")
    if ip.proto == frames.TCP:
        found["tcp_flags"] = int.from_bytes(ip.payload[12:14], "big") & 0xFFF
    if ip.proto == (frames.ICMP if ip.version == 4 else frames.ICMPV6):
        name = "icmp" if ip.version == 4 else "icmpv6"
        found |= {f"{name}_type": ip.payload[0], f"{name}_code": ip.payload[1]}
    return found


def is_solicitation(ip: object) -> bool:
    return (
        isinstance(ip, Ip) and ip.proto == frames.ICMPV6 and ip.payload[:1] in (b"\x87", b"\x88")
    )


@given(some_packets)
def test_the_parser_finds_what_is_there(data: bytes) -> None:
    frame = frames.decode(data)
    assert frame is not None
    found = packet.parse_key(data)
    if is_solicitation(frame.body):
        assert found.pop("nd_target") == str(ip_address(frame.body.payload[8:24]))
        assert found.pop("nd_lladdr") == frames.mac_text(frame.body.payload[26:32])
    assert found == fields_of(frame)


@given(some_packets, macs, macs)
def test_a_routed_packet_has_new_macs_a_lower_ttl_and_a_right_checksum(
    data: bytes, src: str, dst: str
) -> None:
    frame = frames.decode(data)
    assert frame is not None
    actions = [{"action": "set_eth_src", "value": src}, {"action": "set_eth_dst", "value": dst}]
    expected = replace(frame, src=src, dst=dst)
    if isinstance(frame.body, Ip) and frame.body.ttl:
        actions.append({"action": "dec_ttl"})
        expected = expected.with_ip(ttl=frame.body.ttl - 1)
    assert packet.rewrite(data, actions) == expected.encode()


@given(some_packets, st.integers(0, 0xFFFF).map(lambda tci: tci & 0xEFFF))
def test_a_tag_pushed_and_popped_leaves_the_packet_as_it_was(data: bytes, tci: int) -> None:
    frame = frames.decode(data)
    assert frame is not None
    tagged = packet.rewrite(data, [{"action": "set_vlan", "value": tci}])
    seen = frames.decode(tagged)
    assert seen is not None
    assert (seen.vlan, seen.body) == (tci | 0x1000 if seen.vlan & 0x1000 else tci, frame.body)
    bare = packet.rewrite(tagged, [{"action": "pop_vlan"}])
    assert bare == replace(frame, vlan=None).encode()


@given(some_packets, st.data())
def test_addresses_are_rewritten_with_every_checksum(data: bytes, choose: st.DataObject) -> None:
    frame = frames.decode(data)
    assert frame is not None
    if not isinstance(frame.body, Ip):
        return
    sixth = frame.body.version == 6
    texts = ("2001:db8::ffff", "fd00::1") if sixth else ("198.51.100.255", "10.255.0.1")
    src, dst = choose.draw(st.permutations(texts))
    actions = [{"action": "set_ip_src", "value": src}, {"action": "set_ip_dst", "value": dst}]
    out = packet.rewrite(data, actions)
    seen = frames.decode(out)
    assert seen is not None and isinstance(seen.body, Ip)
    assert (str(seen.body.src), str(seen.body.dst)) == (src, dst)
    assert packet.checksums_ok(out) == packet.checksums_ok(data)


@given(some_packets, st.data())
def test_damaged_packets_are_refused_or_read_but_never_harm(
    data: bytes, choose: st.DataObject
) -> None:
    damaged = bytearray(data[: choose.draw(st.integers(0, len(data)))])
    for _ in range(choose.draw(st.integers(0, 3)) if damaged else 0):
        at = choose.draw(st.integers(0, min(len(damaged), 100) - 1))
        damaged[at] = choose.draw(st.integers(0, 255))
    try:
        found = packet.parse_key(bytes(damaged))
    except ValueError as refused:
        assert str(refused) in packet.MALFORMED
    else:
        assert found["eth_dst"] == frames.mac_text(damaged[:6])
        packet.rewrite(bytes(damaged), [{"action": "dec_ttl"}])
        packet.checksums_ok(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        packet.parse_key(data)
    except ValueError as refused:
        assert str(refused) in packet.MALFORMED


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="teleport"):
        packet.rewrite(bytes(14), [{"action": "teleport"}])
