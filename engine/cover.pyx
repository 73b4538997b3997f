"""Which installed flow covers a packet: hints by port and addresses, then a hash for each mask."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from onehop.engine.buffer cimport grow, let_go, prefetch
from onehop.engine.cdefs cimport NONE
from onehop.engine.flows cimport MAX_MASKS, WORDS, Flow
from onehop.engine.index cimport Place, index_first, index_next, index_prefetch

cdef extern from *:
    """
    #define lowest_bit(word) ((uint32_t)__builtin_ctzll(word))
    #define turned_left(word, n) ((word) << (n) | (word) >> (-(n) & 63))
    #define turned_right(word, n) ((word) >> (n) | (word) << (-(n) & 63))
    """
    uint32_t lowest_bit(uint64_t word) noexcept nogil
    uint64_t turned_left(uint64_t word, uint32_t n) noexcept nogil
    uint64_t turned_right(uint64_t word, uint32_t n) noexcept nogil

cdef enum:
    BATCH = 16             # keys whose memory is on its way at the same time
    FIRST_HINTS = 1024     # words
    ADDRESS_WORDS = 4      # of a key: both addresses come first
    PORT_WORD = 5          # the port, and what belongs to the second stage

cdef struct Probe:         # of one key, in one group
    uint32_t key           # its index
    uint32_t mask          # to be tried; NONE: no more
    uint64_t hints         # of masks that come later
    uint64_t addresses     # their part of the hash
    uint64_t hash          # of port and addresses; then of the key as the mask shows it


# --- flows come and go

cdef int cover_init(Cover* cover) except -1:
    memset(cover, 0, sizeof(Cover))
    cover.group_of = <uint32_t*>malloc(MAX_MASKS * sizeof(uint32_t))
    cover.next_of = <uint32_t*>malloc(MAX_MASKS * sizeof(uint32_t))
    cover.hint_of = <uint8_t*>malloc(MAX_MASKS)
    if cover.group_of == NULL or cover.next_of == NULL or cover.hint_of == NULL:
        raise MemoryError
    memset(cover.group_of, 0xff, MAX_MASKS * sizeof(uint32_t))
    grow(<void**>&cover.hints, &cover.n_hints, FIRST_HINTS, sizeof(uint64_t))
    return 0


cdef void cover_clear(Cover* cover) noexcept nogil:
    let_go(cover.groups, cover.room_groups, sizeof(Group))
    free(cover.group_of)
    free(cover.next_of)
    free(cover.hint_of)
    let_go(cover.hints, cover.n_hints, sizeof(uint64_t))
    memset(cover, 0, sizeof(Cover))


cdef int cover_add(Cover* cover, const Flows* flows, uint32_t flow) except -1:
    cdef const Flow* slot = &flows.slots[flow]
    if cover.group_of[slot.mask] == NONE:
        join_group(cover, flows, slot.mask)
    cover.groups[cover.group_of[slot.mask]].n_flows += 1
    if flows.count > cover.n_hints:
        grow(<void**>&cover.hints, &cover.n_hints, 2 * cover.n_hints, sizeof(uint64_t))
        hint_anew(cover, flows)
    hint(cover, flows, slot)
    return 0


cdef void cover_remove(Cover* cover, const Flows* flows, uint32_t flow) noexcept nogil:
    cover.groups[cover.group_of[flows.slots[flow].mask]].n_flows -= 1
    cover.faded += 1
    if cover.faded > flows.count:
        hint_anew(cover, flows)


cdef void hint_anew(Cover* cover, const Flows* flows) noexcept nogil:
    cdef uint32_t at
    memset(cover.hints, 0, cover.n_hints * sizeof(uint64_t))
    cover.faded = 0
    for at in range(flows.room):
        if flows.slots[at].in_use:
            hint(cover, flows, &flows.slots[at])


cdef void hint(Cover* cover, const Flows* flows, const Flow* slot) noexcept nogil:
    cdef Probe probe
    aim(cover, flows, cover.group_of[slot.mask], &slot.key, &probe)
    hints_at(cover, &probe)[0] |= turned_left(
        <uint64_t>1 << cover.hint_of[slot.mask], turn_of(&probe))


cdef int join_group(Cover* cover, const Flows* flows, uint32_t mask) except -1:
    cdef uint32_t at = group_with(cover, where_of(&flows.masks[mask]))
    cdef Group* group = &cover.groups[at]
    cdef uint32_t bit = group.n_masks % HINTS
    cover.group_of[mask] = at
    cover.hint_of[mask] = <uint8_t>bit
    cover.next_of[mask] = group.first[bit]
    group.first[bit] = mask
    group.hints |= <uint64_t>1 << bit
    group.n_masks += 1
    return 0


cdef FlowKey where_of(const FlowKey* mask) noexcept:
    cdef FlowKey where
    memset(&where, 0, sizeof(FlowKey))
    where.ip_src, where.ip_dst, where.in_port = mask.ip_src, mask.ip_dst, mask.in_port
    return where


cdef uint32_t group_with(Cover* cover, FlowKey where) except? NONE:
    cdef uint32_t at
    for at in range(cover.n_groups):
        if memcmp(&cover.groups[at].where, &where, sizeof(FlowKey)) == 0:
            return at
    at = cover.n_groups
    grow(<void**>&cover.groups, &cover.room_groups, at + 1, sizeof(Group))
    cover.groups[at].where = where
    memset(cover.groups[at].first, 0xff, sizeof(cover.groups[at].first))
    cover.n_groups += 1
    return at


# --- to find

cdef void cover_find(
    const Cover* cover, const Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found,
    FlowKey* consulted,
) noexcept nogil:
    cdef uint32_t begin = 0
    while begin < n:
        find_batch(cover, flows, keys + begin, min(n - begin, <uint32_t>BATCH), found + begin,
                   consulted + begin)
        begin += BATCH


cdef void find_batch(
    const Cover* cover, const Flows* flows, const FlowKey* keys, uint32_t n, uint32_t* found,
    FlowKey* consulted,
) noexcept nogil:
    """Group after group, with those keys that have no flow yet."""
    cdef Probe[BATCH] probes
    cdef uint32_t group, i
    cdef uint32_t n_open = n
    for i in range(n):
        probes[i].key = i
        found[i] = NONE
    for group in range(cover.n_groups):
        if n_open and cover.groups[group].n_flows:
            ask_group(cover, flows, group, keys, probes, n_open, consulted)
            n_open = settle(cover, flows, keys, probes, n_open, found, consulted)


cdef void ask_group(
    const Cover* cover, const Flows* flows, uint32_t group, const FlowKey* keys, Probe* probes,
    uint32_t n, FlowKey* consulted,
) noexcept nogil:
    """Have what the first mask to be tried needs on its way, step by step for all."""
    cdef uint32_t i, at
    for i in range(n):
        add_bits(&consulted[probes[i].key], &cover.groups[group].where)
        aim(cover, flows, group, &keys[probes[i].key], &probes[i])
        prefetch(hints_at(cover, &probes[i]))
    for i in range(n):
        probes[i].hints = cover.groups[group].hints & turned_right(
            hints_at(cover, &probes[i])[0], turn_of(&probes[i]))
        probes[i].mask = NONE
        if probes[i].hints:
            take_hint(&cover.groups[group], &probes[i])
            try_mask(flows, &keys[probes[i].key], &probes[i], &consulted[probes[i].key])
            index_prefetch(&flows.index, probes[i].hash)
    for i in range(n):
        at = index_first(&flows.index, probes[i].hash).number if probes[i].mask != NONE else 0
        if at:
            prefetch(&flows.slots[at - 1].key)
            prefetch(&flows.slots[at - 1].mask)


cdef uint32_t settle(
    const Cover* cover, const Flows* flows, const FlowKey* keys, Probe* probes, uint32_t n,
    uint32_t* found, FlowKey* consulted,
) noexcept nogil:
    """Try the masks; how many probes are left over, at the beginning."""
    cdef uint32_t i, key
    cdef uint32_t n_open = 0
    for i in range(n):
        key = probes[i].key
        while probes[i].mask != NONE and found[key] == NONE:
            found[key] = flow_at(flows, &keys[key], &probes[i])
            if found[key] == NONE:
                next_mask(cover, &probes[i])
                try_mask(flows, &keys[key], &probes[i], &consulted[key])
        if found[key] == NONE:
            probes[n_open].key = key
            n_open += 1
    return n_open


cdef inline void next_mask(const Cover* cover, Probe* probe) noexcept nogil:
    cdef const Group* group = &cover.groups[cover.group_of[probe.mask]]
    probe.mask = cover.next_of[probe.mask]
    if probe.mask == NONE and probe.hints:
        take_hint(group, probe)


cdef inline void take_hint(const Group* group, Probe* probe) noexcept nogil:
    probe.mask = group.first[lowest_bit(probe.hints)]
    probe.hints &= probe.hints - 1


# --- hashes: the flows' own (hash_key), in two parts

cdef inline void aim(
    const Cover* cover, const Flows* flows, uint32_t group, const FlowKey* key, Probe* probe,
) noexcept nogil:
    cdef const uint64_t* words = <const uint64_t*>key
    cdef const uint64_t* seen = <const uint64_t*>&cover.groups[group].where
    cdef uint32_t i
    probe.addresses = 0
    for i in range(ADDRESS_WORDS):
        probe.addresses += (words[i] & seen[i]) * flows.factors[i]
    probe.hash = probe.addresses + (words[PORT_WORD] & seen[PORT_WORD]) * flows.factors[PORT_WORD]
    probe.hash += group * flows.factors[WORDS]


cdef inline uint64_t* hints_at(const Cover* cover, const Probe* probe) noexcept nogil:
    return &cover.hints[(probe.hash >> 32) * cover.n_hints >> 32]


cdef inline uint32_t turn_of(const Probe* probe) noexcept nogil:
    """What others left in the word is mostly turned to where no mask has its hint."""
    return <uint32_t>(probe.hash >> 20) & (HINTS - 1)


cdef inline void try_mask(
    const Flows* flows, const FlowKey* key, Probe* probe, FlowKey* consulted,
) noexcept nogil:
    """That of the key as the mask shows it."""
    cdef const uint64_t* words = <const uint64_t*>key
    cdef const uint64_t* seen
    cdef uint32_t i
    if probe.mask == NONE:
        return
    seen = <const uint64_t*>&flows.masks[probe.mask]
    add_bits(consulted, &flows.masks[probe.mask])
    probe.hash = probe.addresses + probe.mask * flows.factors[WORDS]
    for i in range(ADDRESS_WORDS, WORDS):
        probe.hash += (words[i] & seen[i]) * flows.factors[i]


cdef inline void add_bits(FlowKey* consulted, const FlowKey* mask) noexcept nogil:
    cdef uint64_t* to = <uint64_t*>consulted
    cdef const uint64_t* bits = <const uint64_t*>mask
    cdef uint32_t i
    for i in range(WORDS):
        to[i] |= bits[i]


cdef inline uint32_t flow_at(
    const Flows* flows, const FlowKey* key, const Probe* probe,
) noexcept nogil:
    cdef const Place* place = index_first(&flows.index, probe.hash)
    while place.number and not covers(flows, &flows.slots[place.number - 1], key, probe.mask):
        place = index_next(&flows.index, place)
    return place.number - 1 if place.number else <uint32_t>NONE


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
