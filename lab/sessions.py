"""Long-lived TCP connections between the machines and the outside: a worker and its handle.

Every connection carries a short message each way, over and over, for as long as the scenario
lasts.  One worker process holds both ends of all of them.

Definitions.  A connection is *tried* once, and *opened* when its handshake is done and its first
echo is back.  It is *broken* when either end gets an error or an end of file, or when at the end,
with the network whole again, an echo is not back within FINAL_WAIT_S.  *Silence* is the longest
time for which a connection waited for an echo.

1. Nothing is repaired: a broken connection is not opened again.
2. No TCP timer is changed: the kernel's own retransmission carries connections over an outage.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from onehop.lab import netns

PORT = 7006
INTERVAL_S = 0.25
OPEN_WAIT_S = 10.0
FINAL_WAIT_S = 10.0
_MESSAGE = b"onehop: are you there?\n"


class Pair(NamedTuple):
    """Who opens a connection to what."""

    kind: str  # how it is translated on its way: connections are counted by it
    source_pid: int
    source: str  # its own address
    target: str  # as the source knows it
    port: int = PORT


class Listener(NamedTuple):
    """Who accepts connections."""

    pid: int
    address: str  # its own
    port: int = PORT


class Tally(NamedTuple):
    """The connections of one kind."""

    tried: int
    opened: int
    broken: int


class Outcome(NamedTuple):
    """What became of the connections."""

    by_kind: dict[str, Tally]
    silence_ms: float  # the longest
    reasons: tuple[str, ...]  # of those broken or not opened
    broken_s: tuple[float, ...]  # when each of those broke (as `time.time`)


# -- the handle ---------------------------------------------------------------------------------


class Sessions:
    """The running worker."""

    def __init__(self, pairs: Sequence[Pair], listeners: Sequence[Listener]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "onehop.lab.sessions", json.dumps([pairs, listeners])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.opened = 0

    def wait_open(self) -> int:
        """Until all connections are open or OPEN_WAIT_S has passed; how many are."""
        self.opened = int(self._line())
        return self.opened

    def stop(self) -> Outcome:
        """Ask each connection for a last echo, end them, and return what became of them."""
        assert self._process.stdin
        with self._process:  # closes its pipes, and waits for it
            self._process.stdin.close()
            by_kind, silence_ms, reasons, broken_s = json.loads(self._line())
        found = {kind: Tally(*counts) for kind, counts in by_kind.items()}
        return Outcome(found, silence_ms, tuple(reasons), tuple(broken_s))

    def kill(self) -> None:
        """End the worker without asking for anything; harmless where it has ended."""
        with self._process:
            self._process.kill()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the worker of the long-lived connections ended early")
        return line


# -- the worker ---------------------------------------------------------------------------------


class _Echo:
    """The accepted end of a connection."""

    def __init__(self, loop: _Loop, sock: socket.socket) -> None:
        self.loop, self.socket = loop, sock

    def ready(self) -> None:
        try:
            data = self.socket.recv(4096)
            if data:
                self.socket.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # the other end learns of it, and counts it
        self.loop.forget(self.socket)


class _Listener:
    """Accepts connections at one node."""

    def __init__(self, loop: _Loop, listener: Listener) -> None:
        self.loop = loop
        self.socket = _socket(*listener)
        self.socket.listen(512)

    def ready(self) -> None:
        accepted, _ = self.socket.accept()
        accepted.setblocking(False)  # noqa: FBT003
        self.loop.watch(accepted, _Echo(self.loop, accepted))


class _Session:
    """The opening end of a connection."""

    def __init__(self, loop: _Loop, pair: Pair) -> None:
        self.loop, self.kind = loop, pair.kind
        self.opened = False
        self.broken = ""
        self.broken_s = 0.0
        self.silence_s = 0.0
        self._asked_s: float | None = None
        self.socket = _socket(pair.source_pid, pair.source, 0)
        self.name = f"{pair.source} to {pair.target}:{pair.port} ({pair.kind})"
        self.socket.connect_ex((pair.target, pair.port))

    @property
    def waiting(self) -> bool:
        return self._asked_s is not None

    def ask(self) -> None:
        """Send a message, unless the echo of the last one is still to come."""
        if self.broken or self.waiting:
            return
        try:
            self.socket.send(_MESSAGE)
            self._asked_s = time.monotonic()
        except BlockingIOError:
            pass  # not connected yet
        except OSError as error:
            self._break(str(error.strerror))

    def ready(self) -> None:
        try:
            data = self.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(str(error.strerror))
            return
        if not data:
            self._break("closed by the other end")
        elif data.endswith(b"\n"):
            self._answered()

    def finish(self) -> None:
        if self.waiting and not self.broken:
            self._break(f"no echo within {FINAL_WAIT_S:.0f} s at the end")

    def _answered(self) -> None:
        if self._asked_s is not None:
            self.silence_s = max(self.silence_s, time.monotonic() - self._asked_s)
        self._asked_s, self.opened = None, True

    def _break(self, reason: str) -> None:
        self.broken, self.broken_s = f"{self.name}: {reason}", time.time()
        self.loop.forget(self.socket)


class _Loop:
    """The sockets that are watched."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.sessions: list[_Session] = []

    def watch(self, sock: socket.socket, owner: Any) -> None:
        self.selector.register(sock, selectors.EVENT_READ, owner)

    def forget(self, sock: socket.socket) -> None:
        self.selector.unregister(sock)
        sock.close()

    def turn(self, until_s: float) -> None:
        """Serve the sockets until that time."""
        while (left := until_s - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                if key.data is not None:
                    key.data.ready()

    def ask(self) -> None:
        for session in self.sessions:
            session.ask()


def _run(pairs: Sequence[Pair], listeners: Sequence[Listener]) -> None:
    loop = _Loop()
    for stated in listeners:
        listener = _Listener(loop, stated)
        loop.watch(listener.socket, listener)
    for pair in pairs:
        session = _Session(loop, pair)
        loop.sessions.append(session)
        loop.watch(session.socket, session)
    _open(loop)
    while not _ended():
        loop.ask()
        loop.turn(time.monotonic() + INTERVAL_S)
    _finish(loop)


def _open(loop: _Loop) -> None:
    deadline = time.monotonic() + OPEN_WAIT_S
    while time.monotonic() < deadline and not all(_settled(loop.sessions)):
        loop.ask()
        loop.turn(time.monotonic() + 0.05)
    print(sum(session.opened for session in loop.sessions), flush=True)


def _finish(loop: _Loop) -> None:
    deadline = time.monotonic() + FINAL_WAIT_S
    loop.turn(time.monotonic() + 0.05)
    loop.ask()
    while time.monotonic() < deadline and any(
        session.waiting and not session.broken for session in loop.sessions
    ):
        loop.turn(time.monotonic() + 0.05)
    for session in loop.sessions:
        session.finish()
    print(json.dumps(_outcome(loop.sessions)), flush=True)


def _settled(sessions: Iterable[_Session]) -> Iterable[bool]:
    return (session.opened or bool(session.broken) for session in sessions)


def _outcome(tried: list[_Session]) -> Outcome:
    broken = [session for session in tried if session.broken]
    reasons = tuple(session.broken for session in broken)
    broken_s = tuple(session.broken_s for session in broken if session.opened)
    silence_s = max((session.silence_s for session in tried if session.opened), default=0.0)
    kinds = dict.fromkeys(session.kind for session in tried)
    by_kind = {kind: _tally([s for s in tried if s.kind == kind]) for kind in kinds}
    return Outcome(by_kind, 1000 * silence_s, reasons, broken_s)


def _tally(tried: list[_Session]) -> Tally:
    opened = [session for session in tried if session.opened]
    return Tally(len(tried), len(opened), sum(bool(session.broken) for session in opened))


def _ended() -> bool:
    """Whether the handle has closed our standard input."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        return bool(selector.select(0))


def _socket(pid: int, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(pid):
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.bind((address, port))
    return made


if __name__ == "__main__":
    stated = json.loads(sys.argv[1])
    _run([Pair(*row) for row in stated[0]], [Listener(*row) for row in stated[1]])
