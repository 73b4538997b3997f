"""How many bytes TCP receivers have been handed, asked of the kernel (sock_diag(7)).

The kernel counts what arrived in order, once: no retransmission, no header.  Asking costs one
netlink request for each namespace, so it can be done many times a second under load, at an
instant of the asker's choosing.

1. Only connections with one of the wanted ports at either end count.
2. A counter is good as long as its connection lives: `read` what you need before you stop it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterable

from onehop.lab import netns

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLMSG_DONE = 3
_NLMSG_ERROR = 2
_INET_DIAG_INFO = 2  # the attribute that holds struct tcp_info
_ESTABLISHED = 1 << 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states, socket
_PORTS = struct.Struct("!HH")  # of struct inet_diag_sockid
_PORTS_AT = 4
_ATTRIBUTES_AT = 72  # sizeof(struct inet_diag_msg)
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_RECEIVED = struct.Struct("=Q")
_RECEIVED_AT = 128  # tcp_info.tcpi_bytes_received


class Receivers:
    """The TCP receivers of some namespaces."""

    def __init__(self, pids: Iterable[int], ports: Collection[int]) -> None:
        self.ports = frozenset(ports)
        self._sockets = [_diag_socket(pid) for pid in pids]

    def __enter__(self) -> Receivers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self) -> int:
        """The bytes received by all live connections together."""
        return sum(
            received
            for sock in self._sockets
            for local, remote, received in _connections(sock)
            if local in self.ports or remote in self.ports
        )

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _diag_socket(pid: int) -> socket.socket:
    with netns.inside(pid):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    sock.settimeout(2.0)
    return sock


def _connections(sock: socket.socket) -> Iterable[tuple[int, int, int]]:
    """Local port, remote port and bytes received of every established TCP connection."""
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _REQUEST.pack(
            family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), _ESTABLISHED
        )
        size = _HEADER.size + len(request)
        sock.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
        yield from map(_parse, _dump(sock))


def _dump(sock: socket.socket) -> Iterable[bytes]:
    """The messages of one dump, without their headers."""
    while True:
        data = sock.recv(1 << 18)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                raise OSError("the kernel refused a dump of its sockets (sock_diag)")
            yield data[_HEADER.size : length]
            data = data[(length + 3) & ~3 :]


def _parse(message: bytes) -> tuple[int, int, int]:
    local, remote = _PORTS.unpack_from(message, _PORTS_AT)
    at = _ATTRIBUTES_AT
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _INET_DIAG_INFO:
            (received,) = _RECEIVED.unpack_from(message, at + _ATTRIBUTE.size + _RECEIVED_AT)
            return local, remote, received
        at += (length + 3) & ~3
    return local, remote, 0
