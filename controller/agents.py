"""Agents, asked: finds them, asks many at once, and says of each that does not answer why.

1. An agent is known by its socket ``HOST.sock`` in a folder, or stated as ``HOST=ADDRESS:PORT``;
   over TCP, the environment names the agents' token and TLS as it does for agents.
2. Nobody waits longer than `timeout_s` for an agent that says nothing.
3. What an agent says is as it says it: nothing here judges.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import msgspec

from onehop.controller import questions
from onehop.controller.agent.config import SettingError, endpoint, read_token, variable
from onehop.controller.agent.peer_frames import NONCE_BYTES, ChannelError
from onehop.controller.agent.peer_tls import contexts
from onehop.controller.agent.question_guard import Guard
from onehop.controller.errors import CommandError, InputError

READ_BYTES = 1 << 20
PATH_BYTES = 107  # sun_path of unix(7), with its end

T = TypeVar("T")


class Reply(msgspec.Struct, frozen=True):
    """What an agent has said to one question."""

    answers: tuple[questions.Answer, ...] = ()
    problem: str = ""  # why there is no answer, or not all of it


class Problem(msgspec.Struct, frozen=True):
    """Why an agent says nothing (more)."""

    reason: str


class AgentError(CommandError):
    """An agent that does not answer, or that refuses to; says which and why."""


def hosts(folder: str = questions.FOLDER) -> list[str]:
    """The hosts whose agents may be asked here."""
    return Agents(folder).hosts()


def about(folder: str, host: str) -> questions.About:
    """How the agent of `host` is."""
    (found,) = _whole(folder, host, questions.Status(), questions.About)
    return found


def flows(folder: str, host: str) -> list[questions.Flow]:
    """The flows that the agent of `host` has made of packets."""
    pieces = _whole(folder, host, questions.Flows(tags=True), questions.FlowsAre)
    return [flow for piece in pieces for flow in piece.flows]


def held(folder: str, host: str) -> list[bytes]:
    """The flows that the switch of `host` holds, as OpenFlow replies for `Datapath.adopt`."""
    return [raw.data for raw in _whole(folder, host, questions.Held(), questions.Raw)]


def connections(folder: str, host: str) -> list[bytes]:
    """What `host` remembers of connections, as messages for `States.merge`."""
    return [raw.data for raw in _whole(folder, host, questions.Connections(), questions.Raw)]


def sessions(folder: str, host: str) -> list[questions.Session]:
    """The BGP sessions of `host`."""
    found = _whole(folder, host, questions.Sessions(), questions.SessionsAre)
    return [session for answer in found for session in answer.sessions]


def _whole(folder: str, host: str, question: questions.Question, kind: type[T]) -> list[T]:
    reply = Agents(folder).one(question, host)
    if reply.problem:
        raise AgentError(f"host {host!r}: {reply.problem}")
    return [answer for answer in reply.answers if isinstance(answer, kind)]


class Places(NamedTuple):
    """Where agents are: in a folder, and over TCP."""

    folder: pathlib.Path | None
    stated: Mapping[str, tuple[str, int]]


def places(where: str) -> Places:
    """What ``FOLDER``, ``HOST=ADDRESS:PORT`` or several with commas say; else an InputError."""
    folder, stated = None, {}
    for each in filter(None, where.split(",")):
        host, equals, address = each.partition("=")
        if equals:
            try:
                stated[host] = endpoint(f"agents: {host}", address)
            except SettingError as error:
                raise InputError(str(error)) from None
        elif folder is None:
            folder = pathlib.Path(each)
        else:
            raise InputError(f"agents: two folders, {folder} and {each}")
    return Places(folder, stated)


def _guard() -> Guard:
    """What is shown to agents over TCP, as the environment names it; or an InputError."""
    cert, key, authority = (
        os.environ.get(variable(f"peer_{n}"), "") for n in ("cert", "key", "ca")
    )
    try:
        token = read_token(os.environ.get(variable("peer_token_file"), ""))
        tls = contexts(cert, key, authority).opener if cert else None
    except SettingError as error:
        raise InputError(str(error)) from None
    return Guard("asker", token, os.urandom(NONCE_BYTES), tls)


class _Asked:
    """A conversation with one agent."""

    def __init__(self, host: str, sock: socket.socket, guard: Guard | None) -> None:
        self.host, self.sock, self._guard = host, sock, guard
        self.deadline_s = 0.0
        self._unsent = bytearray()
        self._splitter = questions.Splitter(questions.ANSWER_BYTES)

    def ask(self, question: questions.Question) -> None:
        said = questions.frame(question)
        if self._guard:
            self._guard.send(said)
        else:
            self._unsent += said

    @property
    def events(self) -> int:
        more = selectors.EVENT_WRITE if self._out else 0
        return selectors.EVENT_READ | more

    def write(self) -> None:
        out = self._out
        del out[: self.sock.send(out)]

    def read(self) -> Iterator[questions.Answer]:
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise OSError("it has hung up")
        self._splitter.feed(self._guard.receive(data) if self._guard else data)
        while (body := self._splitter.next()) is not None:
            yield questions.answer(body)

    @property
    def _out(self) -> bytearray:
        return self._guard.out if self._guard else self._unsent


class Agents:
    """The agents that can be asked from here."""

    def __init__(self, where: str = questions.FOLDER, *, timeout_s: float = 5.0) -> None:
        self.where, self._places, self._timeout_s = where, places(where), timeout_s

    def hosts(self) -> list[str]:
        """The hosts that have a socket here, or are stated."""
        folder = self._places.folder
        found = {unquote(path.stem) for path in folder.glob("*.sock")} if folder else set()
        return sorted(found | self._places.stated.keys())

    def ask(
        self, question: questions.Question, hosts: Iterable[str] | None = None
    ) -> dict[str, Reply]:
        """What each of `hosts` (or all) answers."""
        found: dict[str, list[questions.Answer]] = {}
        problems: dict[str, str] = {}
        chosen = self.hosts() if hosts is None else list(hosts)
        for host, said in self.stream(question, chosen):
            if isinstance(said, Problem):
                problems[host] = said.reason
            else:
                found.setdefault(host, []).append(said)
        return {host: Reply(tuple(found.get(host, ())), problems.get(host, "")) for host in chosen}

    def one(self, question: questions.Question, host: str) -> Reply:
        """What `host` answers."""
        return self.ask(question, [host])[host]

    def stream(
        self, question: questions.Question, hosts: Iterable[str] | None = None
    ) -> Iterator[tuple[str, questions.Answer | Problem]]:
        """The answers as they come, without the last frames."""
        with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as stack:
            for host in self.hosts() if hosts is None else hosts:
                try:
                    asked = self._open(host, question)
                except OSError as error:
                    yield host, Problem(_why(error))
                    continue
                stack.enter_context(contextlib.closing(asked.sock))
                asked.deadline_s = time.monotonic() + self._timeout_s
                waiting.register(asked.sock, asked.events, asked)
            while waiting.get_map():
                yield from self._turn(waiting)

    def _open(self, host: str, question: questions.Question) -> _Asked:
        folder, stated = self._places
        remote = host in stated
        kind = socket.AF_UNIX if not remote else _family(stated[host][0])
        guard = _guard() if remote else None
        asked = _Asked(host, socket.socket(kind, socket.SOCK_STREAM), guard)
        try:
            asked.sock.setblocking(False)
            asked.ask(question)
            with contextlib.suppress(BlockingIOError) if remote else contextlib.nullcontext():
                asked.sock.connect(stated[host] if remote else _path(folder, host))
        except BaseException:
            asked.sock.close()
            raise
        return asked

    def _turn(
        self, waiting: selectors.BaseSelector
    ) -> Iterator[tuple[str, questions.Answer | Problem]]:
        everyone: list[_Asked] = [key.data for key in waiting.get_map().values()]
        soonest = min(asked.deadline_s for asked in everyone)
        ready = waiting.select(max(0.0, soonest - time.monotonic()))
        for key, events in ready:
            asked: _Asked = key.data
            asked.deadline_s = time.monotonic() + self._timeout_s
            try:
                if events & selectors.EVENT_WRITE:
                    asked.write()
                if events & selectors.EVENT_READ:
                    yield from self._heard(waiting, asked)
                if asked.sock in waiting.get_map():
                    waiting.modify(asked.sock, asked.events, asked)
            except (OSError, questions.FrameError, ChannelError) as error:
                waiting.unregister(asked.sock)
                yield asked.host, Problem(_why(error))
        now_s = time.monotonic()
        for asked in [a for a in everyone if a.deadline_s <= now_s]:
            if asked.sock in waiting.get_map():
                waiting.unregister(asked.sock)
                yield asked.host, Problem(f"no answer within {self._timeout_s:g} s")

    def _heard(
        self, waiting: selectors.BaseSelector, asked: _Asked
    ) -> Iterator[tuple[str, questions.Answer | Problem]]:
        for said in asked.read():
            if isinstance(said, questions.Done | questions.Refused):
                waiting.unregister(asked.sock)
                if isinstance(said, questions.Refused):
                    yield asked.host, Problem(said.reason)
                return
            if not isinstance(said, questions.Waiting):
                yield asked.host, said


def _path(folder: pathlib.Path | None, host: str) -> str:
    if folder is None:
        raise OSError("it is not stated where its agent is asked")
    path = folder / f"{quote(host, safe=' :@')}.sock"
    if len(os.fsencode(path)) > PATH_BYTES:
        raise OSError(f"{path}: too long for a socket's name")
    return str(path)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _why(error: Exception) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return "no agent answers there"
        case OSError(strerror=str(reason)) if reason:
            return reason
    return str(error)
