"""Which installed flow covers a packet: one hash for each mask in use."""

from onehop.engine.cdefs cimport NONE, uint64_t
from onehop.engine.flows cimport WORDS, Flow, bucket_of, flows_hang, hash_masked, present_bit


cdef uint32_t flows_cover(Flows* flows, const FlowKey* key, FlowKey* consulted) noexcept nogil:
    cdef uint32_t mask, at
    cdef uint64_t hash_, bit
    if flows.faded > flows.n_buckets:
        flows_hang(flows)
    for mask in range(flows.n_masks):
        if flows.mask_flows[mask] == 0:
            continue
        add_mask(consulted, &flows.masks[mask])
        hash_ = hash_masked(flows, key, mask)
        bit = present_bit(flows, hash_)
        if not flows.present[bit >> 6] >> (bit & 63) & 1:
            continue
        at = flows.buckets[bucket_of(flows, hash_)]
        while at and not covers(flows, &flows.slots[at - 1], key, mask):
            at = flows.slots[at - 1].next
        if at:
            return at - 1
    return NONE


cdef inline void add_mask(FlowKey* consulted, const FlowKey* mask) noexcept nogil:
    cdef uint64_t* to = <uint64_t*>consulted
    cdef const uint64_t* bits = <const uint64_t*>mask
    cdef uint32_t i
    for i in range(WORDS):
        to[i] |= bits[i]


cdef inline bint covers(
    const Flows* flows, const Flow* slot, const FlowKey* key, uint32_t mask,
) noexcept nogil:
    cdef const uint64_t* own = <const uint64_t*>&slot.key
    cdef const uint64_t* words = <const uint64_t*>key
    cdef const uint64_t* seen = <const uint64_t*>&flows.masks[mask]
    cdef uint64_t differs = slot.mask ^ mask
    cdef uint32_t i
    for i in range(WORDS):
        differs |= own[i] ^ (words[i] & seen[i])
    return differs == 0
