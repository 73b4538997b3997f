"""The store beside an asyncio server: its client has a thread of its own.

1. The thread alone touches the client; what it held after each step is told to the event loop,
   where `held` and the watchers are.  So neither needs a lock.
2. Who made a change finds it in `held` when `change` returns.
3. A watcher that does not keep up is cut off: it gets no step after one that it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from onehop.controller.store.client import NOTHING_UNREAD, Decide, Step, Store, StoreError
from onehop.engine.model import Resource
from onehop.engine.model.check import Unread
from onehop.engine.model.index import Index

WATCHED_STEPS = 1000  # that may wait for one watcher
CHANGE_S = 5.0  # for the store to write a change
START_S = 10.0  # for the store to answer a new server

Ident = tuple[str, str]


class Told(NamedTuple):
    """A step, and what was there before."""

    step: Step
    before: dict[Ident, Resource | None]


Watcher = asyncio.Queue[Told | None]  # None: the end


class Changed(NamedTuple):
    """What a change did."""

    step: Step
    before: dict[Ident, Resource | None]  # of all that was decided on


class _Job(NamedTuple):
    decide: Decide
    unread: Unread
    before: dict[Ident, Resource | None]
    done: asyncio.Future[Changed]


class Worker:
    """The store's content, and changes to it, for coroutines."""

    def __init__(self, remote: str) -> None:
        self.held: dict[Ident, Resource] = {}
        self._store = Store(remote)
        self._jobs: deque[_Job] = deque()
        self._watchers: set[Watcher] = set()
        self._ending = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="store")
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Begin; returns when the store's content is there, or raises a StoreError."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._store.until_connected, START_S)
        self._take(self._store.run())
        self._thread.start()

    async def stop(self) -> None:
        self._ending = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self._store.close()
        os.close(self._wake)

    async def change(self, decide: Decide, unread: Unread = NOTHING_UNREAD) -> Changed:
        """As `Store.change`."""
        if not self._thread.is_alive():
            raise StoreError("the server's work on the store has ended; its log tells why")
        before: dict[Ident, Resource | None] = {}

        def noting(held: Index) -> Step:
            step = decide(held)
            before.clear()
            for ident in (*((r.KIND, r.name) for r in step.put), *step.remove):
                before[ident] = held.get(ident)
            return step

        job = _Job(noting, unread, before, self._loop.create_future())
        self._jobs.append(job)
        os.eventfd_write(self._wake, 1)
        return await job.done

    async def watch(self) -> AsyncIterator[Told]:
        """What is held now, as a step, and then each step."""
        watcher: Watcher = asyncio.Queue()
        self._watchers.add(watcher)
        try:
            yield Told(Step(list(self.held.values()), []), {})
            while (told := await watcher.get()) is not None:
                yield told
        finally:
            self._watchers.discard(watcher)

    def end_watching(self) -> None:
        """Let every `watch` end."""
        while self._watchers:
            self._watchers.pop().put_nowait(None)

    # In the thread.

    def _serve(self) -> None:
        try:
            self._store.index  # noqa: B018 (made now, the first change need not wait for it)
            while not self._ending:
                self._tell()
                while self._jobs:
                    self._do(self._jobs.popleft())
                self._store.wait(1.0, self._wake)
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
        finally:
            for job in self._jobs:
                self._finish(job, StoreError("the server ends"))

    def _do(self, job: _Job) -> None:
        try:
            result: Changed | Exception = Changed(
                self._store.change(job.decide, CHANGE_S, job.unread), job.before
            )
        except Exception as error:  # whatever it is, it is the caller's
            result = error
        self._tell()
        self._finish(job, result)

    def _tell(self) -> None:
        step = self._store.run()
        if step is not None:
            self._loop.call_soon_threadsafe(self._take, step)

    def _finish(self, job: _Job, result: Changed | Exception) -> None:
        self._loop.call_soon_threadsafe(_answer, job.done, result)

    # In the event loop.

    def _take(self, step: Step | None) -> None:
        if step is None:
            return
        idents = (*((r.KIND, r.name) for r in step.put), *step.remove)
        told = Told(step, {ident: self.held.get(ident) for ident in idents})
        for ident in step.remove:
            self.held.pop(ident, None)
        self.held.update({(resource.KIND, resource.name): resource for resource in step.put})
        for watcher in list(self._watchers):
            watcher.put_nowait(told)
            if watcher.qsize() > WATCHED_STEPS:
                self._watchers.discard(watcher)
                watcher.put_nowait(None)


def _answer(done: asyncio.Future[Changed], result: Changed | Exception) -> None:
    if done.done():  # nobody waits any more
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
