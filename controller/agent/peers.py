"""The channel between agents: sockets around the two ends of `peer_link`.

It must not know what a state message says, nor Ryu.

1. Nothing waits but `turn`, which belongs to one thread; `send` writes what the socket takes at
   once, so that state leaves before the packet that made it, and leaves the rest to `turn`.
2. Sockets are opened and closed in `turn` only.  One epoll knows them all, so that a turn costs
   what has happened and not what there is: a host has as many connections as two of every peer.
3. A peer that is slow, gone, or somebody else costs its own queue and nothing more.
4. What has come is told before whoever calls `hear` goes on: state, before packets it is about.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import eventlet.patcher

from onehop.controller.agent.config import PEER_PORT
from onehop.controller.agent.metrics import ChannelStatus, PeerStatus
from onehop.controller.agent.peer_frames import (
    DONE,
    NONCE_BYTES,
    STATE,
    WANT,
    ChannelError,
    wish,
    wished,
)
from onehop.controller.agent.peer_link import Accepter, Inbox, Opener, Self
from onehop.controller.agent.peer_outbox import Outbox
from onehop.controller.agent.peer_tls import Contexts, Tunnel
from onehop.controller.agent.peer_wire import READ_BYTES, Wire, open_socket, prepare

RETRY_NS = (100_000_000, 2_000_000_000)  # after the first failure, at most
TICK_NS = 200_000_000
AT_ONCE = 8  # connections with news that a turn looks at before packets have theirs
STRANGERS = 64  # connections that have proven nothing yet

# What asks without waiting: eventlet hides it where it has patched the standard library.
SELECT = eventlet.patcher.original("select")

log = logging.getLogger(__name__)
Known = Callable[[Sequence[str]], Iterator[bytes]]  # about addresses, or all; in pieces
Came = Callable[[str, Sequence[bytes]], None]
Fetched = Callable[[], None]


class _Peer:
    """Another agent."""

    def __init__(self, address: str, outbox: Outbox) -> None:
        self.address = address
        self.outbox, self.inbox = outbox, Inbox()
        self.wire: Wire | None = None
        self.connecting = False
        self.opener: Opener | None = None
        self.retry_ns, self.pause_ns = 0, RETRY_NS[0]
        self.answered = False  # it has told all that it knows
        self.said = ""  # the last complaint that was logged


class Peers:
    """The agents of the other hosts."""

    def __init__(
        self, host: str, token: bytes, *, known: Known, came: Came,
        fetched: Fetched = lambda: None,
        listen: tuple[str, int] | None = None, port: int = PEER_PORT, tls: Contexts | None = None,
    ) -> None:  # fmt: skip
        self._me = Self(host, token, os.urandom(16))
        self._known, self._came, self._fetched = known, came, fetched
        self._tls = tls
        self._fixed, self._port = listen, listen[1] if listen else port
        self._address = listen[0] if listen else ""
        self._wanted: dict[str, str] = {}
        self._peers: dict[str, _Peer] = {}
        self._accepted: list[Wire] = []
        self._wires: dict[int, Wire] = {}  # these and the peers', by the number that epoll knows
        self._epoll = SELECT.epoll()
        self._behind: set[int] = set()  # of these, whose sockets have still to take something
        self._tick_ns = 0
        self._server: socket.socket | None = None
        self._server_ns = 0
        self._complaint = ""  # why nobody can connect
        self._old: Counter[str] = Counter()  # of peers that are gone
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._epoll.register(self._woken, SELECT.EPOLLIN)

    def reconcile(self, address: str, peers: Mapping[str, str]) -> None:
        """This host has the tunnel address `address`, and these are the others' (by host)."""
        if not self._fixed and address != self._address:
            self._address, self._complaint = address, ""
        self._wanted = dict(peers)
        for host in peers.keys() - self._peers.keys():
            outbox = Outbox(lambda: self._known(()))
            outbox.want()
            self._peers[host] = _Peer(peers[host], outbox)
        self._wake()

    def send(self, host: str, payload: bytes) -> None:
        """Let `host` know this; never waits."""
        peer = self._peers.get(host)
        if peer is None:
            self._old["state_messages_to_nobody"] += 1
            return
        peer.outbox.put(payload)
        self._push(peer)

    def want(self, addresses: Sequence[str] = ()) -> None:
        """Ask every peer for what it knows about these addresses, or about all."""
        for peer in self._peers.values():
            peer.outbox.want(wish(addresses))
            self._push(peer)

    def status(self) -> ChannelStatus:
        """How the channel is."""
        counters = Counter(self._old)
        for peer in self._peers.values():
            counters.update(peer.outbox.counters)
        where = f"on at {self._address} port {self._port}{', with TLS' if self._tls else ''}"
        words = where if self._server else f"not listening: {self._complaint or 'no address yet'}"
        return ChannelStatus(words, {h: self._status(h) for h in sorted(self._peers)}, counters)

    def hear(self) -> None:
        """Take in what the peers have said so far."""
        now_ns = time.monotonic_ns()
        for number, happened in self._epoll.poll(0):
            wire = self._wires.get(number)
            if wire and isinstance(wire.end, Accepter) and happened & SELECT.EPOLLIN:
                self._readable(wire, now_ns)
                self._await(wire)

    def turn(self, timeout_s: float) -> None:
        """Wait for something to do, and do it."""
        self._adjust(time.monotonic_ns())
        select.select([self._epoll], [], [], min(timeout_s, TICK_NS / 1e9))
        now_ns = time.monotonic_ns()
        for number, happened in self._epoll.poll(0, AT_ONCE):
            self._happened(number, happened, now_ns)
        if now_ns >= self._tick_ns:
            self._tick_ns = now_ns + TICK_NS
            self._tick(now_ns)

    def close(self) -> None:
        """Hang up on everybody."""
        for wire in list(self._wires.values()):
            self._close(wire)
        for sock in (self._server, self._waker, self._woken):
            if sock:
                sock.close()
        self._epoll.close()

    # At once

    def _push(self, peer: _Peer) -> None:
        if peer.wire is None or peer.opener is None or not peer.opener.established:
            return
        behind = peer.wire.is_behind
        peer.opener.pull()
        if not behind:
            peer.wire.write()
            self._await(peer.wire)

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except BlockingIOError:
            pass  # it is awake

    def _status(self, host: str) -> PeerStatus:
        peer = self._peers[host]
        heard = any(w.end.peer == host for w in self._accepted)
        up = bool(peer.opener and peer.opener.established)
        return PeerStatus(up, heard, len(peer.outbox), peer.outbox.queued_bytes)

    # What is open should be open

    def _adjust(self, now_ns: int) -> None:
        for host in self._peers.keys() - self._wanted.keys():
            self._forget(host)
        for host, peer in self._peers.items():
            if peer.address != self._wanted[host]:
                peer.address = self._wanted[host]
                self._hang_up(host, "its address has changed", now_ns)
            if peer.wire is None and self._address and now_ns >= peer.retry_ns:
                self._dial(host, peer, now_ns)
        self._listen(now_ns)

    def _forget(self, host: str) -> None:
        peer = self._peers.pop(host)
        self._old.update(peer.outbox.counters)
        if peer.wire:
            self._close(peer.wire)
        for wire in [w for w in self._accepted if w.end.peer == host]:
            self._drop(wire)

    def _dial(self, host: str, peer: _Peer, now_ns: int) -> None:
        sock = open_socket(peer.address)
        peer.opener = Opener(self._me, host, peer.outbox, os.urandom(NONCE_BYTES), now_ns)
        tunnel = Tunnel(self._tls.opener, accepts=False) if self._tls else None
        peer.wire, peer.connecting = Wire(sock, peer.opener, tunnel), True
        self._open(peer.wire)
        try:
            sock.bind((self._address, 0))
            sock.connect((peer.address, self._port))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._hang_up(host, error.strerror or str(error), now_ns)

    def _hang_up(self, host: str, why: str, now_ns: int) -> None:
        peer = self._peers[host]
        if peer.wire:
            self._close(peer.wire)
        if peer.opener and peer.opener.established:
            peer.pause_ns, peer.said = RETRY_NS[0], ""
        peer.wire = peer.opener = None
        peer.connecting = False
        peer.retry_ns = now_ns + peer.pause_ns
        peer.pause_ns = min(peer.pause_ns * 2, RETRY_NS[1])
        if why != peer.said:
            peer.said = why
            log.info("state channel to %s: %s", host, why)

    def _listen(self, now_ns: int) -> None:
        stale = self._server and self._server.getsockname()[0] != self._address
        if self._server and stale:
            self._epoll.unregister(self._server)
            self._server.close()
            self._server = None
        if self._server or not self._address or now_ns < self._server_ns:
            return
        sock = open_socket(self._address)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._address, self._port))
            sock.listen(STRANGERS)
        except OSError as error:
            sock.close()
            self._not_listening(f"{self._address} port {self._port}: {error.strerror}", now_ns)
        else:
            self._server, self._complaint = sock, ""
            self._epoll.register(sock, SELECT.EPOLLIN)

    def _not_listening(self, why: str, now_ns: int) -> None:
        self._server_ns = now_ns + RETRY_NS[1]
        if why != self._complaint:
            self._complaint = why
            log.error("state channel: %s", why)

    # What has happened

    def _open(self, wire: Wire) -> None:
        number = wire.sock.fileno()
        self._wires[number] = wire
        self._behind.add(number)
        self._epoll.register(number, SELECT.EPOLLIN | SELECT.EPOLLOUT)

    def _close(self, wire: Wire) -> None:
        number = wire.sock.fileno()
        del self._wires[number]
        self._behind.discard(number)
        self._epoll.unregister(number)
        wire.sock.close()

    def _await(self, wire: Wire) -> None:
        """Be told when the socket takes more, where it has to."""
        number, behind = wire.sock.fileno(), wire.is_behind
        if behind is not (number in self._behind):
            self._behind ^= {number}
            self._epoll.modify(number, SELECT.EPOLLIN | (SELECT.EPOLLOUT if behind else 0))

    def _happened(self, number: int, happened: int, now_ns: int) -> None:
        wire = self._wires.get(number)
        if number == self._woken.fileno():
            self._woken.recv(READ_BYTES)
        elif self._server and number == self._server.fileno():
            self._accept(now_ns)
        elif wire:
            if happened & SELECT.EPOLLOUT:
                self._writable(wire)
            if happened & ~SELECT.EPOLLOUT and not wire.broken:
                self._readable(wire, now_ns)
            self._check(wire, now_ns)

    def _check(self, wire: Wire, now_ns: int) -> None:
        """Hang up what is of no use any more."""
        if not wire.broken:
            self._await(wire)
        elif isinstance(wire.end, Opener):
            self._hang_up(wire.end.peer, wire.broken, now_ns)
        else:
            self._drop(wire)

    def _readable(self, wire: Wire, now_ns: int) -> None:
        data = wire.read()
        try:
            self._heard(wire, data, now_ns)
        except ChannelError as error:
            wire.broken = str(error)

    def _heard(self, wire: Wire, data: bytes, now_ns: int) -> None:
        if data and isinstance(wire.end, Opener):
            wire.end.receive(data, now_ns)
        elif data and isinstance(wire.end, Accepter):
            self._deliver(wire.end, data, now_ns)
        wire.write()

    def _deliver(self, end: Accepter, data: bytes, now_ns: int) -> None:
        """Hand on what has arrived, and confirm it then: what is confirmed has been merged."""
        stranger = not end.peer
        arrived = end.receive(data, now_ns)
        if stranger and end.peer:
            self._replace(end)
        if not arrived:
            return
        states = [told.payload for told in arrived if told.kind == STATE]
        for told in arrived:
            if told.kind == WANT:
                self._tell_about(wished(told.payload), self._peers[end.peer])
        if states:
            self._old["state_messages_received"] += len(states)
            self._old["state_bytes_received"] += sum(map(len, states))
            self._came(end.peer, states)
        end.confirm(arrived[-1].number)
        if any(told.kind == DONE for told in arrived):
            self._answered(self._peers[end.peer])

    def _tell_about(self, addresses: Sequence[str], peer: _Peer) -> None:
        if addresses:
            for piece in self._known(addresses):
                peer.outbox.put(piece)
        else:
            peer.outbox.resync()
        self._push(peer)

    def _answered(self, peer: _Peer) -> None:
        news, peer.answered = not peer.answered, True
        if news and all(other.answered for other in self._peers.values()):
            self._fetched()

    def _replace(self, end: Accepter) -> None:
        """A peer has one connection to here: its newest."""
        for wire in self._accepted:
            if wire.end is not end and wire.end.peer == end.peer:
                wire.broken = "it has connected again"

    def _accept(self, now_ns: int) -> None:
        assert self._server
        try:
            sock, _ = self._server.accept()
        except OSError:
            return
        if sum(not wire.end.peer for wire in self._accepted) >= STRANGERS:
            sock.close()
            return
        prepare(sock)
        end = Accepter(self._me, self._inbox, os.urandom(NONCE_BYTES), now_ns)
        tunnel = Tunnel(self._tls.accepter, accepts=True) if self._tls else None
        wire = Wire(sock, end, tunnel)
        self._accepted.append(wire)
        self._open(wire)

    def _inbox(self, host: str) -> Inbox | None:
        peer = self._peers.get(host)
        return peer.inbox if peer and host in self._wanted else None

    def _writable(self, wire: Wire) -> None:
        for peer in self._peers.values():
            if peer.wire is wire and peer.connecting:
                peer.connecting = False
                reason = wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                wire.broken = os.strerror(reason) if reason else ""
        wire.write()

    def _tick(self, now_ns: int) -> None:
        for wire in list(self._wires.values()):
            wire.tick(now_ns)
            wire.write()
            self._check(wire, now_ns)

    def _drop(self, wire: Wire) -> None:
        if not wire.end.peer:
            self._old["state_connections_refused"] += 1
            log.info("state channel: refused a connection: %s", wire.broken)
        self._close(wire)
        self._accepted.remove(wire)
