"""The channel of questions: frames, hostile askers, agents that do not answer."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
from collections import Counter
from collections.abc import Iterator

import eventlet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.controller import questions as ask
from onehop.controller.agent.answering import Answering, path_of
from onehop.controller.agents import AgentError, Agents, connections

RAW = ask.Raw(b"x" * 100_000)


def answers(question: ask.Question) -> Iterator[ask.Answer]:
    match question:
        case ask.Connections():
            yield RAW
            yield RAW
        case ask.Simulate(port="wrong"):
            raise ValueError("port 'wrong' is not known")
        case ask.Held():
            yield RAW
            raise RuntimeError("the switch does not answer")
        case ask.Flows():
            raise ZeroDivisionError


class Place:
    """Agents' sockets, served by a thread with a hub of its own."""

    def __init__(self, folder, *hosts: str) -> None:
        self.folder, self.counters = str(folder), Counter[str]()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(hosts, ready), daemon=True).start()
        assert ready.wait(10)

    def _run(self, hosts: tuple[str, ...], ready: threading.Event) -> None:
        for host in hosts:
            answering = Answering(path_of(self.folder, host), answers, self.counters)
            eventlet.spawn(answering.serve)
        while len(list(path_of(self.folder, "x").parent.glob("*.sock"))) < len(hosts):
            eventlet.sleep(0)
        ready.set()
        while True:
            eventlet.sleep(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place(tmp_path_factory.mktemp("q") / "agents", "c1", "a/b:c@d")


def talk(place: Place, data: bytes) -> list[ask.Answer]:
    """What is answered to these bytes before the agent hangs up, or is done."""
    splitter, found = ask.Splitter(ask.ANSWER_BYTES), []
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(10)
        sock.connect(str(path_of(place.folder, "c1")))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while came := sock.recv(1 << 16):
                splitter.feed(came)
                while (body := splitter.next()) is not None:
                    found.append(ask.answer(body))
    return found


def test_socket_is_its_owners_alone(place):
    path = path_of(place.folder, "c1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_hosts_with_odd_names_are_found(place):
    assert Agents(place.folder).hosts() == ["a/b:c@d", "c1"]
    assert not Agents(place.folder).one(ask.Connections(), "a/b:c@d").problem


def test_all_pieces_of_an_answer_arrive(place):
    assert Agents(place.folder).one(ask.Connections(), "c1").answers == (RAW, RAW)
    assert connections(place.folder, "c1") == [RAW.data, RAW.data]


@pytest.mark.parametrize(
    ("question", "problem", "pieces"),
    [
        (ask.Simulate(port="wrong", packet=b""), "port 'wrong' is not known", 0),
        (ask.Held(), "the switch does not answer", 1),
        (ask.Flows(), "a mistake of the agent: ZeroDivisionError()", 0),
    ],
)
def test_refusal_says_why(place, question, problem, pieces):
    reply = Agents(place.folder).one(question, "c1")
    assert reply.problem == problem and len(reply.answers) == pieces


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.0\r\n\r\n",
        (1).to_bytes(4, "big") + b"\xc1",
        (3).to_bytes(4, "big") + b"\x81\xa4t",
        ask.frame(ask.Raw(b"an answer")),
        ask.frame(ask.Status(version=2)),
        ask.frame(ask.Simulate(port="p", packet=b"x" * (1 << 17))),
        (2000).to_bytes(4, "big") + b"\x91" * 2000,
    ],
)
def test_nonsense_is_refused_and_counted(place, data):
    before = place.counters["questions_refused"]
    (said,) = talk(place, data)
    assert isinstance(said, ask.Refused) and said.reason
    assert place.counters["questions_refused"] == before + 1


def test_asker_that_says_nothing_harms_nobody(place):
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(path_of(place.folder, "c1")))
            sock.sendall(b"\0\0")
        assert not Agents(place.folder).one(ask.Connections(), "c1").problem


def test_field_of_a_newer_version_is_passed_over(place):
    import msgspec

    body = msgspec.msgpack.encode({"type": "Connections", "version": 1, "colour": "red"})
    said = talk(place, len(body).to_bytes(4, "big") + body)
    assert said == [RAW, RAW, ask.Done()]


def test_dead_silent_and_absent_agents_are_named(place, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as dead:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        dead.bind(str(tmp_path / "dead.sock"))
        (tmp_path / "live.sock").symlink_to(path_of(place.folder, "c1"))
        agents = Agents(str(tmp_path), timeout_s=0.2)
        found = agents.ask(ask.Connections(), ["silent", "dead", "absent", "live"])
    assert found["live"].answers == (RAW, RAW)
    assert found["silent"].problem == "no answer within 0.2 s"
    assert found["dead"].problem == found["absent"].problem == "no agent answers there"
    with pytest.raises(AgentError, match="host 'gone': no agent answers there"):
        connections(str(tmp_path), "gone")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_question_or_refused(data):
    with contextlib.suppress(ask.FrameError):
        ask.question(data)
    with contextlib.suppress(ask.FrameError):
        ask.answer(data)
