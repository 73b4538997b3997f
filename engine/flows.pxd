"""What is installed in the switch: by match, by cookie, by tag.

1. At most one flow has a given match (mask, masked key): OVS would replace the other.
2. A cookie names a slot and how often it was taken before, so a late statistic about an
   earlier flow in the slot is nobody's.
3. Memory is bounded: `max_flows` flows, MAX_MASKS masks.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport nsec_t, tag_t, uint8_t, uint32_t, uint64_t
from onehop.engine.index cimport Index
from onehop.engine.packet cimport FlowKey
from onehop.engine.paths cimport Paths
from onehop.engine.tagged cimport Tagged

cdef enum:
    MAX_MASKS = 4096
    WORDS = sizeof(FlowKey) // 8
    HASHED_WORDS = WORDS + 1      # a key's, and its mask's index

cdef struct Flow:
    FlowKey key            # masked
    uint64_t packets       # when last counted
    nsec_t used_at         # when it was installed, or last found to have carried packets
    nsec_t counted_at
    uint8_t* actions
    uint32_t action_bytes
    uint32_t mask          # index into Flows.masks
    uint32_t ofport        # what the match says of in_port
    uint32_t turn          # how often the slot was taken
    uint32_t in_use
    uint32_t free_before   # of a free slot: those beside it
    uint32_t free_after
    uint32_t tag_links     # of its own tags

cdef struct Flows:
    Flow* slots
    uint32_t room          # slots that were ever taken, or passed over
    uint32_t room_slots    # those that there is memory for
    uint32_t max_flows
    uint32_t count
    uint32_t free          # the first free slot; NONE: grow
    uint32_t last_mask     # of the last flow that was noted
    Index index            # slots + 1 by the hash of their match
    uint64_t factors[HASHED_WORDS]  # of the hash, from the seed
    FlowKey* masks
    uint32_t n_masks
    uint32_t* mask_places  # 2 * MAX_MASKS, open addressing; 0: free, else index + 1
    Tagged tagged          # each flow's own tags
    Paths paths            # those that flows of connections have in common

# --- hashes

cdef inline uint64_t hash_key(
    const Flows* flows, const FlowKey* key, uint32_t mask,
) noexcept nogil:
    """Multilinear (Lemire, Kaser, 2014): no step waits for another; the high bits are the good."""
    cdef const uint64_t* words = <const uint64_t*>key
    cdef uint64_t sum_ = mask * flows.factors[WORDS]
    cdef uint32_t i
    for i in range(WORDS):
        sum_ += words[i] * flows.factors[i]
    return sum_

# --- flows

cdef int flows_init(Flows* flows, uint32_t max_flows, uint64_t seed) except -1
cdef void flows_clear(Flows* flows) noexcept nogil   # then init again

# The flow with this (normalised) match; NONE: there is none.
cdef uint32_t flows_find(
    const Flows* flows, const FlowKey* key, const FlowKey* mask,
) noexcept nogil

# Note a flow that is not there yet. cookie 0: a new one; else the one that it has in the switch.
# NONE: no room, or the cookie is not of our making or is taken.
cdef uint32_t flows_add(
    Flows* flows, const FlowKey* key, const FlowKey* mask, uint32_t ofport, uint64_t cookie,
    nsec_t now,
) except? 0xfffffffe nogil
# Give it its actions and tags, instead of those that it had.
cdef int flows_set(
    Flows* flows, uint32_t flow, const uint8_t* actions, uint32_t action_bytes,
    const tag_t* tags, uint32_t n_tags,
) except -1 nogil
# Append the flows with this tag to `found`, as uint32_t; whether there is one.
cdef int flows_tagged(const Flows* flows, tag_t tag, Buffer* found) except -1 nogil
cdef bint flows_have_tag(const Flows* flows, tag_t tag) noexcept nogil
cdef void flows_remove(Flows* flows, uint32_t flow) noexcept nogil

cdef uint64_t flows_cookie(const Flows* flows, uint32_t flow) noexcept nogil
cdef uint32_t flows_by_cookie(const Flows* flows, uint64_t cookie) noexcept nogil
