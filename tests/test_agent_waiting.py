"""Packets that wait for a MAC."""

from __future__ import annotations

from onehop.controller.agent.waiting import NEIGHBORS, PER_NEIGHBOR, RETRY_NS, TRIES, Held, Waiting
from onehop.engine.effects import NeighborWanted


def wanted(packet: bytes = b"a", *, address: str = "10.0.0.5") -> NeighborWanted:
    return NeighborWanted(port="r1-n1", address=address, packet=packet, in_port="vm1")


def test_packets_are_released_in_their_order_once():
    waiting = Waiting()
    for packet in (b"a", b"b"):
        waiting.hold(wanted(packet), 0)
    assert waiting.release("r1-n1", "10.0.0.6") == []
    assert waiting.release("r1-n1", "10.0.0.5") == [Held(b"a", "vm1"), Held(b"b", "vm1")]
    assert waiting.release("r1-n1", "10.0.0.5") == []


def test_neighbor_is_asked_for_again_and_then_given_up():
    waiting = Waiting()
    waiting.hold(wanted(b"a"), 0)
    assert waiting.due(RETRY_NS - 1) == ([], [])
    for ask in range(1, TRIES):
        assert waiting.due(ask * RETRY_NS) == ([("r1-n1", "10.0.0.5")], [])
        waiting.hold(wanted(b"b"), ask * RETRY_NS)
    again, given_up = waiting.due(TRIES * RETRY_NS)
    assert not again
    assert [held.packet for held in given_up] == [b"a"] + [b"b"] * (TRIES - 1)
    assert waiting.due(10 * TRIES * RETRY_NS) == ([], [])


def test_oldest_packet_gives_way():
    waiting = Waiting()
    for i in range(PER_NEIGHBOR + 1):
        waiting.hold(wanted(bytes([i])), 0)
    assert len(waiting) == PER_NEIGHBOR
    assert waiting.release("r1-n1", "10.0.0.5")[0].packet == b"\x01"


def test_neighbors_too_many_are_refused_and_counted():
    waiting = Waiting()
    for i in range(NEIGHBORS + 1):
        waiting.hold(wanted(address=f"10.1.{i >> 8}.{i & 255}"), 0)
    assert len(waiting) == NEIGHBORS
    assert waiting.refused == 1
