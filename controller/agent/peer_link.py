"""The two ends of a connection between agents.  Pure: bytes in, bytes out, time an argument.

1. `out` is what is to be written next; whoever owns the connection takes it from there.
2. Whatever is wrong raises ChannelError, and the connection is of no use any more.
3. An opener that hears nothing for `SILENCE_NS` though it waits for something gives up; so does an
   accepter that hears nothing at all, as an opener that has nothing to say sends PING.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from onehop.controller.agent import peer_frames as frames
from onehop.controller.agent.peer_frames import ChannelError, Frame, Hello, Seal
from onehop.controller.agent.peer_outbox import Outbox

PING_NS = 1_000_000_000
SILENCE_NS = 5_000_000_000
OUT_BYTES = 1 << 18  # no more is taken out of the outbox before that is written


class Self(NamedTuple):
    """This agent."""

    host: str
    token: bytes
    incarnation: bytes


class Arrived(NamedTuple):
    """What an accepter was told, in its order."""

    number: int
    kind: int  # one of NUMBERED
    payload: bytes


class Inbox:
    """How far one peer has been heard; outlives connections."""

    def __init__(self) -> None:
        self.incarnation = b""
        self.number = 0

    def meet(self, incarnation: bytes) -> int:
        """The last number that has arrived from this process of the peer."""
        if incarnation != self.incarnation:
            self.incarnation, self.number = incarnation, 0
        return self.number


class Opener:
    """The end that sends state."""

    def __init__(self, me: Self, peer: str, outbox: Outbox, nonce: bytes, now_ns: int) -> None:
        self.peer, self.established = peer, False
        self._me, self._outbox = me, outbox
        self._splitter = frames.Splitter()
        self._mine = _greeting(me, peer, nonce)
        self._transcript = b""
        self._send: Seal | None = None
        self._hear: Seal | None = None
        self._heard_ns = self._asked_ns = now_ns
        self.out = bytearray(frames.frame(frames.HELLO, self._mine))

    def receive(self, data: bytes, now_ns: int) -> None:
        """The accepter said this."""
        self._heard_ns = now_ns
        self._splitter.feed(data)
        while got := self._splitter.next():
            self._take(got)
        self.pull()

    def pull(self) -> None:
        """Take from the outbox what can be sent now."""
        while self.established and len(self.out) < OUT_BYTES:
            item = self._outbox.next()
            if item is None:
                return
            self._say(item.kind, frames.numbered(item.number, item.payload))

    def tick(self, now_ns: int) -> None:
        """Time has passed."""
        if now_ns - self._heard_ns > SILENCE_NS:
            raise ChannelError("it does not answer")
        if self.established and now_ns - self._asked_ns > PING_NS:
            self._asked_ns = now_ns
            self._say(frames.PING, b"")
            self.pull()

    def _say(self, kind: int, body: bytes) -> None:
        assert self._send
        self.out += self._send.close(kind, body)

    def _take(self, got: Frame) -> None:
        if self._hear is not None:
            self._told(got.kind, self._hear.open(got))
        elif got.kind == frames.HELLO and not self._transcript:
            self._greeted(got.body)
        elif got.kind == frames.PROOF and self._transcript:
            self._proven(got.body)
        else:
            raise ChannelError(f"it begins with frame {got.kind}")

    def _greeted(self, body: bytes) -> None:
        said = frames.hello(body)
        if (said.host, said.to) != (self.peer, self._me.host):
            raise ChannelError(f"host {said.host!r} answers there, for {said.to!r}")
        self._transcript = _transcript(self._mine, body)

    def _proven(self, body: bytes) -> None:
        token = self._me.token
        if not frames.same(body, frames.proof(token, "accepter", self._transcript)):
            raise ChannelError("its token is another one")
        self.out += frames.frame(frames.PROOF, frames.proof(token, "opener", self._transcript))
        self._send = Seal(token, "opener", self._transcript)
        self._hear = Seal(token, "accepter", self._transcript)
        self._splitter.limit = frames.FRAME_BYTES

    def _told(self, kind: int, body: bytes) -> None:
        if kind == frames.RESUME and not self.established:
            self._outbox.rewind(frames.number(body)[0])
            self.established = True
        elif kind == frames.ACK:
            self._outbox.confirm(frames.number(body)[0])


class Accepter:
    """The end that hears state, and confirms it."""

    def __init__(
        self, me: Self, inbox: Callable[[str], Inbox | None], nonce: bytes, now_ns: int
    ) -> None:
        self.peer = ""  # who has proven that it is there
        self.out = bytearray()
        self._me, self._nonce = me, nonce
        self._inbox_of, self._inbox = inbox, Inbox()
        self._splitter = frames.Splitter()
        self._said: Hello | None = None
        self._transcript = b""
        self._send: Seal | None = None
        self._hear: Seal | None = None
        self._heard_ns = now_ns

    def receive(self, data: bytes, now_ns: int) -> list[Arrived]:
        """The opener said this; what is new of it.  To be confirmed when it has been merged."""
        self._heard_ns = now_ns
        self._splitter.feed(data)
        arrived = []
        while got := self._splitter.next():
            if told := self._take(got):
                arrived.append(told)
        return arrived

    def confirm(self, number: int) -> None:
        """All up to `number` has been merged."""
        assert self._send
        self._inbox.number = max(number, self._inbox.number)
        self.out += self._send.close(frames.ACK, frames.numbered(self._inbox.number))

    def tick(self, now_ns: int) -> None:
        """Time has passed."""
        if now_ns - self._heard_ns > SILENCE_NS:
            raise ChannelError("it has fallen silent")

    def _take(self, got: Frame) -> Arrived | None:
        if self._hear is not None:
            return self._told(got.kind, self._hear.open(got))
        if got.kind == frames.HELLO and self._said is None:
            self._greeted(got.body)
        elif got.kind == frames.PROOF and self._said is not None:
            self._proven(got.body, self._said)
        else:
            raise ChannelError(f"it begins with frame {got.kind}")
        return None

    def _greeted(self, body: bytes) -> None:
        said = frames.hello(body)
        if said.to != self._me.host:
            raise ChannelError(f"host {said.host!r} looks for {said.to!r}")
        mine = _greeting(self._me, said.host, self._nonce)
        self._said, self._transcript = said, _transcript(body, mine)
        told = frames.proof(self._me.token, "accepter", self._transcript)
        self.out += frames.frame(frames.HELLO, mine) + frames.frame(frames.PROOF, told)

    def _proven(self, body: bytes, said: Hello) -> None:
        token = self._me.token
        if not frames.same(body, frames.proof(token, "opener", self._transcript)):
            raise ChannelError(f"host {said.host!r}: its token is another one")
        inbox = self._inbox_of(said.host)
        if inbox is None:
            raise ChannelError(f"host {said.host!r} is not in the topology")
        self._inbox, self.peer = inbox, said.host
        self._send = Seal(token, "accepter", self._transcript)
        self._hear = Seal(token, "opener", self._transcript)
        self._splitter.limit = frames.FRAME_BYTES
        last = frames.numbered(inbox.meet(said.incarnation))
        self.out += self._send.close(frames.RESUME, last)

    def _told(self, kind: int, body: bytes) -> Arrived | None:
        if kind == frames.PING:
            self.confirm(self._inbox.number)
        if kind not in frames.NUMBERED:
            return None
        number, payload = frames.number(body)
        return Arrived(number, kind, payload) if number > self._inbox.number else None


def _greeting(me: Self, to: str, nonce: bytes) -> bytes:
    return msgspec.msgpack.encode(
        Hello(
            major=frames.MAJOR,
            minor=frames.MINOR,
            host=me.host,
            to=to,
            nonce=nonce,
            incarnation=me.incarnation,
        )
    )


def _transcript(opener: bytes, accepter: bytes) -> bytes:
    """Both HELLOs, so that no other two have the same."""
    return frames.numbered(len(opener), opener) + accepter
