"""What a host remembers about connections: the table, its memory, its messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.engine.states import (
    KINDS,
    RECORD,
    STATES,
    VERSION,
    Entry,
    States,
    bytes_for,
    message,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_000 * SECOND


def connection(number: int = 0, **changes: object) -> Entry:
    found = Entry(
        "connection", 7, 17, "10.0.0.1", 1000 + number, "192.0.2.7", 53, state="established"
    )
    return found._replace(**changes)


def packed(number: int) -> Entry:
    """The number-th of many connections."""
    source = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return connection(source=source, source_port=number % 60_000)


ADDRESSES = st.one_of(
    st.tuples(*[st.ip_addresses(v=4).map(str)] * 3),
    st.tuples(*[st.ip_addresses(v=6).map(str)] * 3),
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    source, destination, address = draw(ADDRESSES)
    numbers = st.integers(0, 65_535)
    return Entry(
        draw(st.sampled_from(KINDS[1:])), draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 255)), source, draw(numbers), destination, draw(numbers),
        "" if set(address) <= set("0.:") else address, draw(numbers),
        draw(st.sampled_from(STATES[1:])), draw(st.integers(0, 255)),
    )  # fmt: skip


def key(entry: Entry) -> Entry:
    return entry._replace(address="", port=0, state="", flags=0)


# The table


FEW = st.builds(connection, st.integers(0, 11), port=st.integers(0, 3))
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "touch", "remove", "wait", "expire"]), FEW), max_size=60
)


@given(STEPS)
def test_a_table_remembers_what_a_dict_would_until_it_expires(steps: list) -> None:
    table, expected, now = States(16), {}, NOW
    for what, entry in steps:
        alive = key(entry) in expected and expected[key(entry)][1] > now
        if what == "insert":
            assert table.insert(entry, now)
            expected[key(entry)] = (entry, now + MINUTE)
        elif what == "touch":
            assert table.touch(entry, now) == alive
            if alive:
                expected[key(entry)] = (expected[key(entry)][0], now + MINUTE)
        elif what == "remove":
            table.remove(entry)
            expected.pop(key(entry), None)
        elif what == "wait":
            now += 20 * SECOND
        else:
            table.expire(now)
        live = {found for found, until in expected.values() if until > now}
        assert set(table.entries(now)) == live
        assert all(table.find(found, now) == found for found in live)


def test_ten_thousand_entries_come_and_go() -> None:
    table = States(10_000)
    many = [packed(n) for n in range(10_000)]
    assert all(table.insert(entry, NOW) for entry in many)
    assert all(table.find(entry, NOW) == entry for entry in many)
    assert all(table.remove(entry) for entry in many[::2])
    assert all(table.find(entry, NOW) == entry for entry in many[1::2])
    assert not any(table.find(entry, NOW) for entry in many[::2])


def test_many_entries_are_inserted_and_found_as_arrays() -> None:
    table, other = States(10_000), States(10_000)
    for n in range(500):
        table.insert(packed(n), NOW)
    records = table.records(NOW)
    assert other.insert_records(records, NOW).all()
    assert set(other.entries(NOW)) == set(table.entries(NOW))
    records = np.repeat(records, 2)
    records["source_port"][::2] ^= 0x8000
    found = other.find_records(records, NOW)
    assert not found["kind"][::2].any()
    assert (found["zone"][1::2] == 7).all()
    assert len(other.find_records(records[:0], NOW)) == 0


def test_records_that_say_nothing_are_refused() -> None:
    table = States(100)
    assert not table.insert_records(np.zeros(3, RECORD), NOW).any()
    with pytest.raises(ValueError, match="RECORD"):
        table.find_records(np.zeros(3), NOW)


def test_an_entry_takes_at_most_128_bytes() -> None:
    table = States(buffer=bytearray(bytes_for(49_152)))
    assert table.counters["capacity"] == 49_152
    assert bytes_for(49_152) / table.counters["capacity"] <= 128.01, "the header is the rest"


def test_a_full_table_refuses_counts_and_keeps_what_it_has() -> None:
    table = States(12)
    told = [table.insert(connection(n), NOW) for n in range(20)]
    assert told.count(True) == table.counters["capacity"] == len(table)
    assert table.counters["refused"] == told.count(False)
    assert table.insert(connection(0, port=9), NOW), "in place of itself"
    assert table.find(connection(0), NOW).port == 9


def test_what_has_expired_is_cleared_away_and_named_within_two_seconds() -> None:
    table = States(100)
    many = [connection(n) for n in range(50)]
    for entry in many:
        table.insert(entry, NOW)
    table.touch(many[0], NOW + 30 * SECOND)
    gone, now = [], NOW + MINUTE
    while now <= NOW + MINUTE + 2 * SECOND:
        now += SECOND // 10
        gone += table.expire(now)
    assert sorted(gone) == sorted(table.tag(entry) for entry in many[1:])
    assert list(table.entries(now)) == [many[0]]


@pytest.mark.parametrize(
    ("protocol", "state", "seconds"),
    [
        (6, "half-open", 60),
        (6, "established", 7440),
        (6, "closing", 120),
        (6, "closed", 10),
        (17, "established", 60),
        (1, "established", 60),
        (132, "established", 300),
        (47, "established", 60),
    ],
)
def test_each_state_has_its_own_timeout(protocol: int, state: str, seconds: int) -> None:
    table, entry = States(4), connection(protocol=protocol, state=state)
    table.insert(entry, NOW)
    assert table.find(entry, NOW + seconds * SECOND - 1)
    assert not table.find(entry, NOW + seconds * SECOND)


# Memory


def test_a_table_lives_on_in_its_memory() -> None:
    memory = bytearray(bytes_for(100))
    first = States(buffer=memory, seed=5, now_ns=NOW)
    many = [connection(n) for n in range(70)]
    for entry in many:
        first.insert(entry, NOW)
    second = States(buffer=memory, seed=6, now_ns=NOW + SECOND)
    assert second.seed == 5
    assert set(second.entries(NOW + SECOND)) == set(many)


@given(st.data())
def test_damaged_memory_is_mended_or_begun_anew(data: st.DataObject) -> None:
    memory = bytearray(bytes_for(12))
    table = States(buffer=memory, now_ns=NOW)
    many = [connection(n) for n in range(12)]
    for entry in many:
        table.insert(entry, NOW)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(memory) - 1))
        memory[at] = data.draw(st.integers(0, 255))
    mended = States(buffer=memory, now_ns=NOW)
    found = list(mended.entries(NOW))
    assert {key(entry) for entry in found} <= {key(entry) for entry in many}
    assert all(mended.find(entry, NOW) == entry for entry in found)
    mended.insert(connection(77), NOW)
    assert mended.find(connection(77), NOW) or mended.counters["refused"]


def test_an_entry_moved_only_half_way_is_found_again_once() -> None:
    memory = bytearray(bytes_for(12))
    table = States(buffer=memory, now_ns=NOW)
    table.insert(connection(), NOW)
    slots = [128 + 96 * n for n in range((len(memory) - 128) // 96)]
    home = next(at for at in slots if any(memory[at : at + 96]))
    other = next(at for at in slots if at != home)
    memory[other : other + 96] = memory[home : home + 96]
    assert list(States(buffer=memory, now_ns=NOW).entries(NOW)) == [connection()]
    memory[home : home + 96] = bytes(96)
    memory[other : other + 96] = bytes(96)
    assert list(States(buffer=memory, now_ns=NOW).entries(NOW)) == []


def test_no_entry_outlives_its_timeout_because_the_clock_began_anew() -> None:
    memory = bytearray(bytes_for(4))
    States(buffer=memory, now_ns=NOW).insert(connection(), NOW)
    later = States(buffer=memory, now_ns=0)
    assert later.find(connection(), MINUTE - 1)
    assert not later.find(connection(), MINUTE)


@pytest.mark.parametrize("size", [0, 1, 128, 500])
def test_too_little_memory_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="too small"):
        States(buffer=bytearray(size))


# Messages


@given(st.lists(entries(), max_size=8, unique_by=key))
def test_a_peer_knows_what_it_was_told(told: list[Entry]) -> None:
    table = States(100)
    tags = table.merge(message(told), NOW)
    assert set(table.entries(NOW)) == set(told)
    assert sorted(tags) == sorted(table.tag(entry) for entry in told)
    assert table.merge(message(told), NOW) == [], "nothing new"
    table.merge(message([], told), NOW)
    assert len(table) == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_safe_to_merge(data: bytes) -> None:
    States(8).merge(data, NOW)


@given(st.lists(entries(), min_size=1, max_size=3, unique_by=key), st.data())
def test_a_damaged_message_is_safe_to_merge(told: list[Entry], data: st.DataObject) -> None:
    whole = bytearray(message(told))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    table = States(8)
    table.merge(bytes(whole[: data.draw(st.integers(0, len(whole)))]), NOW)
    assert all(table.find(entry, NOW) == entry for entry in table.entries(NOW))


def test_a_message_without_meaning_is_counted() -> None:
    table = States(4)
    assert table.merge(b"hello", NOW) == []
    assert table.counters["unreadable"] == 1


def test_a_newer_minor_version_is_understood_as_far_as_it_is_known() -> None:
    known = message([connection()])
    assert known[2:4] == bytes(VERSION)
    item = known[8:]
    longer = (len(item) - 2 + 5).to_bytes(2, "big") + item[2:] + b"later"
    operation = item[:2] + b"\x63" + item[3:]
    newer = known[:3] + b"\x09" + (3).to_bytes(4, "big") + operation + longer + operation
    table = States(4)
    assert table.merge(newer, NOW) == [table.tag(connection())]
    assert list(table.entries(NOW)) == [connection()]


def test_another_major_version_is_not_understood() -> None:
    whole = bytearray(message([connection()]))
    whole[2] += 1
    table = States(4)
    assert table.merge(bytes(whole), NOW) == []
    assert len(table) == 0
    assert table.counters["unreadable"] == 1


def test_all_that_a_table_knows_fits_messages_that_another_takes_in() -> None:
    table, other = States(100), States(100)
    for n in range(70):
        table.insert(connection(n, source=f"10.0.0.{1 + n % 2}"), NOW)
    messages = list(table.messages(NOW, most=30))
    assert len(messages) in (2, 3)
    for each in messages:
        other.merge(each, 5 * NOW)
    assert set(other.entries(5 * NOW)) == set(table.entries(NOW))
    (about,) = table.messages(NOW, addresses=["10.0.0.2"])
    assert len(States(100).merge(about, NOW)) == 35


def test_everything_is_told_though_what_was_told_goes_at_once_and_others_move_back() -> None:
    table = States(100)
    entries = {connection(n) for n in range(100)}
    for entry in entries:
        table.insert(entry, NOW)
    told = set()
    for piece in table.messages(NOW, most=1):
        other = States(100)
        other.merge(piece, NOW)
        for entry in other.entries(NOW):
            table.remove(entry)
            told.add(entry)
    assert told == entries


def test_what_is_known_of_an_address_is_what_names_it_on_any_side() -> None:
    table = States(100)
    about = [
        connection(1),
        connection(2, source="192.0.2.7", destination="10.0.0.1"),
        connection(3, kind="reverse_snat", source="192.0.2.9", address="10.0.0.1"),
        connection(4, source="fd00::1", destination="fd00::2"),
    ]
    others = [
        connection(5, source="10.0.0.10"),
        connection(6, source="fd00::10", destination="fd00::3"),
    ]
    for entry in (*about, *others):
        table.insert(entry, NOW)
    (message_,) = table.messages(NOW, addresses=["10.0.0.1", "fd00::1"])
    other = States(100)
    other.merge(message_, NOW)
    assert set(other.entries(NOW)) == set(about)
    assert list(table.messages(NOW, addresses=["10.0.0.77"])) == []


def test_entries_keep_the_time_that_they_have_left_whatever_the_peers_clock() -> None:
    table, other = States(4), States(4)
    table.insert(connection(), NOW)
    other.merge(next(table.messages(NOW + 20 * SECOND)), 5)
    assert other.find(connection(), 5 + 40 * SECOND - 1)
    assert not other.find(connection(), 5 + 40 * SECOND)


@pytest.mark.parametrize(
    ("ours", "theirs", "then"),
    [
        ("half-open", "established", "established"),
        ("established", "half-open", "established"),
        ("closing", "established", "closing"),
        ("closing", "half-open", "half-open"),
        ("closed", "half-open", "half-open"),
        ("established", "closed", "closed"),
    ],
)
def test_of_two_states_the_later_one_holds(ours: str, theirs: str, then: str) -> None:
    table = States(4)
    table.insert(connection(protocol=6, state=ours), NOW)
    table.merge(message([connection(protocol=6, state=theirs)]), NOW)
    assert table.find(connection(protocol=6), NOW).state == then


def test_a_full_table_takes_no_more_from_peers_and_counts() -> None:
    table = States(4)
    tags = table.merge(message([connection(n) for n in range(30)]), NOW)
    assert len(tags) == len(table) == table.counters["capacity"]
    assert table.counters["refused"] == 30 - len(table)
