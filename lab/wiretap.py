"""Frames seen on wires (packet(7)): tunnelled ones on the underlay's links, users' on an uplink.

1. A tap sees a link at the switch's port: `sent` is what the host put on it, `delivered` what the
   host got from it.
2. Only VXLAN (RFC 7348) packets count, and of these the ones whose inner frame is wanted; BFD
   between hosts, which is tunnelled too, is told apart by that.
3. On an uplink everything counts but what routers say to each other: ARP, ND, BGP, BFD.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from onehop.lab import netns

ETH_ALL = 3
VXLAN_PORT = 4789
_OUTGOING = 4  # PACKET_OUTGOING: from the switch to the host
_SO_RCVBUFFORCE = 33
_ETHERNET, _UDP, _VXLAN = 14, 8, 8
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
BGP, BFD = 179, (3784, 3785)  # RFC 4271, RFC 5881

Wanted = Callable[[bytes], bool]


class Seen(NamedTuple):
    """The wanted frames of one link."""

    sent: int
    delivered: int


class Wiretap:
    """Taps on some devices of a namespace; a context, inside which frames are collected."""

    def __init__(self, pid: int, devices: Iterable[str]) -> None:
        self._sockets = {device: _tap(pid, device) for device in devices}

    def __enter__(self) -> Wiretap:
        for sock in self._sockets.values():
            _drain(sock)
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._sockets.values():
            sock.close()

    def count(self, wanted: Wanted) -> dict[str, Seen]:
        """By device, the wanted inner frames that came by since the last look."""
        return {device: _count(sock, wanted) for device, sock in self._sockets.items()}


class UplinkTap:
    """A tap on an uplink's wire; a context, inside which frames are collected."""

    def __init__(self, pid: int, device: str) -> None:
        self._socket = _tap(pid, device)

    def __enter__(self) -> UplinkTap:
        _drain(self._socket)
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def count(self) -> int:
        """The users' frames, either way, since the last look."""
        return sum(is_users(frame) for frame, _ in _drain(self._socket))


def is_users(frame: bytes) -> bool:
    """Whether the frame is none that routers send each other."""
    ethertype = frame[12:14]
    if ethertype == _IPV4:
        protocol, l4 = frame[23], _ETHERNET + 4 * (frame[14] & 0x0F)
    elif ethertype == _IPV6:
        protocol, l4 = frame[20], _ETHERNET + 40
    else:
        return False
    ports = struct.unpack_from("!HH", frame.ljust(l4 + 4, b"\0"), l4)
    if protocol == socket.IPPROTO_TCP:
        return BGP not in ports
    if protocol == socket.IPPROTO_UDP:
        return ports[1] not in BFD
    return protocol != socket.IPPROTO_ICMPV6


def inner_frame(frame: bytes) -> bytes | None:
    """The frame inside a VXLAN packet over IPv4, or None where it is something else."""
    if frame[12:14] != _IPV4 or frame[23:24] != b"\x11":
        return None
    udp = _ETHERNET + 4 * (frame[14] & 0x0F)
    if len(frame) < udp + _UDP + _VXLAN:
        return None
    (port,) = struct.unpack_from("!H", frame, udp + 2)
    return frame[udp + _UDP + _VXLAN :] if port == VXLAN_PORT else None


def _count(sock: socket.socket, wanted: Wanted) -> Seen:
    sent = delivered = 0
    for frame, outgoing in _drain(sock):
        inner = inner_frame(frame)
        if inner is not None and wanted(inner):
            sent, delivered = sent + (not outgoing), delivered + outgoing
    return Seen(sent, delivered)


def _drain(sock: socket.socket) -> list[tuple[bytes, bool]]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, address = sock.recvfrom(65536)
            found.append((frame, address[2] == _OUTGOING))
    return found


def _tap(pid: int, device: str) -> socket.socket:
    with netns.inside(pid):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        sock.bind((device, ETH_ALL))
    return sock
