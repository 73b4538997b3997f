"""Waits until a green socket can be read, with a listener that stays registered.

What eventlet's own sockets do for each read costs an attempt that fails, and a listener that is
registered with the system and removed: most of the time between a packet and its answer.

1. One green thread waits, and nobody else reads the socket.
2. While that thread is busy elsewhere, nothing listens: what has come would wake the hub for ever.
3. `close` comes before the socket is closed.
"""

from __future__ import annotations

from typing import Any

import eventlet
from eventlet import hubs


class Readable:
    """When the socket of this number has something to read."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._hub = hubs.get_hub()
        self._listener: Any = None
        self._waits: Any = None  # the green thread, while it waits

    def wait(self) -> None:
        """Return when something has come, or the end; others have their turn before."""
        self._waits = current = eventlet.getcurrent()
        try:
            if self._listener is None:
                self._listener = self._hub.add(
                    self._hub.READ, self._number, self._came, current.throw, None
                )
            self._hub.switch()
        finally:
            self._waits = None

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._hub.remove(self._listener)
            self._listener = None

    def _came(self, _number: int) -> None:
        if self._waits is None:
            self.close()
        else:
            self._waits.switch()
