"""Packets through a topology, one after another, on a virtual clock.

1. The engine's walk and nothing else: no network, no store, no agent, no real time.
2. What one packet teaches the network, later packets find.
3. A packet that waits for its next hop's MAC goes on as soon as somebody tells it, and is given
   up `WAIT_S` later, as an agent would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from onehop.controller.cli.packets import Timed
from onehop.engine import model
from onehop.engine.effects import NeighborLearned, NeighborWanted
from onehop.engine.explain import Verdict
from onehop.engine.model.pools import lease_pools
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

WAIT_S = 3.0  # three requests, one a second
NS_PER_S = 1_000_000_000
MOST_ADDRESSES = 256  # of a pool that are used here

Event = Literal["sent", "went on", "was given up", "is malformed"]


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to one packet."""

    number: int  # of the packet in its file, from 1
    at_s: float
    in_port: str
    packet: bytes
    event: Event
    verdict: Verdict | None  # None: the packet is malformed
    malformed: str = ""  # why


class Waiting(NamedTuple):
    """A packet that is held until its next hop's MAC is known."""

    number: int
    sent: Timed
    wanted: NeighborWanted
    until_s: float


class Player:
    """Sends packets through a topology; `waiting` holds those that are still under way."""

    def __init__(self, topology: model.Topology) -> None:
        compiled = Topology()
        resources = list(model.assign_keys(topology))
        compiled.update([*resources, *_blocks(resources)])
        self._simulator = Simulator(compiled)
        self.waiting: list[Waiting] = []

    def play(self, packets: Iterable[Timed]) -> Iterator[Step]:
        """Everything that happens, in the order in which it happens."""
        for number, sent in enumerate(packets, 1):
            yield from self._give_up(sent.at_s)
            yield from self._walk(number, sent, "sent")

    def _walk(self, number: int, sent: Timed, event: Event) -> Iterator[Step]:
        at_s, in_port, data = sent
        try:
            verdict = self._simulator.simulate(data, in_port, round(at_s * NS_PER_S))
        except ValueError as error:
            yield Step(number, at_s, in_port, data, "is malformed", None, str(error))
            return
        yield Step(number, at_s, in_port, data, event, verdict)
        self._simulator.apply(verdict, round(at_s * NS_PER_S))
        if verdict.awaited is not None:
            self.waiting.append(Waiting(number, sent, verdict.awaited, at_s + WAIT_S))
        for found in verdict.learned:
            if isinstance(found, NeighborLearned):
                yield from self._resume(found, at_s)

    def _resume(self, met: NeighborLearned, now_s: float) -> Iterator[Step]:
        for held in self._take(
            lambda w: (w.wanted.port, w.wanted.address) == (met.port, met.address)
        ):
            yield from self._walk(held.number, held.sent._replace(at_s=now_s), "went on")

    def _give_up(self, now_s: float) -> Iterator[Step]:
        for held in self._take(lambda w: w.until_s <= now_s):
            _, in_port, data = held.sent
            now_ns = round(held.until_s * NS_PER_S)
            verdict = self._simulator.unreachable(data, in_port, now_ns)
            yield Step(held.number, held.until_s, in_port, data, "was given up", verdict)

    def _take(self, wanted: Callable[[Waiting], bool]) -> list[Waiting]:
        taken = [held for held in self.waiting if wanted(held)]
        self.waiting = [held for held in self.waiting if held not in taken]
        return taken


def _blocks(resources: list[model.Resource]) -> Iterator[model.NatBlock]:
    """Source ports for every host, as if it had leased its share of each pool."""
    hosts = [row.name for row in resources if isinstance(row, model.Host)]
    for pool in lease_pools(resources):
        n_ports = (pool.last_port - pool.first_port + 1) // max(len(hosts), 1)
        for number, host in enumerate(hosts if n_ports else ()):
            for which in range(min(pool.n_addresses, MOST_ADDRESSES)):
                yield model.NatBlock(
                    host=host,
                    address=pool.address(which),
                    first_port=pool.first_port + number * n_ports,
                    n_ports=n_ports,
                )
