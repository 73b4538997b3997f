"""The network as it is and as it would be, beside the live one: the engine over what is held.

1. Everything here is a copy: connections are put into tables of our own, nothing is sent.
2. Each host's packets meet that host's table; those of a host that has not answered meet all that
   the others remember.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from onehop.controller.plan.links import Links
from onehop.engine.model import Resource
from onehop.engine.rehearsal import (
    PROBE,
    Array,
    HeldFlows,
    Rehearsed,
    held_flows,
    rehearse,
    review,
)
from onehop.engine.simulate import Simulator
from onehop.engine.states import States
from onehop.engine.topology import Topology

Held = Mapping[tuple[str, str], Resource]
NOW_NS = 1
LEAST_ENTRIES = 1024
ENTRY_BYTES = 40  # of a message, at the least


class Live(NamedTuple):
    """What an agent says of its host."""

    host: str
    numbers: Mapping[str, int]  # OVS's number of each virtual port
    flows: Sequence[bytes]  # the matches (OXM) of what is installed
    states: Sequence[bytes]  # messages for `States.merge`
    seed: int = 0
    peers: Mapping[str, bool] = MappingProxyType({})  # whether it can reach those that it watches


class Scene:
    """One topology that can be changed, and what every host remembers."""

    def __init__(self, held: Held, live: Sequence[Live]) -> None:
        self.links = Links(held)
        self.seed = live[0].seed if live else 0
        self.topology = Topology()
        self.topology.update(held.values())
        self.names = self.topology.names
        for host in _dead(live):
            self.topology.set_host_alive(host, False)
        self.hosts = [one.host for one in live]
        everything = [message for one in live for message in one.states]
        self.tables = [_table(one.states) for one in live]
        self.tables.append(_table(everything))  # of the silent hosts
        self._places = {host: place for place, host in enumerate(self.hosts)}
        self.flows = [self._held_flows(one) for one in live]

    def table_of(self, host: str) -> int:
        """The place of the table that packets which come in at `host` meet."""
        return self._places.get(host, len(self.hosts))

    def host_of(self, index: int) -> str:
        return self.names.hosts[index] if index < len(self.names.hosts) else ""

    def records(self) -> Array:
        """What anybody remembers."""
        return self.tables[-1].records(NOW_NS)

    def rehearse(self, probes: Array) -> Rehearsed:
        places = [self.table_of(host) for host in self.names.hosts]
        return rehearse(
            self.topology,
            self.tables,
            np.array(places, np.uint32),
            probes,
            now_ns=NOW_NS,
            seed=self.seed,
        )

    def review(self, place: int) -> Rehearsed:
        """Look at the flows of a host that has answered again."""
        flows, table = self.flows[place], self.tables[place]
        return review(self.topology, table, flows, now_ns=NOW_NS, seed=self.seed)

    def simulator(self, table: int) -> Simulator:
        return Simulator(self.topology, seed=self.seed, states=self.tables[table])

    def _held_flows(self, live: Live) -> HeldFlows:
        numbers = [(number, self.names.port_index(p)) for p, number in live.numbers.items()]
        return held_flows(live.flows, numbers)


def _dead(live: Sequence[Live]) -> list[str]:
    """The hosts that nobody can reach who watches them."""
    reached = {host for one in live for host, usable in one.peers.items() if usable}
    watched = {host for one in live for host in one.peers}
    return sorted(watched - reached)


def probes_of(rows: list[bytes]) -> Array:
    return np.frombuffer(b"".join(rows), PROBE)


def _table(messages: Sequence[bytes]) -> States:
    size = sum(map(len, messages)) // ENTRY_BYTES
    table = States(max(LEAST_ENTRIES, 2 * size), now_ns=NOW_NS)
    for message in messages:
        table.merge(message, NOW_NS)
    return table
