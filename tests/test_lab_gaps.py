"""What counts as a gap of a probe stream."""

from __future__ import annotations

import numpy as np

from onehop.lab.gaps import Gap, Times, gaps, longest, lost_in_a_row

MS = 1_000_000
START = 1_000 * MS


def times(*milliseconds: float | None) -> Times:
    """Wall-clock times; None is a packet that never arrived."""
    return np.array([0 if ms is None else START + round(ms * MS) for ms in milliseconds], np.int64)


def lengths(sent: Times, received: Times, end: float) -> list[float]:
    found = gaps(sent, received, end_ns=START + int(end * MS))
    return [round(gap.ms, 3) for gap in found]


def test_a_healthy_stream_owes_each_packet_for_its_delay() -> None:
    assert lengths(times(0, 1, 2), times(0.1, 1.2, 2.1), 10) == [0.1, 0.2, 0.1]


def test_losses_are_owed_from_the_first_lost_packet_to_the_next_arrival() -> None:
    sent = times(0, 1, 2, 3, 4)
    received = times(0.1, None, None, None, 4.1)
    assert lengths(sent, received, 10) == [0.1, 3.1]


def test_packets_that_arrive_late_together_are_owed_from_the_first_of_them() -> None:
    assert lengths(times(0, 1, 2, 3), times(0.1, 50, 50.1, 50.2), 60)[1] == 49.0


def test_a_sender_that_rests_owes_nothing() -> None:
    assert lengths(times(0, 500), times(0.1, 500.1), 600) == [0.1, 0.1]


def test_what_never_arrives_is_owed_until_the_end() -> None:
    assert lengths(times(0, 1, 2), times(0.1, None, None), 30) == [0.1, 29.0]


def test_a_stream_of_which_nothing_arrives_is_owed_from_its_first_packet() -> None:
    assert lengths(times(5, 6), times(None, None), 30) == [25.0]


def test_an_overtaken_packet_is_no_gap() -> None:
    assert lengths(times(0, 1, 2), times(0.1, 2.4, 2.1), 10) == [0.1, 1.1]


def test_an_empty_stream_has_no_gap() -> None:
    assert lengths(times(), times(), 10) == []


def test_the_longest_gap_of_a_time_is_taken_whole() -> None:
    found = [Gap(0, 10), Gap(20, 90), Gap(95, 99)]
    assert longest(found, start_ns=5, end_ns=30) == Gap(20, 90)
    assert longest(found, start_ns=91, end_ns=94) is None


def test_packets_lost_in_a_row_are_counted_wherever_they_are() -> None:
    assert lost_in_a_row(times(0, 1, 2)) == 0
    assert lost_in_a_row(times(None, None, 2, None, 4)) == 2
    assert lost_in_a_row(times(0, None, 2, None, None, None)) == 3
    assert lost_in_a_row(times(None, None)) == 2
    assert lost_in_a_row(times()) == 0
