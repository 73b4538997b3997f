"""The bulk socket: reads as much as has come, answers with one write.

`BulkSocket` takes the place of the loops of a connection that reads message by message; it
expects `socket` beside it, and works with green sockets as well as with real threads.

1. `send` never waits and keeps the order of its calls: what was decided first is written first.
   What answers a read is written right after it, without the other loop; that one writes what the
   socket does not take at once, and what nobody asked for.
2. While more than `OUTBOX_BYTES` wait to be written, nothing is read: a switch that does not
   take its answers gets no more of them.
3. Between two reads others have their turn.
"""

from __future__ import annotations

import logging
import socket
import threading
import time

INBOX_BYTES = 1 << 18  # several of the longest messages (64 KiB)
OUTBOX_BYTES = 1 << 23

log = logging.getLogger(__name__)


class BulkSocket:
    """The loops of one connection."""

    socket: socket.socket

    def prepare(self) -> None:
        """To be called before anything else."""
        self._outbox = bytearray()
        self._written = threading.Event()  # the outbox has room
        self._waiting = threading.Event()  # the outbox has content, or the end has come
        self._written.set()
        self._turn = threading.Lock()  # to write
        self._taking = False  # what is sent now is written after it
        self._ended = False
        self._last = False  # the outbox is the last that is written

    def take(self, data: memoryview) -> int:
        """Answer what has come; the bytes that were whole messages."""
        raise NotImplementedError

    def receive(self, into: memoryview) -> int:
        """Read what has come, when something has, after others had their turn."""
        time.sleep(0)
        return self.socket.recv_into(into)

    def send(self, data: bytes | bytearray, close_socket: bool = False) -> bool:
        """Write `data` when its turn comes; False if the connection is closing."""
        if self._ended or self._last:
            return False
        self._outbox += data
        self._last = close_socket
        if not self._taking:
            self._waiting.set()
        if len(self._outbox) > OUTBOX_BYTES:
            self._written.clear()
        return True

    def end(self) -> None:
        """Let both loops come to their end."""
        self._ended = True
        self._waiting.set()
        self._written.set()

    def _recv_loop(self) -> None:
        try:
            self._read()
        except ValueError as error:
            log.error("the switch does not speak OpenFlow 1.3: %s", error)
        finally:
            self.end()
            self.socket.close()

    def _read(self) -> None:
        inbox = bytearray(INBOX_BYTES)
        view = memoryview(inbox)
        filled = 0
        while not self._ended:
            self._written.wait()
            try:
                count = self.receive(view[filled:])
            except (TimeoutError, BlockingIOError):
                continue
            except OSError:
                return
            if not count:
                return
            filled += count
            taken = self._answer(view[:filled])
            view[: filled - taken] = view[taken:filled]
            filled -= taken

    def _answer(self, data: memoryview) -> int:
        self._taking = True
        try:
            return self.take(data)
        finally:
            self._taking = False
            self._write_at_once()

    def _write_at_once(self) -> None:
        if self._outbox and self._turn.acquire(blocking=False):
            bare = getattr(self.socket, "fd", self.socket)  # green ones wait whatever the flags
            data, self._outbox = self._outbox, bytearray()
            try:
                written = bare.send(data, socket.MSG_DONTWAIT)
            except OSError:  # full, or broken: the other loop will see
                written = 0
            self._outbox = data[written:] + self._outbox
            self._turn.release()
        if self._outbox or self._last:
            self._waiting.set()
        else:
            self._written.set()

    def _send_loop(self) -> None:
        try:
            while not self._ended:
                self._waiting.wait()
                self._waiting.clear()
                with self._turn:
                    self._write_out()
        except OSError as error:
            log.info("writing to the switch: %s", error)
        finally:
            self.end()
            self._close_write()

    def _write_out(self) -> None:
        while self._outbox:
            data, self._outbox = self._outbox, bytearray()
            self._written.set()
            self.socket.sendall(data)
        if self._last:
            self._ended = True

    def _close_write(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
