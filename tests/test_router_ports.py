"""What comes of packets for the ports of a router, where nobody listens."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
from frames import ACK, RST, TCP, Frame, Ip
from networks import Network, answers, mac, udp, unguarded
from test_router import to_router, two_subnets

FAMILIES = [("10.0.0.10", "10.0.0.1"), ("fd00::10", "fd00::1")]
FIN, SYN = 1, 2


def tcp(
    src: str, dst: str, flags: int, *, seq: int = 1000, ack: int = 0, data: bytes = b"",
    ports: tuple[int, int] = (40000, 22),
) -> Ip:  # fmt: skip
    head = struct.pack("!HHIIBBHHH", *ports, seq, ack, 0x50, flags, 1024, 0, 0)
    plain = Ip(ip_address(src), ip_address(dst), TCP, head + data)
    return frames.with_checksum(plain, 16)


def answer(sent: Ip) -> Frame | None:
    """What comes back, which must come from where `sent` went."""
    network = Network(unguarded(two_subnets()))
    verdict = network.send("vm0", to_router(network, sent))
    assert (verdict.kind, verdict.cacheable) == ("consumed", False)
    found = answers(verdict)
    if not found:
        return None
    ((port, frame),) = found
    assert (port, frame.dst, frame.src) == ("vm0", mac(0), network.mac_of("r-a"))
    assert (frame.body.src, frame.body.dst) == (sent.dst, sent.src)
    return frame


@pytest.mark.parametrize(("src", "dst"), FAMILIES)
def test_udp_is_told_that_the_port_is_unreachable(src: str, dst: str) -> None:
    sent = udp(src, dst)
    told = answer(sent)
    assert told.body.payload[:2] == (b"\x03\x03" if "." in src else b"\x01\x04")
    assert told.body.payload[8:] == sent.encode()
    assert frames.checksum_is_right(told.body)


def test_the_address_of_another_port_speaks_for_itself() -> None:
    assert answer(udp("10.0.0.10", "10.0.1.1")).body.src == ip_address("10.0.1.1")


@pytest.mark.parametrize(("src", "dst"), FAMILIES)
@pytest.mark.parametrize(
    ("flags", "data", "right"),
    [
        (SYN, b"", (0, 1001, RST | ACK)),
        (SYN, b"fast open", (0, 1010, RST | ACK)),
        (FIN, b"", (0, 1001, RST | ACK)),
        (0, b"hello", (0, 1005, RST | ACK)),
        (ACK, b"hello", (77, 0, RST)),
        (SYN | ACK, b"", (77, 0, RST)),
    ],
)
def test_tcp_is_reset_with_the_numbers_that_its_sender_expects(
    src: str, dst: str, flags: int, data: bytes, right: tuple[int, int, int]
) -> None:
    told = answer(tcp(src, dst, flags, ack=77, data=data)).body
    ports, (seq, ack), said = told.payload[:4], struct.unpack("!II", told.payload[4:12]), told
    assert ports == struct.pack("!HH", 22, 40000)
    assert (seq, ack, said.payload[13]) == right
    assert frames.with_checksum(told, 16) == told


def test_sequence_numbers_wrap() -> None:
    told = answer(tcp("10.0.0.10", "10.0.0.1", SYN, seq=0xFFFFFFFF))
    assert told.body.payload[8:12] == bytes(4)


def test_a_reset_is_never_answered() -> None:
    assert answer(tcp("10.0.0.10", "10.0.0.1", RST)) is None


def test_a_segment_that_contradicts_itself_is_not_answered() -> None:
    whole = tcp("10.0.0.10", "10.0.0.1", SYN)
    for head in (0x40, 0xF0):
        payload = whole.payload[:12] + bytes([head]) + whole.payload[13:]
        assert answer(replace(whole, payload=payload)) is None


def test_a_fragment_of_a_segment_is_not_answered() -> None:
    first = replace(tcp("10.0.0.10", "10.0.0.1", SYN), more_fragments=True)
    assert answer(first) is None


def test_nothing_is_said_to_what_is_nobodys_address() -> None:
    assert answer(udp("224.0.0.1", "10.0.0.1")) is None
    assert answer(tcp("0.0.0.0", "10.0.0.1", SYN)) is None  # noqa: S104


@pytest.mark.parametrize(("src", "dst"), FAMILIES)
def test_bgp_and_bfd_are_left_to_the_uplinks_daemons(src: str, dst: str) -> None:
    for ports in ((40000, 179), (179, 40000)):
        assert answer(tcp(src, dst, ACK, ports=ports)) is None
    for port in (3784, 3785):
        assert answer(udp(src, dst, dport=port)) is None


def test_the_walk_says_what_it_answers() -> None:
    network = Network(two_subnets())
    steps = network.send("vm0", to_router(network, tcp(*FAMILIES[0], SYN))).steps
    assert "r resets the connection" in steps
    steps = network.send("vm0", to_router(network, udp(*FAMILIES[0]))).steps
    assert "r tells the sender: port unreachable" in steps
