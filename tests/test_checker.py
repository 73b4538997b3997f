"""The process that asks: real sockets in the namespace that the test is in."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from onehop.controller.agent.checker import Answer, Question, ask
from onehop.controller.agent.checks import Check

HERE = f"/proc/{os.getpid()}/ns/net"


def question(
    port: int, kind: str = "http", address: str = "127.0.0.1", **more: object
) -> Question:
    check = Check(
        member="m", address=address, port=port, type=kind, path="/health", interval_s=0.1,
        timeout_s=5.0, rise=1, fall=1,
    )  # fmt: skip
    return Question(HERE, msgspec.structs.replace(check, **more))


class Member:
    """Accepts connections one after another, and says the same to each."""

    def __init__(self, says: bytes, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.heard: list[bytes] = []
        self._says = says
        self._socket = socket.create_server(("", 0), family=family)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            with accepted:
                if self._says:
                    self.heard.append(accepted.recv(4096))
                    accepted.sendall(self._says)


@pytest.fixture
def closed() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 302 Found\r\n\r\n", ""),
        (b"HTTP/1.1 204\r\n\r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "HTTP 100"),
        (b"SSH-2.0-OpenSSH\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n", "the answer is not HTTP"),
        (b"x" * 10_000, "the answer is not HTTP"),
    ],
)
def test_an_answer_is_judged_by_its_status(says: bytes, problem: str) -> None:
    with closing(Member(says)) as member:
        assert asyncio.run(ask(question(member.port))) == problem
    head, _, rest = member.heard[0].partition(b"\r\n")
    assert head == b"GET /health HTTP/1.1"
    assert f"Host: 127.0.0.1:{member.port}\r\n".encode() in rest


def test_whoever_takes_a_connection_is_well_by_tcp() -> None:
    with closing(Member(b"")) as member:
        assert asyncio.run(ask(question(member.port, "tcp"))) == ""
        problem = asyncio.run(ask(question(member.port, "http")))
        assert problem in ("closed without an answer", "connection reset by peer")


def test_ipv6() -> None:
    with closing(Member(b"HTTP/1.1 200 OK\r\n", socket.AF_INET6)) as member:
        assert asyncio.run(ask(question(member.port, address="::1"))) == ""
    assert f"Host: [::1]:{member.port}\r\n".encode() in member.heard[0]


def test_a_closed_port_and_silence_are_told_apart(closed: int) -> None:
    assert asyncio.run(ask(question(closed))) == "connection refused"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert asyncio.run(ask(question(port, timeout_s=0.1))) == "no answer in 0.1 s"


def test_a_namespace_that_is_gone_is_a_reason_too(closed: int) -> None:
    gone = msgspec.structs.replace(question(closed), namespace="onehop-there-is-none")
    assert asyncio.run(ask(gone)) == "no such file or directory"


def test_the_process_asks_what_it_is_told_and_ends_with_its_master(closed: int) -> None:
    command = [sys.executable, "-m", "onehop.controller.agent.checker"]
    pipe = subprocess.PIPE
    with (
        closing(Member(b"HTTP/1.1 200 OK\r\n\r\n")) as member,
        subprocess.Popen(command, stdin=pipe, stdout=pipe) as process,
    ):
        assert process.stdin and process.stdout

        def answer(*questions: Question) -> Answer:
            assert process.stdin and process.stdout
            process.stdin.write(msgspec.json.encode(questions) + b"\n")
            process.stdin.flush()
            return msgspec.json.decode(process.stdout.readline(), type=Answer)

        good = question(member.port, member="good")
        bad = question(closed, member="bad")
        assert answer(good) == Answer("good", healthy=True, reason="")
        assert answer(good, bad) == Answer("bad", healthy=False, reason="connection refused")
        again = question(member.port, member="again")
        assert answer(again) == Answer("again", healthy=True, reason="")
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == b""
