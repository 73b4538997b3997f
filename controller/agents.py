"""Agents, asked: finds them, asks many at once, and says of each that does not answer why.

1. An agent is known by its socket ``HOST.sock`` in a folder.
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
from collections.abc import Iterable, Iterator
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from onehop.controller import questions
from onehop.controller.errors import CommandError

READ_BYTES = 1 << 20

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


class _Asked:
    """A conversation with one agent."""

    def __init__(self, host: str, path: pathlib.Path, question: questions.Question) -> None:
        self.host = host
        self.deadline_s = 0.0
        self._unsent = questions.frame(question)
        self._splitter = questions.Splitter(questions.ANSWER_BYTES)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise

    @property
    def events(self) -> int:
        more = selectors.EVENT_WRITE if self._unsent else 0
        return selectors.EVENT_READ | more

    def write(self) -> None:
        self._unsent = self._unsent[self.sock.send(self._unsent) :]

    def read(self) -> Iterator[questions.Answer]:
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise OSError("it has hung up")
        self._splitter.feed(data)
        while (body := self._splitter.next()) is not None:
            yield questions.answer(body)


class Agents:
    """The agents that can be asked from here."""

    def __init__(self, where: str = questions.FOLDER, *, timeout_s: float = 5.0) -> None:
        self.folder, self._timeout_s = pathlib.Path(where), timeout_s

    def hosts(self) -> list[str]:
        """The hosts that have a socket here."""
        return sorted(unquote(path.stem) for path in self.folder.glob("*.sock"))

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
        path = self.folder / f"{quote(host, safe=' :@')}.sock"
        if len(os.fsencode(path)) > 107:
            raise OSError(f"{path}: too long for a socket's name")
        return _Asked(host, path, question)

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
                    waiting.modify(asked.sock, asked.events, asked)
                if events & selectors.EVENT_READ:
                    yield from self._heard(waiting, asked)
            except (OSError, questions.FrameError) as error:
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


def _why(error: Exception) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return "no agent answers there"
        case OSError(strerror=str(reason)) if reason:
            return reason
    return str(error)
