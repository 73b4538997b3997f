"""Where an agent can be asked: a socket in a folder, and who asks there.

It must not know what questions mean.

1. Whoever can open the socket may ask: its folder and it are the owner's alone (0700, 0600).
   Over TCP, who proves that he knows the agents' token.
2. Each asker has a green thread; between two frames of an answer the others have their turn.
3. An asker that sends nonsense, or too much of it, is told why and hung up on; one that is slow,
   gone, or one of too many costs nothing but its own answers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import eventlet
from eventlet.green import socket

from onehop.controller import questions as ask
from onehop.controller.agent.peer_frames import ChannelError
from onehop.controller.agent.question_guard import Guard

MOST = 32  # askers at once
PATIENCE_S = 10.0  # for a question, and for a frame to be taken
READ_BYTES = 1 << 16
PATH_BYTES = 107  # sun_path of unix(7), with its end

log = logging.getLogger(__name__)


def path_of(folder: str, host: str) -> pathlib.Path:
    """Where the agent of `host` is asked."""
    return pathlib.Path(folder) / f"{quote(host, safe=' :@')}.sock"


class Answering:
    """The place where an agent is asked."""

    def __init__(
        self,
        path: pathlib.Path,
        answers: Callable[[ask.Question], Iterator[ask.Answer]],
        counters: Counter[str],
    ) -> None:
        self._path, self._answers, self._counters = path, answers, counters
        self._askers: Counter[bool] = Counter()  # by whether they come over TCP

    def serve(self) -> None:
        """Answer whoever comes, for ever; an OSError where that cannot begin."""
        server = _listening(self._path)
        with contextlib.closing(server):
            while True:
                sock, _ = server.accept()
                eventlet.spawn_n(self.converse, sock)

    def serve_tcp(self, address: tuple[str, int], guard: Callable[[], Guard]) -> None:
        """The same for those who come over TCP and prove that they know the token."""
        server = _listening_tcp(address)
        with contextlib.closing(server):
            while True:
                sock, _ = server.accept()
                eventlet.spawn_n(self.converse, _Guarded(sock, guard()), remote=True)

    def converse(self, sock: Any, *, remote: bool = False) -> None:
        """Answer one asker until he hangs up."""
        self._askers[remote] += 1
        with contextlib.closing(sock), contextlib.suppress(OSError):
            sock.settimeout(PATIENCE_S)
            try:
                if self._askers[remote] > MOST:
                    raise ask.FrameError(f"{MOST} ask already")
                for question in _questions(sock):
                    self._answer(sock, question)
            except ChannelError as error:
                self._counters["questions_refused"] += 1
                log.info("questions: refused a connection: %s", error)
            except ask.FrameError as error:
                self._counters["questions_refused"] += 1
                sock.sendall(ask.frame(ask.Refused(str(error))))
            finally:
                self._askers[remote] -= 1

    def _answer(self, sock: Any, question: ask.Question) -> None:
        self._counters["questions"] += 1
        last: ask.Answer = ask.Done()
        answers = self._answers(question)
        with contextlib.closing(answers):  # type: ignore[type-var]
            try:
                for answer in answers:
                    sock.sendall(ask.frame(answer))
                    time.sleep(0)
            except OSError:
                raise
            except (ValueError, RuntimeError) as error:
                self._counters["questions_unanswered"] += 1
                last = ask.Refused(str(error))
            except Exception as error:
                log.exception("a question has found a mistake of ours")
                last = ask.Refused(f"a mistake of the agent: {error!r}")
        sock.sendall(ask.frame(last))


class _Guarded:
    """A socket behind a guard."""

    def __init__(self, sock: Any, guard: Guard) -> None:
        self._sock, self._guard = sock, guard
        self.settimeout, self.close = sock.settimeout, sock.close

    def recv(self, size: int) -> bytes:
        said = b""
        while not said and (data := self._sock.recv(size)):
            try:
                said = self._guard.receive(data)
            finally:  # the other end hears why
                self._flush()
        return said

    def sendall(self, data: bytes) -> None:
        self._guard.send(data)
        self._flush()

    def _flush(self) -> None:
        data = bytes(self._guard.out)
        self._guard.out.clear()
        if data:
            self._sock.sendall(data)


def _questions(sock: Any) -> Iterator[ask.Question]:
    splitter = ask.Splitter(ask.QUESTION_BYTES)
    while data := sock.recv(READ_BYTES):
        splitter.feed(data)
        while (body := splitter.next()) is not None:
            yield ask.question(body)


def _listening(path: pathlib.Path) -> Any:
    if len(os.fsencode(path)) > PATH_BYTES:
        raise OSError(f"{path}: too long for a socket's name")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of an agent that was killed: this one holds the host's lock
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(server.fileno(), 0o600)  # what bind gives the file
        server.bind(str(path))
        server.listen(MOST)
    except OSError:
        server.close()
        raise
    return server


def _listening_tcp(address: tuple[str, int]) -> Any:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(MOST)
    except OSError:
        server.close()
        raise
    return server
