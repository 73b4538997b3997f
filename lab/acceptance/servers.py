"""Servers on the members of a pool: each says its name, then echoes."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from onehop.engine.model import PoolMember, Vip
from onehop.lab.acceptance.scene import PATIENCE_S
from onehop.lab.lab import Lab


def connect(sock: socket.socket, vip: Vip) -> str:
    """Connect to a VIP; the name of the member that one gets, "" for nobody."""
    sock.settimeout(PATIENCE_S)
    try:
        sock.connect((vip.address, vip.port))
        return sock.recv(64).decode()
    except OSError:
        return ""


def echoes(sock: socket.socket) -> bool:
    """Whether the member that a connection has still answers."""
    try:
        sock.sendall(b"still there?")
        return sock.recv(64) == b"still there?"
    except OSError:
        return False


class Servers:
    """TCP and UDP on every member, served by one thread; a context."""

    def __init__(self, lab: Lab, members: Sequence[PoolMember]) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._listeners: dict[str, socket.socket] = {}
        self._failing: deque[str] = deque()
        self._thread = threading.Thread(target=self._run)
        nodes = {node.address: node for node in lab.machines}
        for member in members:
            name = member.name.encode()
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                sock = nodes[member.address].socket(socket.AF_INET, kind)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((member.address, member.port))
                if kind == socket.SOCK_STREAM:
                    sock.listen(512)
                    self._listeners[member.name] = sock
                    self._watch(sock, partial(self._accept, name))
                else:
                    self._watch(sock, partial(_answer, name))

    def __enter__(self) -> Servers:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def fail(self, member: str) -> None:
        """Take no more connections at a member; those that are there go on."""
        self._failing.append(member)

    def _run(self) -> None:
        while not self._stop.is_set():
            while self._failing:
                listener = self._listeners.pop(self._failing.popleft())
                self._selector.unregister(listener)
                listener.close()
            for key, _ in self._selector.select(0.1):
                key.data(key.fileobj)

    def _watch(self, sock: socket.socket, ready: Callable[[socket.socket], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def _accept(self, name: bytes, listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        accepted.sendall(name)
        self._watch(accepted, self._echo)

    def _echo(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(256)
            if data:
                sock.sendall(data)
                return
        except OSError:
            pass  # the other end learns of it
        self._selector.unregister(sock)
        sock.close()


def _answer(name: bytes, sock: socket.socket) -> None:
    _, peer = sock.recvfrom(256)
    sock.sendto(name, peer)
