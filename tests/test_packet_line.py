"""Packets in words, and captured ones."""

from __future__ import annotations

import struct

import pytest

from onehop.controller.cli import packet_line
from onehop.controller.cli.packet_line import End, Line
from onehop.controller.errors import InputError
from onehop.engine import model
from onehop.engine.packet import parse_key

TOPOLOGY = model.load("""
bridges: [{name: n1}]
routers: [{name: r1}]
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24, "fd00::11/64"]}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24, "fd00::1/64"]}
""")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tcp 10.0.0.1:* -> 10.0.2.5:80", Line("tcp", End("10.0.0.1", None), End("10.0.2.5", 80))),
        ("udp -> 10.0.2.5", Line("udp", End(None, None), End("10.0.2.5", None))),
        ("icmp * -> fd00::5", Line("icmp", End(None, None), End("fd00::5", None))),
        ("tcp [fd00::1]:7->[fd00::2]:8", Line("tcp", End("fd00::1", 7), End("fd00::2", 8))),
        ("tcp *:5 -> *:80", Line("tcp", End(None, 5), End(None, 80))),
        ("tcp * -> 10.0.0.0/8:443", Line("tcp", End(None, None), End("10.0.0.0/8", 443))),
    ],
)
def test_line_is_read(text, line):
    assert packet_line.read(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "", "->", "tcp", "tcp ->", "http -> 10.0.0.1", "tcp -> 10.0.0.256", "tcp -> 10.0.0.1:0",
        "tcp -> 10.0.0.1:65536", "tcp -> 10.0.0.1:x", "icmp -> 10.0.0.1:3", "tcp -> [fd00::1:80",
        "tcp -> 10.0.0.1 extra", "tcp 1 2 -> 10.0.0.1", "tcp -> ²:³", "tcp -> 10.0.0.1:²",
    ],
)  # fmt: skip
def test_line_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError, match=r"^packet: "):
        line = packet_line.read(text)
        packet_line.packet(line, "vm1", "S", TOPOLOGY)


def test_what_is_left_out_is_what_the_machine_would_send():
    key = parse_key(packet_line.packet(packet_line.read("tcp -> 10.9.0.1"), "vm1", "A", TOPOLOGY))
    assert (key["ipv4_src"], key["ipv4_dst"], key["tcp_dst"]) == ("10.0.0.11", "10.9.0.1", 80)
    assert key["eth_src"] == "02:00:00:00:00:01"
    assert int(key["tcp_flags"]) & 0x10


def test_filter_has_only_what_is_said():
    said = packet_line.fields(packet_line.read("tcp * -> 10.0.0.0/8:443"))
    assert said == {"ip_proto": 6, "ipv4_dst": "10.0.0.0/8", "tcp_dst": 443}
    assert packet_line.fields(packet_line.read("icmp * -> fd00::1"))["ip_proto"] == 58
    with pytest.raises(InputError, match="different families"):
        packet_line.fields(packet_line.read("tcp 10.0.0.1 -> fd00::1"))


def capture(*frames: bytes, order: str = "<", kept: int = 0) -> bytes:
    head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (struct.pack(order + "IIII", 1, 2, len(f) - kept, len(f)) + f for f in frames)
    return head + b"".join(records)


@pytest.mark.parametrize("order", ["<", ">"])
def test_packet_of_a_capture(tmp_path, order):
    file = tmp_path / "a.pcap"
    file.write_bytes(capture(b"one" * 6, b"two" * 6, order=order))
    assert packet_line.captured(file, 2) == b"two" * 6


def test_packet_in_hexadecimal(tmp_path):
    file = tmp_path / "a.hex"
    file.write_text("02:00 00\n0001ff")
    assert packet_line.captured(file, 1) == bytes.fromhex("0200000001ff")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"xyz", "neither a pcap nor hexadecimal"),
        (b"\xff\xfe", "neither a pcap nor hexadecimal"),
        (b"\x0a\x0d\x0d\x0a more", "pcapng"),
        (capture(), "no packet 1"),
        (capture()[:20], "no capture of Ethernet frames"),
        (capture(b"frame" * 4)[:-3], "not captured whole"),
        (capture(b"frame" * 4, kept=4), "not captured whole"),
        (b"00" * 10_000, "10000 bytes"),
    ],
)
def test_file_that_is_no_packet_is_refused(tmp_path, content, reason):
    file = tmp_path / "bad"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        packet_line.captured(file, 1)
