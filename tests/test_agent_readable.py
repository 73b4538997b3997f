"""A listener that stays registered, between real sockets and green threads."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import eventlet
import pytest
from eventlet import hubs

from onehop.controller.agent.readable import Readable

PATIENCE_S = 10


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, Readable]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    readable = Readable(theirs.fileno())
    with eventlet.Timeout(PATIENCE_S):
        yield ours, theirs, readable
    readable.close()
    ours.close()
    theirs.close()


def listener(sock: socket.socket) -> object:
    hub = hubs.get_hub()
    return hub.listeners[hub.READ].get(sock.fileno())


def test_each_arrival_wakes_and_the_listener_stays(ends):
    ours, theirs, readable = ends
    seen: list[object] = []
    for sent in (b"one", b"two", b"three"):
        eventlet.spawn(ours.send, sent)
        readable.wait()
        assert theirs.recv(100) == sent
        seen.append(listener(theirs))
    assert seen[0] is not None
    assert seen == [seen[0]] * 3


def test_what_came_while_the_reader_was_busy_is_found_and_wakes_nobody_meanwhile(ends):
    ours, theirs, readable = ends
    ours.send(b"one")
    readable.wait()
    assert theirs.recv(100) == b"one"
    ours.send(b"two")
    for _ in range(3):  # busy elsewhere: the hub polls, and must not call for it again and again
        eventlet.sleep(0)
    assert listener(theirs) is None
    readable.wait()
    assert theirs.recv(100) == b"two"


def test_others_have_their_turn_though_there_is_always_something_to_read(ends):
    ours, _, readable = ends
    ours.send(b"never read")
    turns: list[int] = []
    eventlet.spawn(turns.append, 1)
    readable.wait()
    assert turns


def test_end_wakes_the_reader(ends):
    _, theirs, readable = ends
    eventlet.spawn(theirs.shutdown, socket.SHUT_RD)
    readable.wait()
    assert theirs.recv(100) == b""


def test_a_closed_one_listens_no_more(ends):
    ours, theirs, readable = ends
    ours.send(b"one")
    readable.wait()
    readable.close()
    assert listener(theirs) is None
