"""What the agent answers to questions: from its own live engine, changing nothing.

It must not know sockets.

1. An answer is made in pieces (`PIECE` flows), and whoever sends them lets others have their turn
   between two: forwarding never waits for longer than one takes.
2. A packet is simulated by the walk, which is pure, on the topology and the connections that the
   hot path uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, assert_never

import msgspec

from onehop.controller import questions as ask
from onehop.controller.agent import audit, statics
from onehop.controller.agent.core import Core, Phase
from onehop.controller.agent.desired import TUNNEL_DEVICE
from onehop.controller.agent.held import Reader, Wish
from onehop.controller.agent.metrics import Status
from onehop.controller.agent.watching import Watching
from onehop.engine import openflow
from onehop.engine.explain import Verdict
from onehop.engine.inspect import Installed
from onehop.engine.limits import ETHERNET_BYTES, mark_of
from onehop.engine.simulate import Simulator

PIECE = 128  # flows: 2 to 3 ms


class RefusedError(ValueError):
    """What was asked has no answer here; says why."""


class Inspection:
    """The agent of this host, as one can ask it."""

    def __init__(
        self,
        core: Core,
        send: Callable[[bytes], bool],
        status: Callable[[], Status],
        now_ns: Callable[[], int],
        sessions: Callable[[], Iterable[ask.Session]] = tuple,
    ) -> None:
        self._core, self._status, self._now_ns = core, status, now_ns
        self._sessions = sessions
        self.reader = Reader(send)
        self.watching = Watching(core, now_ns)

    def answers(self, question: ask.Question) -> Iterator[ask.Answer]:
        """All but the last frame; a RefusedError or SwitchSilentError says why no more come."""
        match question:
            case ask.Status():
                yield self._about()
            case ask.Flows():
                yield from self._flows(question)
            case ask.Held():
                wishes = [Wish(match=self._in_port(question.port))]
                yield from self._raw(wishes)
            case ask.Audit():
                self._must_be_live()
                yield from audit.audit(self._core, self.reader, self._now_ns)
            case ask.Connections():
                for piece in self._core.known(self._now_ns(), question.addresses):
                    yield ask.Raw(piece)
            case ask.Simulate():
                yield from self._simulate(question)
            case ask.Sessions():
                yield ask.SessionsAre(tuple(self._sessions()))
            case ask.Watch():
                yield from self.watching.seen(question)
            case _:
                assert_never(question)

    def _about(self) -> ask.About:
        core = self._core
        tunnel = core.ports.get(TUNNEL_DEVICE)
        return ask.About(
            status=self._status(),
            seed=core.settings.seed,
            numbers=self._numbers,
            devices={
                name: ask.Device(port.number, port.link_up, port.live)
                for name, port in sorted(core.ports.items())
            },
            tunnel=tunnel.number if tunnel else 0,
            now_ns=self._now_ns(),
            limits=core.topology.limits,
        )

    @property
    def _numbers(self) -> dict[str, int]:
        return statics.numbers(self._core.state, self._core.ports)

    # Flows

    def _flows(self, question: ask.Flows) -> Iterator[ask.Answer]:
        datapath = self._core.packets.datapath
        numbered = openflow.static_match(self._in_port(question.port))
        places: Sequence[int] = question.cookies or range(datapath.room)
        for at in range(0, len(places), PIECE):
            now_ns = self._now_ns()
            found = datapath.installed(places[at : at + PIECE], now_ns)
            yield ask.FlowsAre(
                tuple(
                    _flow(flow, now_ns, tags=question.tags)
                    for flow in found
                    if flow.match.startswith(numbered)
                    if not question.cookies or flow.cookie in question.cookies
                )
            )

    def _in_port(self, port: str) -> dict[str, int | str]:
        """The match on packets from `port`; none: on any."""
        if not port:
            return {}
        number = self._numbers.get(port)
        if number is None:
            raise RefusedError(f"port {port!r} is not plugged in at {self._core.settings.host}")
        return {"in_port": number}

    def _raw(self, wishes: Sequence[Wish]) -> Iterator[ask.Answer]:
        with self.reader.asked(wishes) as replies:
            for message in replies:
                yield ask.Raw(message)

    # One packet

    def _simulate(self, question: ask.Simulate) -> Iterator[ask.Answer]:
        self._must_be_live()
        core, now_ns = self._core, self._now_ns()
        port, packet = question.port, question.packet
        if port not in core.topology.names.ports:
            raise RefusedError(f"port {port!r} is not known at {core.settings.host}")
        simulator = Simulator(core.topology, seed=core.settings.seed, states=core.packets.states)
        try:
            verdict = self._with_states(simulator.simulate(packet, port, now_ns), now_ns)
        except ValueError as error:
            raise RefusedError(f"the packet: {error}") from None
        found = ask.simulated(
            verdict, core.topology.names.of_tag, **self._proposed(packet, port, now_ns)
        )
        if not question.held:
            yield found
            return
        wishes = [
            Wish(openflow.DYNAMIC, openflow.CLASS_MASK, self._in_port(port)),
            Wish(openflow.STATIC, openflow.CLASS_MASK),
            *audit.FOREIGN,
        ]
        with self.reader.asked(wishes) as replies:  # in the moment of the simulation
            yield found
            for message in replies:
                yield ask.Raw(message)

    def _with_states(self, verdict: Verdict, now_ns: int) -> Verdict:
        """The verdict, where what it has met says all that is known of it."""
        states = self._core.packets.states
        known = [states.find(entry, now_ns) or entry for entry in verdict.used]
        return msgspec.structs.replace(verdict, used=tuple(known))

    def _proposed(self, packet: bytes, port: str, now_ns: int) -> dict[str, Any]:
        core = self._core
        made = core.packets.datapath.proposed(packet, port, now_ns)
        return {
            "table": made.table,
            "match": made.match,
            "would": made.instructions,
            "cookie": made.cookie,
            "number": self._numbers.get(port, 0),
            "reg0": _reg0(core.topology.limits, len(packet)),
        }

    def _must_be_live(self) -> None:
        phase = self._core.phase
        if phase is not Phase.LIVE:
            raise RefusedError(f"the agent is not live yet: {phase.value}")


def _flow(found: Installed, now_ns: int, *, tags: bool) -> ask.Flow:
    return ask.Flow(
        cookie=found.cookie,
        table=found.table,
        priority=found.priority,
        match=found.match,
        noted=found.noted,
        would=found.would,
        packets=found.packets,
        idle_s=(now_ns - found.used_ns) / 1e9,
        tags=found.tags if tags else (),
    )


def _reg0(limits: tuple[int, ...], frame_bytes: int) -> int:
    """What the switch notes of a packet's length (see `lengths`)."""
    bits = sum(1 << i for i, most in enumerate(limits) if frame_bytes > most + ETHERNET_BYTES)
    return mark_of(limits) << 16 | bits if limits else 0
