"""The frames of the channel between agents, and how two agents prove who they are.

Pure: no sockets, no clock, no randomness (a nonce is an argument).

A frame is its length (32 bits), its kind (8 bits), a body.  One connection goes like this; who
opened it sends state, who accepted it confirms::

    opener                          accepter
    HELLO  name, nonce    ------->
                          <-------  HELLO  name, nonce
                          <-------  PROOF  HMAC(token, "accepter", both HELLOs)
    PROOF  HMAC(token, "opener", both HELLOs)  ------->
                          <-------  RESUME last number that has arrived
    STATE, DONE, WANT number..  ->         DONE: all was said; WANT: about which addresses
                          <-------  ACK    last number that was merged
    PING                  ------->

1. From RESUME on every frame carries a code made with a key of this connection, direction and
   place in the stream (HMAC-SHA256, 128 bits of it): nobody can add, change or repeat one.
2. Kinds that are not known, and bytes behind a body's known ones, are passed over: that is how a
   newer minor version speaks to an older one.  Another MAJOR is refused, in words.
3. Before the proof nothing is kept, and no frame is longer than `GREETING_BYTES`.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

import msgspec

MAJOR, MINOR = 1, 0
NONCE_BYTES = 32
CODE_BYTES = 16
GREETING_BYTES = 1024  # the longest frame before the proof
FRAME_BYTES = 4 << 20  # the longest frame

HELLO, PROOF, RESUME, STATE, WANT, ACK, PING, DONE = range(1, 9)
NUMBERED = frozenset({STATE, WANT, DONE})

_HEAD = struct.Struct(">IB")
_NUMBER = struct.Struct(">Q")


class ChannelError(Exception):
    """The other end said what it must not; the connection ends."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks, and to whom."""

    major: int
    minor: int
    host: str
    to: str  # the host that is meant; the accepter's answer names the opener
    nonce: bytes
    incarnation: bytes  # of the process: numbers begin anew with each


class Frame(NamedTuple):
    """What stands between two lengths."""

    kind: int
    body: bytes


def frame(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body) + 1, kind) + body


def numbered(number: int, payload: bytes = b"") -> bytes:
    """The body of a frame that has a number."""
    return _NUMBER.pack(number) + payload


def number(body: bytes) -> tuple[int, bytes]:
    """The number of a body, and what stands behind it."""
    if len(body) < _NUMBER.size:
        raise ChannelError(f"a number of {len(body)} bytes")
    return _NUMBER.unpack_from(body)[0], body[_NUMBER.size :]


def wish(addresses: Sequence[str]) -> bytes:
    """What a WANT says: about these, or about all."""
    return msgspec.msgpack.encode(addresses) if addresses else b""


def wished(said: bytes) -> tuple[str, ...]:
    """What a WANT is about; nothing where it is all, or says what only a later version knows."""
    try:
        found = msgspec.msgpack.decode(said, type=tuple[str, ...]) if said else ()
        return tuple(str(ip_address(each)) for each in found)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return ()


def hello(body: bytes) -> Hello:
    """A HELLO that can be answered."""
    try:
        said = msgspec.msgpack.decode(body, type=Hello)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ChannelError("no agent speaks there") from None
    if said.major != MAJOR:
        raise ChannelError(f"it speaks version {said.major}, this agent {MAJOR}")
    if len(said.nonce) != NONCE_BYTES:
        raise ChannelError("its nonce has the wrong length")
    return said


def proof(token: bytes, role: str, transcript: bytes) -> bytes:
    """What only one who knows `token` can say about this very conversation."""
    return hmac.digest(token, role.encode() + b"\0" + transcript, "sha256")


def same(one: bytes, other: bytes) -> bool:
    """Whether two proofs are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


class Splitter:
    """A stream, cut into frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.limit = GREETING_BYTES

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> Frame | None:
        """The next whole frame."""
        if len(self._data) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(self._data)
        if not 0 < length <= self.limit:
            raise ChannelError(f"a frame of {length} bytes")
        end = _HEAD.size - 1 + length
        if len(self._data) < end:
            return None
        body = bytes(self._data[_HEAD.size : end])
        del self._data[:end]
        return Frame(kind, body)


class Seal:
    """One direction of a connection after the proof."""

    def __init__(self, token: bytes, direction: str, transcript: bytes) -> None:
        self._key = proof(token, "key " + direction, transcript)
        self._place = 0

    def close(self, kind: int, body: bytes) -> bytes:
        """A frame that carries its code."""
        return frame(kind, body + self._code(kind, body))

    def open(self, got: Frame) -> bytes:
        """The body of a frame that came, without its code."""
        body, code = got.body[:-CODE_BYTES], got.body[-CODE_BYTES:]
        if not same(code, self._code(got.kind, body)):
            raise ChannelError("a frame's code is wrong")
        return body

    def _code(self, kind: int, body: bytes) -> bytes:
        said = _NUMBER.pack(self._place) + bytes([kind]) + body
        self._place += 1
        return hmac.digest(self._key, said, "sha256")[:CODE_BYTES]
