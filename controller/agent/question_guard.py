"""What guards questions over TCP: the token of the state channel, and its TLS where it is on.

Pure: bytes in, bytes out; a nonce is an argument.  Frames are those of `peer_frames`::

    asker                             agent
    HELLO  MAGIC, nonce     ------->
                            <-------  HELLO  MAGIC, nonce, HMAC(token, "agent", both nonces)
    PROOF  HMAC(token, "asker", both nonces)  ------->
    SAID   bytes            <------>  SAID   bytes

1. Both ends prove that they know the token before anything is said or kept; after that every frame
   carries a code of its connection, direction and place: nobody can add, change or repeat one.
2. Whatever is wrong raises ChannelError, and the connection is of no use any more.
"""

from __future__ import annotations

import ssl
from typing import Literal

from onehop.controller.agent.peer_frames import (
    FRAME_BYTES,
    HELLO,
    NONCE_BYTES,
    PROOF,
    ChannelError,
    Frame,
    Seal,
    Splitter,
    frame,
    proof,
    same,
)
from onehop.controller.agent.peer_tls import TlsError, Tunnel

MAGIC = b"onehop asks 1\0"
SAID = 100
PIECE_BYTES = 1 << 20  # of what is said, in a frame

Role = Literal["asker", "agent"]


class Guard:
    """One end of a guarded connection; `out` is what is to be written next."""

    def __init__(
        self, role: Role, token: bytes, nonce: bytes, tls: ssl.SSLContext | None = None
    ) -> None:
        self._role, self._token, self._nonce = role, token, nonce
        self._tunnel = Tunnel(tls, accepts=role == "agent") if tls else None
        self._splitter = Splitter()
        self._frames, self._unsaid = bytearray(), bytearray()
        self._send: Seal | None = None
        self._hear: Seal | None = None
        self._nonces = b""
        if role == "asker":
            self._frames += frame(HELLO, MAGIC + nonce)

    @property
    def out(self) -> bytearray:
        """What the socket is to take; whoever writes it takes it out."""
        if self._tunnel is None:
            return self._frames
        self._tunnel.send(self._frames)
        return self._tunnel.out

    def send(self, said: bytes) -> None:
        """Say this, as soon as the other end has proven that it may hear it."""
        self._unsaid += said
        while self._send and self._unsaid:
            piece = bytes(self._unsaid[:PIECE_BYTES])
            del self._unsaid[:PIECE_BYTES]
            self._frames += self._send.close(SAID, piece)

    def receive(self, data: bytes) -> bytes:
        """What the other end said with this."""
        if self._tunnel is not None:
            try:
                data = self._tunnel.receive(data)
            except TlsError as error:
                raise ChannelError(str(error)) from None
        self._splitter.feed(data)
        heard = bytearray()
        while got := self._splitter.next():
            heard += self._take(got)
        return bytes(heard)

    def _take(self, got: Frame) -> bytes:
        if self._hear is not None:
            said = self._hear.open(got)
            return said if got.kind == SAID else b""
        if got.kind == HELLO and not self._nonces:
            self._greeted(got.body)
        elif got.kind == PROOF and self._role == "agent" and self._nonces:
            self._check(got.body, "asker")
            self._open("asker")
        else:
            raise ChannelError(f"it begins with frame {got.kind}")
        return b""

    def _greeted(self, body: bytes) -> None:
        nonce, told = body[len(MAGIC) :][:NONCE_BYTES], body[len(MAGIC) + NONCE_BYTES :]
        if not body.startswith(MAGIC) or len(nonce) != NONCE_BYTES:
            raise ChannelError("it does not speak this language")
        if self._role == "agent":
            self._nonces = nonce + self._nonce
            mine = proof(self._token, "questions agent", self._nonces)
            self._frames += frame(HELLO, MAGIC + self._nonce + mine)
            return
        self._nonces = self._nonce + nonce
        self._check(told, "agent")
        mine = proof(self._token, "questions asker", self._nonces)
        self._frames += frame(PROOF, mine)
        self._open("agent")
        self.send(b"")

    def _check(self, told: bytes, role: Role) -> None:
        if not same(told, proof(self._token, f"questions {role}", self._nonces)):
            raise ChannelError("its token is another one")

    def _open(self, other: Role) -> None:
        self._send = Seal(self._token, f"questions {self._role}", self._nonces)
        self._hear = Seal(self._token, f"questions {other}", self._nonces)
        self._splitter.limit = FRAME_BYTES
