"""The lengths that flows tell apart: the MTUs of router ports.

OpenFlow cannot match on a packet's length, but Open vSwitch can compare it and note the outcome in
a register.  Everybody makes the same list of the same topology, shortest first; bit i of a
packet's length class says that it is longer than limit i.

1. A list has a mark that other lists do not have (but for one case in 65 535), which stands beside
   the bits: a flow made for one list never meets a packet classed by another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

MAX_LIMITS = 16  # bits of a length class
ETHERNET_BYTES = 14  # a router's frames are untagged


def limits_of(mtus: Iterable[int]) -> tuple[int, ...]:
    """The MTUs that flows tell apart."""
    return tuple(sorted(set(mtus))[:MAX_LIMITS])


def mark_of(limits: tuple[int, ...]) -> int:
    """16 bits, never 0, that name a list."""
    digest = hashlib.blake2s(repr(limits).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 0xFFFF + 1
