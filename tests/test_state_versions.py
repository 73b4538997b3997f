"""Agents of different versions tell each other about connections: judged by bytes, not by code.

1. What version 1.0 says is written down here, and stays.
2. What a later version may say is made up here, by the rules of state_codec.pxd.
"""

from __future__ import annotations

import struct

import pytest

from onehop.engine.states import VERSION, Entry, States, message

NOW = 1_000_000_000_000
UDP = Entry(
    "connection", 0x0102030405060708, 17, "10.0.0.1", 1000, "192.0.2.7", 53, state="established"
)
TCP6 = Entry(
    "snat", 7, 6, "fd00::1", 1000, "2001:db8::9", 443, "2001:db8:1::1", 20000, "half-open", 1
)
VERSION_1_0 = bytes.fromhex(
    "6f68 01 00 00000002"  # oh, version, items
    "0028 01 01 11 04 02 00 03e8 0035 0000 0000ea60 00000000 0102030405060708"
    "0a000001 c0000207 00000000"
    "004c 01 02 06 06 01 01 03e8 01bb 4e20 0000ea60 00000000 0000000000000007"
    "fd000000000000000000000000000001 20010db8000000000000000000000009"
    "20010db8000100000000000000000001"
)


def item(
    operation: int = 1, kind: int = 1, state: int = 2, family: int = 4, more: bytes = b""
) -> bytes:
    """UDP, as an item of some version."""
    said = struct.pack(
        "!BBBBBBHHHIIQ", operation, kind, 17, family, state, 0, 1000, 53, 0, 60_000, 0, UDP.zone
    )  # fmt: skip
    said += bytes([10, 0, 0, 1, 192, 0, 2, 7, 0, 0, 0, 0]) + more
    return struct.pack("!H", len(said)) + said


def told(version: tuple[int, int], *items: bytes, behind: bytes = b"") -> States:
    """What a table holds when it has heard of these."""
    table = States(16)
    whole = b"oh" + bytes(version) + struct.pack("!I", len(items)) + b"".join(items) + behind
    table.merge(whole, NOW)
    return table


def test_what_this_version_says_is_what_1_0_said():
    """But for its own number."""
    assert message([UDP, TCP6]) == VERSION_1_0[:3] + bytes([VERSION[1]]) + VERSION_1_0[4:]


def test_what_1_0_says_is_understood():
    table = States(16)
    assert set(table.merge(VERSION_1_0, NOW)) == {table.tag(UDP), table.tag(TCP6)}
    assert set(table.entries(NOW)) == {UDP, TCP6}


@pytest.mark.parametrize(
    "strange",
    [item(kind=42), item(operation=42), item(family=8), b"\0\x03new", item(kind=0), b"\0\0"],
    ids=["kind", "operation", "family", "short", "no kind", "empty"],
)
def test_entries_of_1_2_that_are_not_known_are_passed_over(strange):
    table = told((1, 2), strange, item(), strange)
    assert list(table.entries(NOW)) == [UDP]
    assert table.counters["unreadable"] == 0


def test_fields_and_sections_of_1_2_that_are_not_known_are_passed_over():
    table = told((1, 2), item(more=b"a new field"), behind=b"a new section")
    assert list(table.entries(NOW)) == [UDP]
    assert table.counters["unreadable"] == 0


def test_connection_in_a_state_that_1_2_adds_counts_as_established():
    assert list(told((1, 2), item(state=9)).entries(NOW)) == [UDP]
    assert len(told((1, 0), item(state=9))) == 0


@pytest.mark.parametrize("behind", [b"", b"noise"])
def test_what_is_wrong_in_this_version_is_counted(behind):
    table = told((1, 0), item(kind=42), item(), behind=behind)
    assert list(table.entries(NOW)) == [UDP]
    assert table.counters["unreadable"] == 1 + bool(behind)


@pytest.mark.parametrize("version", [(2, 0), (2, 2), (0, 9)])
def test_another_major_version_is_not_understood_and_counted(version):
    table = told(version, item())
    assert len(table) == 0
    assert table.counters["unreadable"] == 1


def test_message_of_1_2_that_is_cut_off_is_counted():
    table = States(16)
    whole = b"oh\1\2" + struct.pack("!I", 2) + item() + item(more=b"later")
    table.merge(whole[:-3], NOW)
    assert list(table.entries(NOW)) == [UDP]
    assert table.counters["unreadable"] == 1
