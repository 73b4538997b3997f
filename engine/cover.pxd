"""Which installed flow covers a packet: tuple space search in two stages.

Tuple space search (Srinivasan, Suri, Varghese 1999) hashes a packet once for each mask in use.

Masks that show the same bits of the port and of both addresses are a *group*. For what a packet
has there, a group's hints tell which of its masks may have a flow that covers it: only these are
tried, mostly one.

1. All flows have one priority, and those that cover the same packet do the same with it: any of
   them is an answer.
2. What of the key told so is noted as a mask: every packet that is like it there has the answer.
   Where no hint shows a mask, that is the port and the addresses only.
3. A hint is a bit of a word: the hash of port and addresses chooses the word, and how far its bits
   are turned. Masks and flows may have one in common: it says that a flow may be there, no more.
4. Flows that went leave their hints until as many went as are there; then all are made anew.
5. Forwarding does not ask this: a switch looks up its own flows, and a packet that comes to the
   agent is walked whether a flow covers it or not, for the walk also renews its connection.
   `onehop trace` does not either: it goes by the flows that the switch holds, foreign ones and
   other priorities too. It stands as the engine's table of flows used as a library (`table.pyx`),
   held against Open vSwitch's classifier (`perf/bench_lookup.py`).
"""

from onehop.engine.cdefs cimport uint8_t, uint32_t, uint64_t
from onehop.engine.flows cimport Flows
from onehop.engine.packet cimport FlowKey

cdef enum:
    HINTS = 64             # bits of a word of hints

cdef struct Group:
    FlowKey where          # the bits of port and addresses that its masks show
    uint32_t n_flows
    uint32_t n_masks
    uint64_t hints         # those that its masks have
    uint32_t first[HINTS]  # by hint: one of its masks; NONE: none

cdef struct Cover:
    Group* groups
    uint32_t n_groups
    uint32_t room_groups
    uint32_t* group_of     # by mask: its group; NONE: none yet
    uint32_t* next_of      # another mask of the group with the same hint; NONE: no more
    uint8_t* hint_of
    uint64_t* hints        # a power of two of words
    uint32_t n_hints
    uint32_t faded         # flows that went since the hints were made

cdef int cover_init(Cover* cover) except -1
cdef void cover_clear(Cover* cover) noexcept nogil
# The flow has just been added, or removed: its slot still says of which mask it was.
cdef int cover_add(Cover* cover, const Flows* flows, uint32_t flow) except -1
cdef void cover_remove(Cover* cover, const Flows* flows, uint32_t flow) noexcept nogil
# For n keys: a flow that covers each, NONE: there is none. What was looked at is added to each
# one's `consulted`.
cdef void cover_find(
    const Cover* cover, const Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found,
    FlowKey* consulted,
) noexcept nogil
