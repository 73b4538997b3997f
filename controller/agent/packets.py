"""What packets need beyond the hot path: learning, waiting for MACs, routers, ageing.

1. The hot path has applied what it learned before it says so; here the store is told.
2. A packet that waited is simulated again as if it came in now.
3. What peers have told counts for packets that came before it, if they were stopped for want of
   it and have not waited longer than `PATIENCE_NS` and a tick.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from onehop.controller.agent.advertising import Advertising
from onehop.controller.agent.ageing import Ageing
from onehop.controller.agent.config import Settings
from onehop.controller.agent.desired import Snapshot
from onehop.controller.agent.events import Command, Log, PutState, Send, TellState
from onehop.controller.agent.messages import Bytes
from onehop.controller.agent.waiting import Waiting
from onehop.engine.datapath import Datapath, Received
from onehop.engine.effects import (
    Effect,
    MacLearned,
    NeighborLearned,
    NeighborWanted,
    PacketRefused,
)
from onehop.engine.model import LearnedMac, Neighbor, Resource
from onehop.engine.states import States
from onehop.engine.topology import Topology

Ident = tuple[str, str]

PATIENCE_NS = 50_000_000  # how long a packet waits for what peers may have to say of it
BUNDLE_FROM = 8  # flow-mods at once
NO_PORT = "no port left to translate to"


class Packets:
    """The hot path of one switch, and what it asks for."""

    def __init__(
        self, settings: Settings, topology: Topology, memory: object | None, now_ns: int
    ) -> None:
        self.states = States(
            settings.state_entries, buffer=memory, seed=settings.seed, now_ns=now_ns
        )
        self.datapath = Datapath(
            topology,
            host=settings.host,
            seed=settings.seed,
            states=self.states,
            patience_ns=PATIENCE_NS if settings.peer_token_file else 0,
            idle_ns=int(settings.idle_s * 1e9),
            bundle_from=BUNDLE_FROM,
        )
        self.waiting = Waiting()
        self.counters: Counter[str] = Counter()
        self._settings = settings
        self._topology = topology
        self._ageing = Ageing(settings.host)
        self._advertising = Advertising()
        self._commands: list[Command] = []

    def drain(self) -> list[Command]:
        """What is to be done, in its order."""
        commands, self._commands = self._commands, []
        return commands

    def order(self, command: Command) -> None:
        self._commands.append(command)

    def send(self, data: bytes) -> None:
        """Have this written, and told before it what came up for other hosts meanwhile."""
        self._tell(self.datapath.take_state())
        if data:
            self.order(Send(data))

    def receive(self, data: Bytes, now_ns: int) -> Received:
        """Answer what the switch sent."""
        got = self.datapath.receive(data, now_ns)
        self._absorb(got, now_ns)
        return got

    def invalidate(self, tags: list[int], now_ns: int) -> None:
        """Simulate again the flows that depended on what changed."""
        if tags:
            self.send(self.datapath.invalidate(tags, now_ns))

    def merge(self, messages: Iterable[bytes], now_ns: int, *, live: bool) -> None:
        """Other hosts told about connections; `live`: the switch's flows are known."""
        for message in messages:
            self.send(self.datapath.merge(message, now_ns, expects=live))
        self._reconsider(now_ns)

    def known(self, now_ns: int, addresses: Sequence[str]) -> Iterator[bytes]:
        """What is known of connections of these addresses, or of all, in pieces."""
        return self.states.messages(now_ns, addresses)

    def release(self, port: str, address: str, now_ns: int) -> None:
        """The MAC of a neighbor has become known."""
        for got in self._released(port, address, now_ns):
            self._absorb(got, now_ns)

    def tick(self, now_ns: int) -> None:
        """Ask again for MACs, give up packets, forget what is not used."""
        again, given_up = self.waiting.due(now_ns)
        for port, address in again:
            self._absorb(self.datapath.solicit(port, address, now_ns), now_ns)
        for packet, in_port in given_up:
            self._absorb(self.datapath.unreachable(packet, in_port, now_ns), now_ns)
        self._reconsider(now_ns)
        self.send(self.datapath.go_on(now_ns))

    def advertise(self, ports: Iterable[str], now_ns: int) -> None:
        """Tell the machines behind these ports of this host of their routers, when it is time."""
        for port in self._advertising.due(ports, now_ns):
            self._absorb(self.datapath.advertise(port, now_ns), now_ns)

    def forgotten(self, snapshot: Snapshot, now_ns: int) -> list[Ident]:
        """What this host has learned and nobody uses any more."""
        return self._ageing.sweep(snapshot, self._in_use, now_ns)

    def _absorb(self, got: Received, now_ns: int) -> None:
        """Send what the hot path answered, and do what it asked for."""
        todo = deque([got])
        while todo:
            got = todo.popleft()
            self._tell(got.state)  # before the packets that made it
            self.send(got.out)
            for effect in got.effects:
                todo.extend(self._effect(effect, now_ns))

    def _reconsider(self, now_ns: int) -> None:
        """Decide packets that were quicker than the state, or seemed to be."""
        self._absorb(self.datapath.reconsider(now_ns), now_ns)

    def _tell(self, state: Iterable[tuple[str, bytes]]) -> None:
        for host, message in state:
            self.order(TellState(host, message))

    def _effect(self, effect: Effect, now_ns: int) -> Iterable[Received]:
        match effect:
            case MacLearned():
                self.order(PutState([self._mac(effect)]))
            case NeighborLearned():
                self.order(PutState([self._neighbor(effect)]))
                return self._released(effect.port, effect.address, now_ns)
            case NeighborWanted():
                self.waiting.hold(effect, now_ns)
            case PacketRefused():
                self.counters[f"refused {effect.reason}"] += 1
                if effect.reason == NO_PORT:
                    self.order(Log(f"{effect.port}: a connection is refused: {NO_PORT}"))
            case _:
                assert_never(effect)
        return ()

    def _mac(self, learned: MacLearned) -> LearnedMac:
        return LearnedMac(
            host=self._settings.host,
            bridge=learned.bridge,
            port=learned.port,
            mac=learned.mac,
            vlan=learned.vlan,
        )

    def _neighbor(self, learned: NeighborLearned) -> Neighbor:
        return Neighbor(
            host=self._settings.host,
            port=learned.port,
            address=learned.address,
            mac=learned.mac,
        )

    def _released(self, port: str, address: str, now_ns: int) -> list[Received]:
        held = self.waiting.release(port, address)
        return [self.datapath.inject(packet, in_port, now_ns) for packet, in_port in held]

    def _in_use(self, row: Resource) -> bool:
        match row:
            case LearnedMac():
                tag = self._topology.mac_tag(row.bridge, row.vlan, row.mac)
            case Neighbor():
                tag = self._topology.neighbor_tag(row.port, row.address)
            case _:
                return True
        return self.datapath.uses(tag)
