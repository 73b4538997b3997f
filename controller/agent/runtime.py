"""The effects of an agent: carries out what the core decides, and tells it what happened.

It must not know Ryu: a connection to the switch is something with `send`.

1. Every event goes through `tell`, which carries out the commands before it returns; as green
   threads take turns only where they wait, events and their commands never mingle.
2. A driver that fails is logged and tried again; forwarding goes on.
3. The garbage collector leaves alone what is there to stay, the code and what was loaded: to look
   through 1000 ports' objects stalled packets for 45 ms. Without a reference they are freed still.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import IO, Protocol, assert_never

from onehop.controller.agent import (
    events,
    metrics,
    monitors,
    switch,
    tunnels,
    underlay,
    uplinks,
)
from onehop.controller.agent.answering import Answering, path_of
from onehop.controller.agent.checker import Answer
from onehop.controller.agent.config import Settings
from onehop.controller.agent.core import Core
from onehop.controller.agent.desired import Desired
from onehop.controller.agent.inspection import Inspection
from onehop.controller.agent.memory import open_memory
from onehop.controller.agent.peer_frames import NONCE_BYTES
from onehop.controller.agent.peer_tls import peer_contexts
from onehop.controller.agent.peers import Peers
from onehop.controller.agent.question_guard import Guard
from onehop.controller.store.client import Store
from onehop.engine.model import LearnedRoute
from onehop.engine.states import bytes_for

TICK_S = 0.1
MEASURE_S = 30.0  # an underlay changes seldom
LOAD = 1000  # resources in one step
IDLE_S = 1.0  # how long a driver waits for something to do

log = logging.getLogger("onehop.agent")


class Connection(Protocol):
    """The way to the switch."""

    def send(self, data: bytes) -> bool: ...


class Runtime:
    """The agent of one host, with everything that it drives."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = _only_one(settings)
        memory = open_memory(settings.run_dir, settings.host, bytes_for(settings.state_entries))
        self.core = Core(settings, memory, now_ns=time.monotonic_ns())
        self.connection: Connection | None = None
        self._store = Store(settings.store, pause=lambda: time.sleep(0))
        self._switch = switch.Switch(
            settings.ovsdb, datapath=settings.datapath, controller=f"tcp:{settings.listen}"
        )
        self._uplinks = uplinks.Uplinks(settings.host, settings.run_dir, self._routes)
        self._monitors = monitors.Monitors(settings.host, settings.run_dir, self._judged)
        self._peers = self._channel(settings)
        self._inspection = Inspection(
            self.core, self._send, self.status, time.monotonic_ns, self._uplinks.sessions
        )
        self._answering = Answering(
            path_of(settings.questions_folder, settings.host),
            self._inspection.answers,
            self.core.counters,
        )
        self._reconciled: Desired | None = None
        self._told_settled: frozenset[str] | None = None

    def loops(self) -> Iterable[Callable[[], None]]:
        """What is to run, each in a green thread of its own."""
        gc.freeze()
        return (
            lambda: self._forever("state channel", self._turn_peers),
            lambda: self._forever("store", self._turn_store),
            lambda: self._forever("switch", self._turn_switch),
            lambda: self._forever("underlay", self._turn_underlay),
            lambda: self._forever("time", self._turn_time),
            lambda: self._forever("questions", self._answering.serve),
            *self._questions_tcp(),
            self._serve_metrics,
        )

    def tell(self, event: events.Event) -> None:
        """Something has happened."""
        self._carry_out(self.core.handle(event, time.monotonic_ns()))
        if isinstance(event, events.StoreStep) and len(event.put) >= LOAD:
            gc.freeze()

    def take(self, data: memoryview) -> tuple[int, list[bytes]]:
        """Bytes have come from the switch; how many were messages, and the slow ones."""
        if self._peers:
            self._peers.hear()  # what these packets answer to may have been told there
        self._inspection.watching.look(data)
        taken = self.core.receive(data, time.monotonic_ns())
        self._carry_out(taken.commands)
        return taken.consumed, [m for m in taken.slow if not self._inspection.reader.take(m)]

    def status(self) -> metrics.Status:
        """How the agent is."""
        channel = self._peers.status() if self._peers else metrics.OFF
        return self.core.status(self._uplinks.status(), channel, self._monitors.status())

    def _send(self, data: bytes) -> bool:
        return self.connection is not None and self.connection.send(data)

    def _carry_out(self, commands: Iterable[events.Command]) -> None:
        for command in commands:
            match command:
                case events.Send():
                    self._send(command.data)
                case events.TellState():
                    if self._peers:
                        self._peers.send(command.host, command.message)
                case events.WantState():
                    if self._peers:
                        self._peers.want(command.addresses)
                case events.PutState():
                    self._store.put(command.resources)
                case events.RemoveState():
                    for kind, name in command.names:
                        self._store.remove(kind, [name])
                case events.Reconcile():
                    self._reconcile(command.desired, serving=command.serving)
                case events.Announce():
                    self._uplinks.announce(command.announcing)
                case events.Carrier():
                    self._uplinks.carrier(command.port, command.up)
                case events.Watch():
                    self._monitors.reconcile(command.monitors)
                case events.Log():
                    log.info("%s", command.text)
                case _:
                    assert_never(command)

    def _reconcile(self, desired: Desired, *, serving: bool | None) -> None:
        self._reconciled, self._told_settled = desired, None
        ports = [
            *tunnels.ports(desired, serving=serving),
            *switch.ports(desired),
            *uplinks.ports(desired),
        ]
        self._switch.reconcile(ports)
        self._uplinks.reconcile(desired.uplinks)
        if self._peers:
            others = {peer.host: peer.address for peer in desired.peers}
            self._peers.reconcile(desired.tunnel_address, others)

    def _routes(self, port: str, routes: frozenset[LearnedRoute]) -> None:
        self.tell(events.RoutesLearned(port, routes))

    def _judged(self, answer: Answer) -> None:
        self.tell(events.MemberJudged(answer.member, answer.healthy, answer.reason))

    def _channel(self, settings: Settings) -> Peers | None:
        token = settings.peer_token()
        if not token:
            log.warning("state channel %s", metrics.OFF.state)
            return None
        return Peers(
            settings.host,
            token,
            known=lambda addresses: self.core.known(time.monotonic_ns(), addresses),
            came=lambda host, messages: self.tell(events.StateCame(host, messages)),
            fetched=lambda: self.tell(events.StateFetched()),
            listen=settings.peer_address,
            tls=peer_contexts(settings),
        )

    # The loops

    def _forever(self, what: str, turn: Callable[[], None]) -> None:
        while True:
            try:
                turn()
            except Exception:
                log.exception("%s: trying again", what)
                time.sleep(IDLE_S)

    def _questions_tcp(self) -> Iterable[Callable[[], None]]:
        address, tls = self.settings.questions_address, peer_contexts(self.settings)
        if address:
            token, context = self.settings.peer_token(), tls.accepter if tls else None
            answer = self._answering.serve_tcp
            yield lambda: self._forever(
                "questions over TCP",
                lambda: answer(
                    address, lambda: Guard("agent", token, os.urandom(NONCE_BYTES), context)
                ),
            )

    def _turn_store(self) -> None:
        step = self._store.run()
        if self._store.connected is not self.core.store_connected:
            self.tell(events.StoreLink(self._store.connected))
        if step is not None or (self._store.synced and not self.core.synced):
            self.tell(events.StoreStep(*(step or ())))
        self._store.wait(IDLE_S)

    def _turn_peers(self) -> None:
        if self._peers:
            self._peers.turn(IDLE_S)
        else:
            time.sleep(IDLE_S)

    def _turn_switch(self) -> None:
        self._switch.run()
        if self._reconciled and self._switch.settled:
            devices = frozenset(s.device for s in self._switch.ports.values() if s.ofport)
            if devices != self._told_settled:
                self._told_settled = devices
                self.tell(events.SwitchSettled(devices))
        self._switch.wait(IDLE_S)

    def _turn_underlay(self) -> None:
        mtu = underlay.mtu_of(self._reconciled.tunnel_address) if self._reconciled else None
        if mtu is not None:
            self.tell(events.UnderlayMeasured(mtu))
        time.sleep(IDLE_S if mtu is None else MEASURE_S)

    def _turn_time(self) -> None:
        self.tell(events.Tick(time.time()))
        time.sleep(TICK_S)

    def _serve_metrics(self) -> None:
        metrics.server(self.settings.metrics_address, self.status).serve_forever()


def _only_one(settings: Settings) -> IO[str]:
    """Hold the host's lock as long as this process lives."""
    directory = pathlib.Path(settings.run_dir)
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / f"agent-{settings.host}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RuntimeError(f"host {settings.host!r}: an agent is already running") from None
    return lock
