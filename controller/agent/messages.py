"""OpenFlow 1.3 messages as bytes: where they begin and end, and which few the agent reads itself.

1. Bytes that are no OpenFlow raise ValueError; the connection is then of no use any more.
"""

from __future__ import annotations

from collections.abc import Iterator

HEADER = 8  # version, type, length, xid (OpenFlow 1.3.5, section 7.1)
PACKET_IN, MULTIPART_REPLY = 10, 19  # OFPT_
FLOW_STATS = 1  # OFPMP_FLOW
IN_PORT = bytes.fromhex("80000004")  # the header of the match field

Bytes = bytes | bytearray | memoryview


def split(data: Bytes) -> Iterator[bytes]:
    """The whole messages at the beginning of `data`."""
    at = 0
    while len(data) - at >= HEADER:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < HEADER:
            raise ValueError(f"an OpenFlow message of {length} bytes")
        if at + length > len(data):
            return
        yield bytes(data[at : at + length])
        at += length


def is_packet_in(message: bytes) -> bool:
    return message[1] == PACKET_IN


def packet_in(message: bytes) -> tuple[int, bytes]:
    """The number of the port that a packet came in by, and the packet; (0, b"") of nonsense."""
    fields_end = 24 + int.from_bytes(message[26:28], "big")  # OpenFlow 1.3.5, section 7.4.1
    number, at = 0, 28
    while at + 8 <= min(fields_end, len(message)):
        if message[at : at + 4] == IN_PORT:
            number = int.from_bytes(message[at + 4 : at + 8], "big")
        at += 4 + message[at + 3]
    return number, message[(fields_end + 7) // 8 * 8 + 2 :] if number else b""


def xid(message: bytes) -> int:
    return int.from_bytes(message[4:8], "big")


def is_flow_stats(message: bytes) -> bool:
    """Whether it is about flows, and answers the core: whoever else asks has an xid."""
    return about_flows(message) and xid(message) == 0


def about_flows(message: bytes) -> bool:
    if message[1] != MULTIPART_REPLY or len(message) < HEADER + 2:
        return False
    return int.from_bytes(message[HEADER : HEADER + 2], "big") == FLOW_STATS
