"""What one peer shall know and has not confirmed yet.  Pure.

1. What was put first is sent first, under numbers that only grow; a confirmed one is forgotten.
2. Bounded: what is too much pushes out the oldest.  A peer that missed something is told
   everything anew (`refill`), piece by piece, as there is room; so is every peer at first, as
   nobody knows what an earlier process had still to say.
3. It outlives connections: `rewind` says what has arrived, and the rest goes again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from onehop.controller.agent.peer_frames import CODE_BYTES, DONE, FRAME_BYTES, STATE, WANT

LIMIT_BYTES = 8 << 20
PAYLOAD_BYTES = FRAME_BYTES - CODE_BYTES - 64

Pieces = Callable[[], Iterator[bytes]]  # everything that a peer should know


class Item(NamedTuple):
    """One thing to say."""

    number: int
    kind: int
    payload: bytes


class Outbox:
    """The way to one peer."""

    def __init__(self, everything: Pieces, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.counters: Counter[str] = Counter()
        self.queued_bytes = 0
        self._everything = everything
        self._limit = limit_bytes
        self._waiting: deque[Item] = deque()
        self._unconfirmed: deque[Item] = deque()
        self._number = 0
        self._refill: Iterator[bytes] | None = None
        self._due = True  # everything is to be said anew
        self._wants: set[bytes] = set()  # the WANTs among the waiting

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unconfirmed)

    def put(self, payload: bytes) -> None:
        """Say this; what is too long for a frame goes with everything, in pieces."""
        if len(payload) <= PAYLOAD_BYTES:
            self._add(STATE, payload)
        else:
            self.counters["state_messages_dropped"] += 1
            self.resync()

    def want(self, wish: bytes = b"") -> None:
        """Ask the peer for what it knows."""
        if not self._wants & {b"", wish}:
            self._wants.add(wish)
            self._add(WANT, wish)

    def resync(self) -> None:
        """Say everything anew."""
        self._due, self._refill = True, None

    def next(self) -> Item | None:
        """What is to be sent now; it then counts as sent."""
        if not self._waiting:
            self._pull()
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        if item.kind == WANT:
            self._wants.discard(item.payload)
        self._unconfirmed.append(item)
        self.counters["state_messages_sent"] += 1
        self.counters["state_bytes_sent"] += len(item.payload)
        return item

    def confirm(self, number: int) -> None:
        """Everything up to `number` has been merged."""
        while self._unconfirmed and self._unconfirmed[0].number <= number:
            self.queued_bytes -= len(self._unconfirmed.popleft().payload)

    def rewind(self, number: int) -> None:
        """A new connection: what came behind `number` is lost."""
        self.confirm(number)
        self.counters["state_messages_resent"] += len(self._unconfirmed)
        self._waiting.extendleft(reversed(self._unconfirmed))
        self._unconfirmed.clear()

    def _add(self, kind: int, payload: bytes) -> None:
        self._number += 1
        self._waiting.append(Item(self._number, kind, payload))
        self.queued_bytes += len(payload)
        while self.queued_bytes > self._limit:
            self._drop()

    def _drop(self) -> None:
        oldest = self._unconfirmed or self._waiting
        item = oldest.popleft()
        self.queued_bytes -= len(item.payload)
        self.counters["state_messages_dropped"] += 1
        self.resync()
        if item.kind == WANT:
            self._wants.discard(item.payload)
            self.want(item.payload)

    def _pull(self) -> None:
        """The next piece of everything; none while the peer has much to confirm already."""
        if self.queued_bytes > self._limit // 2:
            return
        if self._due:
            self._due, self._refill = False, self._everything()
            self.counters["state_resyncs"] += 1
        if self._refill is None:
            return
        piece = next(self._refill, None)
        if piece is None:
            self._refill = None
            self._add(DONE, b"")
        else:
            self.put(piece)
