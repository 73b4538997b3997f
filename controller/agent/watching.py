"""Who watches the packets that come to the agent, and what they are told.

1. Nothing is looked at while nobody watches.
2. Of what comes at once `LOOKED_AT` packets are looked at, and a watcher has `WAITING` told to him
   that he has not taken: what is more is counted as missed, and forwarding goes on.
3. The verdict is what the engine says before it has seen the packet.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from eventlet.queue import Empty, Full, LightQueue

from onehop.controller import questions as ask
from onehop.controller.agent import messages, statics
from onehop.controller.agent.core import Core
from onehop.engine.packet import parse_key
from onehop.engine.simulate import Simulator

LOOKED_AT = 128
WAITING = 1024
WATCHERS = 8
QUIET_S = 1.0


class _Watcher:
    """One who watches."""

    def __init__(self, question: ask.Watch) -> None:
        self.port, self.missed = question.port, 0
        self.queue = LightQueue(WAITING)
        self._fields = {
            name: ip_network(str(value)) if _is_address(name) else value
            for name, value in question.fields.items()
        }

    def wants(self, port: str, key: dict[str, int | str]) -> bool:
        return self.port in ("", port) and all(
            _agrees(key.get(name), value) for name, value in self._fields.items()
        )


class Watching:
    """The watchers of this host."""

    def __init__(self, core: Core, now_ns: Callable[[], int]) -> None:
        self._core, self._now_ns = core, now_ns
        self._watchers: list[_Watcher] = []

    def seen(self, question: ask.Watch) -> Iterator[ask.Answer]:
        """What comes in from now on."""
        if len(self._watchers) >= WATCHERS:
            raise ValueError(f"{WATCHERS} watch already")
        watcher = _Watcher(question)
        self._watchers.append(watcher)
        try:
            while True:
                try:
                    yield watcher.queue.get(timeout=QUIET_S)
                except Empty:
                    yield ask.Waiting()  # or nobody would notice that he has hung up
        finally:
            self._watchers.remove(watcher)

    def look(self, data: messages.Bytes) -> None:
        """The switch has sent this, which has not been answered yet."""
        if not self._watchers:
            return
        numbers = statics.numbers(self._core.state, self._core.ports)
        ports = {number: port for port, number in numbers.items()}
        came = (messages.packet_in(m) for m in messages.split(data) if messages.is_packet_in(m))
        for at, (number, packet) in enumerate(came):
            if at >= LOOKED_AT:
                self._miss()
            elif number in ports:
                self._look_at(packet, ports[number])

    def _look_at(self, packet: bytes, port: str) -> None:
        try:
            key = parse_key(packet)
        except ValueError:
            return
        wanting = [watcher for watcher in self._watchers if watcher.wants(port, key)]
        if wanting:
            said = self._said(packet, port)
        for watcher in wanting:
            try:
                watcher.queue.put_nowait(said(watcher.missed))
                watcher.missed = 0
            except Full:
                watcher.missed += 1

    def _said(self, packet: bytes, port: str) -> Callable[[int], ask.Seen]:
        core = self._core
        simulator = Simulator(core.topology, seed=core.settings.seed, states=core.packets.states)
        verdict = simulator.simulate(packet, port, self._now_ns())
        return lambda missed: ask.Seen(
            clock_s=time.time(),
            port=port,
            packet=packet,
            kind=verdict.kind,
            reason=verdict.reason,
            outputs=tuple(output.port for output in verdict.outputs),
            missed=missed,
        )

    def _miss(self) -> None:
        for watcher in self._watchers:
            watcher.missed += 1


def _is_address(name: str) -> bool:
    return name in ("ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst")


def _agrees(there: int | str | None, wanted: object) -> bool:
    with contextlib.suppress(TypeError, ValueError):
        return there == wanted or ip_address(there) in wanted  # type: ignore[arg-type,operator]
    return False
