"""Maglev hashing: which member of a pool has which share of the connections.

Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section
3.4; with weights, a member takes its turns in proportion to them.

1. The table follows from what is stated alone: it is the same on every host.
2. A member that goes leaves its slots to the others; of theirs, at most 1 % of the table moves.
   The size follows from all members of the pool, so that it stays whoever is healthy.
"""

from hashlib import blake2b

import numpy
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.known cimport mix
from onehop.engine.state cimport StateEntry, state_tag

# Primes, so that every step visits every slot. The more members, the more slots move, and the
# fewer of a larger table (measured: 0.8 % of the one with 20, 0.9 % of the other with 180).
SIZES = ((20, 16381), (65535, 65521))

cdef enum:
    NOBODY = 0xffff

cdef struct Turn:          # of one member
    uint32_t at            # the slot that it wants next
    uint32_t step
    double weight          # the heaviest has 1
    double credit


def table(members, n_stated=0):
    if not members:
        return []
    n_slots = next(slots for most, slots in SIZES if max(len(members), n_stated) <= most)
    cdef uint16_t* found = <uint16_t*>calloc(n_slots, sizeof(uint16_t))
    cdef Turn* turns = <Turn*>calloc(len(members), sizeof(Turn))
    cdef uint32_t i
    try:
        if found == NULL or turns == NULL:
            raise MemoryError
        heaviest = max(weight for _, weight in members)
        for i, (name, weight) in enumerate(members):
            turns[i].at, turns[i].step = order(name, n_slots)
            turns[i].weight = weight / heaviest
        share_out(found, n_slots, turns, <uint32_t>len(members))
        return [found[i] for i in range(n_slots)]
    finally:
        free(found)
        free(turns)


def order(name, n_slots):
    """The first slot, and the step to the next one."""
    digest = blake2b(name.encode(), digest_size=16).digest()
    first = int.from_bytes(digest[:8], "little") % n_slots
    return first, 1 + int.from_bytes(digest[8:], "little") % (n_slots - 1)


cdef void share_out(uint16_t* found, uint32_t n_slots, Turn* turns, uint32_t n) noexcept nogil:
    """(1) Every member prefers the slots in an order of its own. (2) In turns, as often as its
    weight says, each takes the next free slot of its order, until all are taken."""
    cdef uint32_t left = n_slots, i
    memset(<uint8_t*>found, 0xff, n_slots * sizeof(uint16_t))
    while left:
        for i in range(n):
            turns[i].credit += turns[i].weight
            if turns[i].credit >= 1 and left:
                turns[i].credit -= 1
                take(found, n_slots, &turns[i], <uint16_t>i)
                left -= 1


cdef void take(uint16_t* found, uint32_t n_slots, Turn* turn, uint16_t who) noexcept nogil:
    while found[turn.at] != NOBODY:
        turn.at = (turn.at + turn.step) % n_slots
    found[turn.at] = who
    turn.at = (turn.at + turn.step) % n_slots


def choose(shares, records, uint64_t seed=0):
    cdef const uint16_t[::1] slots = numpy.ascontiguousarray(shares, numpy.uint16)
    cdef const uint8_t[::1] view = records.view(numpy.uint8)
    cdef const StateEntry* entries = <const StateEntry*>&view[0]
    cdef uint64_t i, n = <uint64_t>view.shape[0] // sizeof(StateEntry)
    found = numpy.empty(n, numpy.uint16)
    cdef uint16_t[::1] out = found
    with nogil:
        for i in range(n):
            out[i] = slots[
                mix(state_tag(NULL, &entries[i].key), seed) % <uint64_t>slots.shape[0]]
    return found
