"""Questions over TCP: the token, TLS, and who has neither."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from pathlib import Path

import eventlet
import pytest
from certificates import Authority
from hypothesis import given
from hypothesis import strategies as st
from test_questions import RAW, answers

from onehop.controller import questions as ask
from onehop.controller.agent.answering import Answering
from onehop.controller.agent.config import SettingError, settings
from onehop.controller.agent.peer_frames import ChannelError
from onehop.controller.agent.peer_tls import contexts
from onehop.controller.agent.question_guard import Guard
from onehop.controller.agents import Agents
from onehop.controller.errors import InputError

TOKEN = b"a token of sixteen bytes or more"
ONE, OTHER = b"1" * 32, b"2" * 32


def ends(asker: bytes = TOKEN, agent: bytes = TOKEN) -> tuple[Guard, Guard]:
    return Guard("asker", asker, ONE), Guard("agent", agent, OTHER)


def carry(one: Guard, other: Guard) -> bytes:
    """Bring over what one end has to write; what the other end hears."""
    data = bytes(one.out)
    one.out.clear()
    return other.receive(data)


def test_what_is_said_arrives_once_both_know_the_token():
    asker, agent = ends()
    asker.send(b"question")
    assert carry(asker, agent) == b"" == carry(agent, asker)
    assert carry(asker, agent) == b"question"
    agent.send(b"answer" * 500_000)
    assert carry(agent, asker) == b"answer" * 500_000


@pytest.mark.parametrize(("asker", "agent"), [(b"x" * 16, TOKEN), (TOKEN, b"x" * 16)])
def test_another_token_is_told_nothing(asker, agent):
    one, other = ends(asker, agent)
    one.send(b"question")
    carry(one, other)
    with pytest.raises(ChannelError, match="token is another one"):
        carry(other, one)
    assert b"question" not in bytes(one.out)


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_whatever_is_changed_on_the_way_ends_the_connection(place, bit):
    asker, agent = ends()
    carry(asker, agent)
    carry(agent, asker)
    carry(asker, agent)
    asker.send(b"q" * 100)
    data = bytearray(asker.out)
    data[place % len(data)] ^= 1 << bit
    with contextlib.suppress(ChannelError):
        assert agent.receive(bytes(data)) == b""


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_are_refused_or_waited_for(pieces):
    _, agent = ends()
    with contextlib.suppress(ChannelError):
        for piece in pieces:
            assert agent.receive(piece) == b""


def serve(tls=None) -> tuple[int, Counter[str]]:
    """An agent that is asked over TCP; its port, and what it counts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    counters: Counter[str] = Counter()
    answering = Answering(Path("/nowhere"), answers, counters)

    def run() -> None:
        guard = lambda: Guard("agent", TOKEN, OTHER, tls)  # noqa: E731
        eventlet.spawn(answering.serve_tcp, ("127.0.0.1", port), guard).wait()

    threading.Thread(target=run, daemon=True).start()
    return port, counters


def asked(port: int) -> str:
    """The problem with asking there; "" where all is answered."""
    agents = Agents(f"c1=127.0.0.1:{port}", timeout_s=10)
    for _ in range(200):
        reply = agents.one(ask.Connections(), "c1")
        if reply.problem != "no agent answers there":
            break
        eventlet.sleep(0.02)
    assert bool(reply.problem) != (reply.answers == (RAW, RAW))
    return reply.problem


@pytest.fixture
def token(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(TOKEN)
    monkeypatch.setenv("ONEHOP_PEER_TOKEN_FILE", str(path))
    return path


def test_agent_is_asked_over_tcp(token):
    port, counters = serve()
    assert asked(port) == ""
    token.write_bytes(b"another token of some length")
    assert asked(port) == "its token is another one"
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert stranger.recv(100) == b""
    assert counters["questions_refused"] >= 1 and counters["questions"] == 1


def test_agent_is_asked_through_tls(token, tmp_path, monkeypatch):
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    mine, strange = authority.issue("c1"), stranger.issue("c1")
    port, _ = serve(contexts(str(mine.cert), str(mine.key), str(mine.authority)).accepter)
    assert asked(port) != ""  # without TLS
    for shown, works in ((mine, True), (strange, False)):
        for name, path in (("CERT", shown.cert), ("KEY", shown.key), ("CA", shown.authority)):
            monkeypatch.setenv(f"ONEHOP_PEER_{name}", str(path))
        assert (asked(port) == "") == works


@pytest.mark.parametrize(
    "where", ["c1=nowhere", "c1=127.0.0.1", "c1=127.0.0.1:0", "/one,/two", "=:"]
)
def test_places_that_make_no_sense_are_refused(where):
    with pytest.raises(InputError, match="^agents: "):
        Agents(where)


def test_tcp_needs_a_token(monkeypatch):
    with pytest.raises(SettingError, match="peer_token_file: not set; questions_listen needs it"):
        settings({"host": "c1", "questions_listen": "127.0.0.1:6655"})
    monkeypatch.delenv("ONEHOP_PEER_TOKEN_FILE", raising=False)
    with pytest.raises(InputError, match="peer_token_file"):
        Agents("c1=127.0.0.1:6655").one(ask.Status(), "c1")
