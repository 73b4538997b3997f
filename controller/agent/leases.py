"""Which blocks of source ports this host leases: enough before they are needed.

It must not know the store, the clock, or what a packet is.

1. A block counts when the store shows it as this host's; what was asked for and went to another
   host is asked for no more, and another block instead.
2. Of each pool a host has `BLOCKS` blocks at least, as soon as it has a port where packets come
   in, and more before half of its ports translate connections to one remote end: no packet waits
   for the store. (To another remote end, a port is used again.)
3. A block that no connection has a port of is given back when its pool is stated no longer, or
   when the host has more than it needs.
4. Hosts begin to look for blocks at different places, so that they seldom want the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from ipaddress import ip_address

from onehop.controller.agent.desired import Snapshot, local_ports
from onehop.controller.agent.rows import Rows
from onehop.engine.model import NatBlock, Resource
from onehop.engine.model.pools import LeasePool, lease_pools
from onehop.engine.states import States
from onehop.engine.usage import PortUse

BLOCK_PORTS = 256
BLOCKS = 2  # of each pool, at the least
ASK_NS = 5_000_000_000  # so long an unanswered question stands
PARTS = 8  # that the table is looked at in
PART_SLOTS = 1 << 14  # at the least


class Leases:
    """What one host leases."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._pools: list[LeasePool] = []
        self._asked: dict[str, int] = {}  # block -> when
        self._use: PortUse | None = None  # that is being looked at

    def restate(self, snapshot: Snapshot) -> None:
        """The stated topology has changed."""
        every = [row for rows in snapshot.values() for row in rows.values()]
        self._pools = lease_pools(every) if local_ports(self._host, snapshot) else []

    def due(self, snapshot: Snapshot, states: States, now_ns: int) -> Rows:
        """What to lease, and what to give back, by the connections that there are.

        Every call looks at a part of them; only that of the last part has an answer.
        """
        taken = _blocks(snapshot)
        self._asked = {
            name: then
            for name, then in self._asked.items()
            if name not in taken and now_ns - then < ASK_NS
        }
        own = [b for _, b in sorted(taken.items()) if b.host == self._host]
        if self._use is None or self._use.names != [block.name for block in own]:
            self._use = PortUse(states, [self._counted(block) for block in own])
        if not self._use.look(max(PART_SLOTS, states.slots // PARTS), now_ns):
            return Rows([], [])
        use, self._use = self._use, None
        return self._decide(own, taken, use, now_ns)

    def _decide(
        self, own: list[NatBlock], taken: Mapping[str, NatBlock], use: PortUse, now_ns: int
    ) -> Rows:
        put: list[Resource] = []
        keep = use.used()
        for number, pool in enumerate(self._pools):
            mine = [block for block in own if _is_of(block, pool)]
            wanted = max(BLOCKS, 1 + -(-2 * use.peaks.get(number, 0) // BLOCK_PORTS))
            keep |= {block.name for block in mine[:wanted]}
            coming = sum(_is_of(block, pool) for block in self._pending())
            put += self._lease(pool, taken, wanted - len(mine) - coming, now_ns)
        gone = [(NatBlock.KIND, block.name) for block in own if block.name not in keep]
        return Rows(put, gone)

    def _counted(self, block: NatBlock) -> tuple[str, str, int, int, int]:
        """A block, and the pool that its connections count for; those of none, for one of none."""
        pools = (n for n, pool in enumerate(self._pools) if _is_of(block, pool))
        pool = next(pools, len(self._pools))
        return block.name, block.address, block.first_port, block.n_ports, pool

    def _pending(self) -> Iterator[NatBlock]:
        for name in self._asked:
            address, first = name.split(" ")
            yield NatBlock(host=self._host, address=address, first_port=int(first), n_ports=1)

    def _lease(
        self, pool: LeasePool, taken: Mapping[str, NatBlock], count: int, now_ns: int
    ) -> list[NatBlock]:
        found: list[NatBlock] = []
        for block in self._candidates(pool) if count > 0 else ():
            if block.name not in taken and block.name not in self._asked:
                self._asked[block.name] = now_ns
                found.append(block)
            if len(found) == count:
                break
        return found

    def _candidates(self, pool: LeasePool) -> Iterator[NatBlock]:
        """Every block of the pool once, from where this host begins."""
        firsts = range(pool.first_port, pool.last_port + 1, BLOCK_PORTS)
        total = len(firsts) * min(pool.n_addresses, 1 << 16)
        begin = int.from_bytes(blake2b(f"{self._host} {pool}".encode()).digest()[:8], "big")
        for number in range(total):
            which, place = divmod((begin + number) % total, len(firsts))
            first = firsts[place]
            n_ports = min(BLOCK_PORTS, pool.last_port - first + 1)
            address = pool.address(which)
            yield NatBlock(host=self._host, address=address, first_port=first, n_ports=n_ports)


def _blocks(snapshot: Snapshot) -> dict[str, NatBlock]:
    rows = snapshot.get(NatBlock.KIND, {})
    return {name: row for name, row in rows.items() if isinstance(row, NatBlock)}


def _is_of(block: NatBlock, pool: LeasePool) -> bool:
    address = _number(block.address)
    inside = _number(pool.first_address) <= address <= _number(pool.last_address)
    return inside and pool.first_port <= block.first_port <= pool.last_port


def _number(address: str) -> tuple[int, int]:
    packed = ip_address(address)
    return packed.version, int(packed)
