"""A socket with one end of the channel's protocol behind it.

1. Nothing waits: what the socket does not take, or has not got yet, is left for another time.
2. Whatever goes wrong is said in `broken`; whoever owns the wire closes it then.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from onehop.controller.agent.peer_frames import ChannelError
from onehop.controller.agent.peer_link import Accepter, Opener

READ_BYTES = 1 << 18


class Wire:
    """One connection to or from a peer."""

    def __init__(self, sock: socket.socket, end: Opener | Accepter) -> None:
        self.sock, self.end = sock, end
        self.broken = ""

    @property
    def is_behind(self) -> bool:
        """Whether the socket has still to take something."""
        return bool(self.end.out)

    def write(self) -> None:
        """Write what the socket takes."""
        try:
            while self.is_behind and not self.broken:
                count = self.sock.send(self.end.out)
                del self.end.out[:count]
                if isinstance(self.end, Opener):
                    self.end.pull()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken = error.strerror or str(error)

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
        return data

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
