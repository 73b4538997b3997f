"""What the switch really holds, asked for beside what the core asks.

1. Requests go the way of the core's messages: what was sent before is in the switch by then, what
   is sent after is not.  So what the engine says in the moment of asking can be compared.
2. Replies are told from the core's by their xid, which is never 0.
3. Nobody waits longer than `PATIENCE_S` for a reply.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from eventlet.queue import Empty, LightQueue

from onehop.controller.agent import messages
from onehop.engine import openflow

PATIENCE_S = 5.0
EVERY_BIT = (1 << 64) - 1


class SwitchSilentError(RuntimeError):
    """The switch is not there, or does not answer."""


class Wish(NamedTuple):
    """Flows whose cookies agree in the mask, and that match no more than this."""

    cookie: int = 0
    cookie_mask: int = 0
    match: Mapping[str, int | str] = {}


class Reader:
    """Reads flows of the switch."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self._send = send
        self._xids = itertools.cycle(range(1, 1 << 31))
        self._waiting: dict[int, LightQueue] = {}

    @contextlib.contextmanager
    def asked(self, wishes: Sequence[Wish]) -> Iterator[Iterator[bytes]]:
        """The flow-stats replies to all `wishes`, which have been sent when this returns."""
        queue, xids = LightQueue(), [next(self._xids) for _ in wishes]
        self._waiting.update(dict.fromkeys(xids, queue))
        try:
            requests = (openflow.flow_stats_request(x, *w) for x, w in zip(xids, wishes))  # noqa: B905
            if not self._send(b"".join(requests)):
                raise SwitchSilentError("the switch is not connected")
            yield _replies(queue, len(xids))
        finally:
            for xid in xids:
                del self._waiting[xid]

    def take(self, message: bytes) -> bool:
        """Whether this message of the switch was for somebody here."""
        if not messages.about_flows(message):
            return False
        if queue := self._waiting.get(messages.xid(message)):
            queue.put(message)
        return True


def _replies(queue: LightQueue, missing: int) -> Iterator[bytes]:
    while missing:
        try:
            message: bytes = queue.get(timeout=PATIENCE_S)
        except Empty:
            raise SwitchSilentError("the switch does not answer") from None
        yield message
        missing -= not openflow.has_more(message)
