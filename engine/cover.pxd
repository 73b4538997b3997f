"""Which installed flow covers a packet: tuple space search (Srinivasan, Suri, Varghese 1999).

1. All flows have one priority, and those that cover the same packet do the same with it: any of
   them is an answer.
2. What of the key told so is noted as a mask: every packet that is like it there has the answer.
3. That no flow of a mask covers a packet is mostly told by a bit of its hash, in memory that is
   near; flows that went leave theirs until there are as many as buckets.
4. Forwarding does not ask this: a switch looks up its own flows, and a packet that comes to the
   agent is walked whether a flow covers it or not, for the walk also renews its connection.
   `onehop trace` does not either: it goes by the flows that the switch holds, foreign ones and
   other priorities too. It stands as the engine's table of flows used as a library (`table.pyx`),
   held against Open vSwitch's classifier (`perf/bench_lookup.py`).
"""

from onehop.engine.cdefs cimport uint32_t
from onehop.engine.flows cimport Flows
from onehop.engine.packet cimport FlowKey

# NONE: there is none. What was looked at is added to `consulted`.
cdef uint32_t flows_cover(Flows* flows, const FlowKey* key, FlowKey* consulted) noexcept nogil
# The same for n keys, whose `consulted` are as many.
cdef void flows_cover_many(
    Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found, FlowKey* consulted,
) noexcept nogil
