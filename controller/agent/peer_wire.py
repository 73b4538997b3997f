"""A socket with one end of the channel's protocol behind it, and TLS between them where it is on.

1. Nothing waits: what the socket does not take, or has not got yet, is left for another time.
   Nor does one write go on for long, however much there is to say: forwarding has its turn.
2. Whatever goes wrong is said in `broken`; whoever owns the wire closes it then.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from onehop.controller.agent.peer_frames import ChannelError
from onehop.controller.agent.peer_link import Accepter, Opener
from onehop.controller.agent.peer_tls import TlsError, Tunnel

READ_BYTES = 1 << 18
WRITE_BYTES = 1 << 18  # some 6000 connections: 0.7 ms


class Wire:
    """One connection to or from a peer."""

    def __init__(
        self, sock: socket.socket, end: Opener | Accepter, tunnel: Tunnel | None = None
    ) -> None:
        self.sock, self.end, self._tunnel = sock, end, tunnel
        self.broken = ""

    @property
    def is_behind(self) -> bool:
        """Whether the socket has still to take something."""
        return bool(self._due())

    def write(self) -> None:
        """Write what the socket takes, up to `WRITE_BYTES` and a bit; the rest is `behind`."""
        written = 0
        try:
            while written < WRITE_BYTES and not self.broken and (due := self._due()):
                count = self.sock.send(due)
                del due[:count]
                written += count
                if isinstance(self.end, Opener):
                    self.end.pull()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken = error.strerror or str(error)

    def _due(self) -> bytearray:
        """What the socket is to take next."""
        if self._tunnel is None:
            return self.end.out
        if not self._tunnel.out:
            self._tunnel.send(self.end.out)
        return self._tunnel.out

    def read(self) -> bytes:
        """What has come."""
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            self.broken = error.strerror or str(error)
            return b""
        if not data:
            self.broken = "it has hung up"
        return self._opened(data)

    def _opened(self, data: bytes) -> bytes:
        if self._tunnel is None or not data:
            return data
        try:
            return self._tunnel.receive(data)
        except TlsError as error:
            self.write()  # so that the other end hears why
            self.broken = str(error)
            return b""

    def tick(self, now_ns: int) -> None:
        """Time has passed."""
        try:
            self.end.tick(now_ns)
        except ChannelError as error:
            self.broken = str(error)


def open_socket(address: str) -> socket.socket:
    """A socket of the address's family."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    prepare(sock)
    return sock


def prepare(sock: socket.socket) -> None:
    """Have it neither wait nor collect."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
