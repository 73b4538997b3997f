"""Maglev hashing: which member of a pool has which share of the connections.

Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section
3.4; with weights, a member takes its turns in proportion to them.

1. The table follows from names and weights alone: it is the same on every host.
2. A member that goes leaves its slots to the others; few of theirs move.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

SLOTS = 4093  # a prime, so that every step visits every slot
NOBODY = 0xFFFF


def table(members: Sequence[tuple[str, int]]) -> list[int]:
    """The member (by its place) that has each slot, of (name, weight); empty without members.

    (1) Every member prefers the slots in an order of its own. (2) In turns, as often as its weight
    says, each takes the next free slot of its order, until all are taken.
    """
    if not members:
        return []
    orders = [_order(name) for name, _ in members]
    heaviest = max(weight for _, weight in members)
    credit = [0.0] * len(members)
    found = [NOBODY] * SLOTS
    left = SLOTS
    while True:
        for place, (_, weight) in enumerate(members):
            credit[place] += weight / heaviest
            if credit[place] < 1:
                continue
            credit[place] -= 1
            at, step = orders[place]
            while found[at] != NOBODY:
                at = (at + step) % SLOTS
            found[at] = place
            orders[place] = (at + step) % SLOTS, step
            left -= 1
            if not left:
                return found


def _order(name: str) -> tuple[int, int]:
    """The first slot, and the step to the next one."""
    digest = blake2b(name.encode(), digest_size=16).digest()
    first = int.from_bytes(digest[:8], "little") % SLOTS
    return first, 1 + int.from_bytes(digest[8:], "little") % (SLOTS - 1)
