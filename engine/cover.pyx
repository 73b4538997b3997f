"""Which installed flow covers a packet: one hash for each mask in use."""

from onehop.engine.buffer cimport prefetch
from onehop.engine.cdefs cimport NONE, uint64_t
from onehop.engine.flows cimport (
    WORDS, Flow, bucket_of, flows_hang, hash_masked, present_bits, present_word,
)

cdef enum:
    BATCH = 16             # keys whose flows' memory is on its way at the same time

cdef struct Probe:
    uint64_t hash
    uint32_t mask          # the first that may have a flow; NONE: none has


cdef uint32_t flows_cover(Flows* flows, const FlowKey* key, FlowKey* consulted) noexcept nogil:
    cdef Probe probe
    if flows.faded > flows.n_buckets:
        flows_hang(flows)
    probe.mask = 0
    look(flows, key, consulted, &probe)
    return settle(flows, key, consulted, &probe)


cdef void flows_cover_many(
    Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found, FlowKey* consulted,
) noexcept nogil:
    cdef uint32_t begin = 0
    if flows.faded > flows.n_buckets:
        flows_hang(flows)
    while begin < n:
        cover_batch(flows, keys + begin, min(n - begin, <uint32_t>BATCH), found + begin,
                    consulted + begin)
        begin += BATCH


cdef void cover_batch(
    const Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found, FlowKey* consulted,
) noexcept nogil:
    cdef Probe[BATCH] probes
    cdef uint32_t i, at
    for i in range(n):
        probes[i].mask = 0
        look(flows, keys + i, consulted + i, &probes[i])
        prefetch(&flows.buckets[bucket_of(flows, probes[i].hash)])
    for i in range(n):
        at = flows.buckets[bucket_of(flows, probes[i].hash)]
        if at:
            prefetch(&flows.slots[at - 1].key)
            prefetch(&flows.slots[at - 1].mask)
    for i in range(n):
        found[i] = settle(flows, keys + i, consulted + i, &probes[i])


cdef void look(
    const Flows* flows, const FlowKey* key, FlowKey* consulted, Probe* probe,
) noexcept nogil:
    """From probe.mask on: the next that may have a flow."""
    cdef uint32_t mask
    for mask in range(probe.mask, flows.n_masks):
        if flows.mask_flows[mask] == 0:
            continue
        add_mask(consulted, &flows.masks[mask])
        probe.hash = hash_masked(flows, key, mask)
        if ~present_word(flows, probe.hash)[0] & present_bits(probe.hash):
            continue
        probe.mask = mask
        return
    probe.mask = NONE
    probe.hash = 0


cdef uint32_t settle(
    const Flows* flows, const FlowKey* key, FlowKey* consulted, Probe* probe,
) noexcept nogil:
    """The flow that the probe is near, or one further on."""
    cdef uint32_t at
    while probe.mask != NONE:
        at = flows.buckets[bucket_of(flows, probe.hash)]
        while at and not covers(flows, &flows.slots[at - 1], key, probe.mask):
            at = flows.slots[at - 1].next
        if at:
            return at - 1
        probe.mask += 1
        look(flows, key, consulted, probe)
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
