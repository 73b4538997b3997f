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

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from ipaddress import ip_address

import numpy as np
import numpy.typing as npt

from onehop.controller.agent.desired import Snapshot, local_ports
from onehop.controller.agent.rows import Rows
from onehop.engine.model import NatBlock, Resource
from onehop.engine.model.pools import LeasePool, lease_pools
from onehop.engine.states import KINDS

BLOCK_PORTS = 256
BLOCKS = 2  # of each pool, at the least
ASK_NS = 5_000_000_000  # so long an unanswered question stands

Records = npt.NDArray[np.void]  # of states.RECORD

SNAT = KINDS.index("snat")


class Use:
    """Which ports translate connections now."""

    def __init__(self, records: Records) -> None:
        self._records = records[records["kind"] == SNAT]

    def of(self, block: NatBlock) -> npt.NDArray[np.bool_]:
        """The connections that have a port of the block, as a mask."""
        padded = ip_address(block.address).packed.ljust(16, b"\0")
        address = np.frombuffer(padded, np.uint8)
        ports = self._records["port"]
        last = block.first_port + block.n_ports - 1
        inside = (ports >= block.first_port) & (ports <= last)
        found: npt.NDArray[np.bool_] = inside & (self._records["address"] == address).all(axis=1)
        return found

    def peak(self, blocks: Iterable[NatBlock]) -> int:
        """How many of these ports the busiest remote end has."""
        there = np.zeros(len(self._records), bool)
        for block in blocks:
            there |= self.of(block)
        rows = self._records[there]
        if not len(rows):
            return 0
        columns = (rows["destination"], rows["destination_port"], rows["protocol"])
        remotes = np.column_stack(columns)
        return int(np.unique(remotes, axis=0, return_counts=True)[1].max())


class Leases:
    """What one host leases."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._pools: list[LeasePool] = []
        self._asked: dict[str, int] = {}  # block -> when

    def restate(self, snapshot: Snapshot) -> None:
        """The stated topology has changed."""
        every = [row for rows in snapshot.values() for row in rows.values()]
        self._pools = lease_pools(every) if local_ports(self._host, snapshot) else []

    def due(self, snapshot: Snapshot, records: Records, now_ns: int) -> Rows:
        """What to lease, and what to give back, by the connections that there are."""
        taken = _blocks(snapshot)
        self._asked = {
            name: then
            for name, then in self._asked.items()
            if name not in taken and now_ns - then < ASK_NS
        }
        own = [b for _, b in sorted(taken.items()) if b.host == self._host]
        use = Use(records)
        put: list[Resource] = []
        keep = {block.name for block in own if use.of(block).any()}
        for pool in self._pools:
            mine = [block for block in own if _is_of(block, pool)]
            wanted = max(BLOCKS, 1 + -(-2 * use.peak(mine) // BLOCK_PORTS))
            keep |= {block.name for block in mine[:wanted]}
            coming = sum(_is_of(block, pool) for block in self._pending())
            put += self._lease(pool, taken, wanted - len(mine) - coming, now_ns)
        gone = [(NatBlock.KIND, block.name) for block in own if block.name not in keep]
        return Rows(put, gone)

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
