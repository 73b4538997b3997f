"""The agent for `ryu-manager`, with a topology of its own instead of a store, and no OVSDB.

Ryu, the bulk socket, the core and the engine are the agent's; what drives the local switch's
database, the uplinks and the store has nothing to do here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import workloads

from onehop.controller.agent import app, events
from onehop.controller.agent.config import Settings
from onehop.controller.agent.core import Core
from onehop.controller.agent.inspection import Inspection
from onehop.controller.agent.runtime import Runtime
from onehop.engine.model import Resource


def rows() -> list[Resource]:
    return workloads.keyed(workloads.stateful(workloads.MACHINES))


class Nobody:
    """Takes every order."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


class Alone(Runtime):
    """The runtime without drivers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.core = Core(settings, now_ns=time.monotonic_ns())
        self.connection = None
        self._peers = None
        self._inspection = Inspection(self.core, self._send, self.status, time.monotonic_ns)
        self._store = self._uplinks = self._monitors = Nobody()  # type: ignore[assignment]
        self.tell(events.StoreStep(put=rows()))

    def loops(self) -> Iterable[Callable[[], None]]:
        return (lambda: self._forever("time", self._turn_time),)

    def tell(self, event: events.Event) -> None:
        super().tell(event)
        if isinstance(event, events.SwitchUp):
            devices = frozenset(port.device for port in event.ports)
            super().tell(events.SwitchSettled(devices))

    def _reconcile(self, *args: object, **kwargs: object) -> None:
        pass


app.Runtime = Alone  # type: ignore[misc]


class BenchAgent(app.Agent):
    """What `ryu-manager` finds here."""

    __module__ = __name__
