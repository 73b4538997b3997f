"""The routes that a routing daemon has put into a kernel, as they come and go (rtnetlink(7)).

1. The socket belongs to the namespace that it was made in, for good.
2. ``routes`` is what the kernel has, not what was said of it: when messages were lost, or a link
   or an address changed (the kernel then drops IPv4 routes without a word), all are read again.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

import eventlet

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 1, 0x300, 0x10
RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR = 16, 20, 21
GROUPS = 0x1 | 0x10 | 0x40 | 0x400  # links, IPv4 addresses, IPv4 routes, IPv6 routes
RTA_DST, RTA_GATEWAY, RTA_MULTIPATH = 1, 5, 9
RT_TABLE_MAIN = 254
RTN_UNICAST = 1
RTPROT_BGP = 186  # as zebra marks what bgpd gave it
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, ...
ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, interface
RECEIVE_BYTES = 4 << 20

Routes = dict[str, frozenset[str]]  # destination -> gateways


class _Change(NamedTuple):
    gone: bool
    destination: str
    gateways: frozenset[str]


class RouteReader:
    """BGP's routes in the main table of the namespace in which this is made."""

    def __init__(self) -> None:
        self.routes: Routes = {}
        self._reading = False  # a dump is under way
        self._again = False  # and cannot be trusted
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)  # by this call: a green socket knows no other way
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._socket.bind((0, GROUPS))
        self._read_all()

    def wait(self) -> None:
        """Sleep, green, until ``run`` has something to take."""
        eventlet.hubs.trampoline(self._socket, read=True)

    def run(self) -> bool:
        """Take what has arrived; whether all of `routes` is known now."""
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return not self._reading
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._read_again()
            else:
                self._take(data)

    def close(self) -> None:
        self._socket.close()

    def _read_again(self) -> None:
        """Read all; once a dump that is under way, which cannot be trusted now, has ended."""
        self._again = True
        if not self._reading:
            self._read_all()

    def _read_all(self) -> None:
        self.routes, self._reading, self._again = {}, True, False
        body = ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        size, flags = HEADER.size + len(body), NLM_F_REQUEST | NLM_F_DUMP
        self._socket.send(HEADER.pack(size, RTM_GETROUTE, flags, 1, 0) + body)

    def _take(self, data: bytes) -> None:
        for kind, flags, body in _messages(data):
            self._again |= bool(flags & NLM_F_DUMP_INTR)
            if kind == NLMSG_DONE:
                self._reading = False
                if self._again:
                    self._read_all()
            elif kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, f"reading routes: {os.strerror(number)}")
            elif kind in (RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR):
                self._read_again()
            elif kind in (RTM_NEWROUTE, RTM_DELROUTE):
                self._apply(_change(kind, body))

    def _apply(self, change: _Change | None) -> None:
        if change is None:
            return
        # Of an IPv6 route with several gateways, one may go alone; it is then named.
        left = self.routes.get(change.destination, frozenset()) - change.gateways
        gateways = left if change.gone and change.gateways else change.gateways
        if gateways:
            self.routes[change.destination] = gateways
        else:
            self.routes.pop(change.destination, None)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        yield kind, flags, data[offset + HEADER.size : offset + length]
        offset += _aligned(max(length, HEADER.size))


def _change(kind: int, body: bytes) -> _Change | None:
    """What a message says of a route that concerns us."""
    family, bits, _, _, table, protocol, _, route_type, _ = ROUTE.unpack_from(body)
    if (table, protocol, route_type) != (RT_TABLE_MAIN, RTPROT_BGP, RTN_UNICAST):
        return None
    attributes = dict(_attributes(body[ROUTE.size :]))
    zero = bytes(4 if family == socket.AF_INET else 16)
    destination = f"{ip_address(attributes.get(RTA_DST, zero))}/{bits}"
    return _Change(kind == RTM_DELROUTE, destination, frozenset(_gateways(attributes)))


def _gateways(attributes: dict[int, bytes]) -> Iterator[str]:
    if RTA_GATEWAY in attributes:
        yield str(ip_address(attributes[RTA_GATEWAY]))
    hops = attributes.get(RTA_MULTIPATH, b"")
    while hops:
        length, _, _, _ = NEXT_HOP.unpack_from(hops)
        yield from _gateways(dict(_attributes(hops[NEXT_HOP.size : length])))
        hops = hops[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        yield kind, data[offset + ATTRIBUTE.size : offset + length]
        offset += _aligned(max(length, ATTRIBUTE.size))


def _aligned(length: int) -> int:
    return (length + 3) & ~3
