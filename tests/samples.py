"""One packet of every kind, made by Ryu."""

import struct

from ryu.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, sctp, tcp, udp, vlan
from ryu.lib.packet import packet as ryu_packet

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"


def built(*headers: object) -> bytes:
    """The bytes that Ryu makes of `headers`; bytes among them are payload."""
    whole = ryu_packet.Packet()
    for header in headers:
        whole.add_protocol(header)
    whole.serialize()
    return bytes(whole.data)


def ether(eth_type: int) -> ethernet.ethernet:
    return ether_between(A, B, eth_type)


def ether_between(src: str, dst: str, eth_type: int) -> ethernet.ethernet:
    return ethernet.ethernet(dst=dst, src=src, ethertype=eth_type)


def over_ipv4(proto: int, *headers: object, **fields: object) -> bytes:
    return built(
        ether(0x0800), ipv4.ipv4(src="10.0.0.1", dst="10.0.0.2", proto=proto, **fields), *headers
    )


def over_ipv6(proto: int, *headers: object, **fields: object) -> bytes:
    return built(
        ether(0x86DD), ipv6.ipv6(src="fd00::1", dst="fd00::2", nxt=proto, **fields), *headers
    )


def bare(data: bytes) -> bytes:
    """Without the padding that Ryu adds to a short frame."""
    head = 14 if data[12:14] != b"\x81\0" else 18
    if data[head - 2 : head] == b"\x08\0":
        return data[: head + struct.unpack_from("!H", data, head + 2)[0]]
    if data[head - 2 : head] == b"\x86\xdd":
        return data[: head + 40 + struct.unpack_from("!H", data, head + 4)[0]]
    return data


SAMPLES = {
    "arp": built(ether(0x0806), arp.arp_ip(1, A, "10.0.0.1", B, "10.0.0.2")),
    "tcp": over_ipv4(6, tcp.tcp(1234, 80), b"hello", tos=0xB8, ttl=9),
    "udp": over_ipv4(17, udp.udp(53, 5353), b"hello"),
    "sctp": over_ipv4(132, sctp.sctp(7, 8, chunks=[sctp.chunk_cookie_ack()])),
    "icmp": over_ipv4(1, icmp.icmp(8, 0, data=icmp.echo(1, 2, b"x"))),
    "tcp6": over_ipv6(6, tcp.tcp(1234, 80), b"hello", traffic_class=0xB8, hop_limit=9),
    "udp6": over_ipv6(17, udp.udp(53, 5353), b"hello"),
    "icmp6": over_ipv6(58, icmpv6.icmpv6(128, 0, data=icmpv6.echo(1, 2, b"x"))),
    "solicitation": over_ipv6(
        58,
        icmpv6.icmpv6(135, 0, data=icmpv6.nd_neighbor(
            dst="fd00::2", option=icmpv6.nd_option_sla(hw_src=A),
        )),
        hop_limit=255,
    ),
    "tagged": built(
        ethernet.ethernet(B, A, 0x8100), vlan.vlan(pcp=3, vid=7, ethertype=0x0800),
        ipv4.ipv4(src="10.0.0.1", dst="10.0.0.2", proto=17), udp.udp(1, 2),
    ),
    "other": built(ether(0x88CC), b"0123456789"),
}  # fmt: skip
