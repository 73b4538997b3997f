"""The bulk socket, between real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from onehop.controller.agent.messages import split
from onehop.controller.agent.wire import BulkSocket


class Echo(BulkSocket):
    """Answers each whole message with itself, all those of one read at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.prepare()
        self.socket = sock
        self.reads = 0

    def take(self, data: memoryview) -> int:
        self.reads += 1
        whole = b"".join(split(data))
        self.send(whole)
        return len(whole)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Echo, list[threading.Thread]]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    echo = Echo(theirs)
    threads = [threading.Thread(target=loop) for loop in (echo._recv_loop, echo._send_loop)]
    for thread in threads:
        thread.start()
    yield ours, echo, threads
    echo.end()
    ours.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def message(xid: int, size: int = 8) -> bytes:
    return b"\x04\x02" + size.to_bytes(2, "big") + xid.to_bytes(4, "big") + bytes(size - 8)


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_message_in_pieces_is_taken_when_it_is_whole(ends):
    sock, _, _ = ends
    for byte in message(7, 20):
        sock.send(bytes([byte]))
    assert read(sock, 20) == message(7, 20)


def test_every_message_is_answered_once_and_in_order(ends):
    sock, echo, _ = ends
    sent = b"".join(message(i, 8 + i % 3000) for i in range(2000))
    writer = threading.Thread(target=sock.sendall, args=(sent,))
    writer.start()
    assert read(sock, len(sent)) == sent
    writer.join()
    assert echo.reads < 2000


def test_answers_do_not_wait_for_the_loop_that_writes():
    ours, theirs = socket.socketpair()
    echo = Echo(theirs)
    thread = threading.Thread(target=echo._recv_loop)
    thread.start()
    with ours:
        ours.settimeout(10)
        ours.sendall(message(1) + message(2))
        assert read(ours, 16) == message(1) + message(2)
    thread.join(10)
    assert not thread.is_alive()


def test_longest_message_passes(ends):
    sock, _, _ = ends
    sock.sendall(message(1, 65535) * 3)
    assert read(sock, 3 * 65535) == message(1, 65535) * 3


def test_bytes_that_are_no_messages_end_the_connection(ends):
    sock, echo, threads = ends
    sock.send(b"\x04\x02\x00\x03\x00\x00\x00\x00")
    assert sock.recv(1) == b""
    for thread in threads:
        thread.join(10)
    assert not echo.send(b"x")


def test_far_end_that_closes_ends_both_loops(ends):
    sock, _, threads = ends
    sock.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_last_message_is_written_before_the_end(ends):
    sock, echo, _ = ends
    assert echo.send(message(1), close_socket=True)
    assert not echo.send(message(2))
    assert read(sock, 8) == message(1)
    assert sock.recv(1) == b""
