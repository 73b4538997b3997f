"""What is installed in the switch: an index by match.

A slot's index is the low half of its flow's cookie, so cookies lead to flows without a search;
after a restart the flows found in the switch get the slots that their cookies name.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from onehop.engine.buffer cimport grow, let_go
from onehop.engine.cdefs cimport MAX_TAGS, NONE
from onehop.engine.index cimport (
    Place, index_clear, index_first, index_grow, index_next, index_put, index_remove,
)
from onehop.engine.known cimport mix
from onehop.engine.paths cimport paths_clear, paths_find, paths_have, paths_join, paths_leave
from onehop.engine.state cimport is_state_tag
from onehop.engine.tagged cimport (
    tagged_add, tagged_clear, tagged_find, tagged_has, tagged_remove,
)

cdef enum:
    TURN_MASK = 0x3fffffff         # a cookie's bits 32..61
    DYNAMIC_CLASS = 2              # its bits 62..63


cdef int flows_init(Flows* flows, uint32_t max_flows, uint64_t seed) except -1:
    cdef uint32_t at
    memset(flows, 0, sizeof(Flows))
    flows.max_flows = max_flows
    for at in range(HASHED_WORDS):
        flows.factors[at] = mix(seed, at + 1) | 1
    flows.free = NONE
    flows.masks = <FlowKey*>calloc(MAX_MASKS, sizeof(FlowKey))
    flows.mask_places = <uint32_t*>calloc(2 * MAX_MASKS, sizeof(uint32_t))
    if flows.masks == NULL or flows.mask_places == NULL:
        raise MemoryError
    return index_grow(&flows.index, 1)


cdef void flows_clear(Flows* flows) noexcept nogil:
    cdef uint32_t at
    for at in range(flows.room):
        free(flows.slots[at].actions)
    let_go(flows.slots, flows.room_slots, sizeof(Flow))
    index_clear(&flows.index)
    free(flows.masks)
    free(flows.mask_places)
    tagged_clear(&flows.tagged)
    paths_clear(&flows.paths)
    memset(flows, 0, sizeof(Flows))


# --- by match

cdef uint32_t flows_find(
    const Flows* flows, const FlowKey* key, const FlowKey* mask,
) noexcept nogil:
    cdef uint32_t which = mask_known(flows, mask)
    cdef const Place* place
    if which == NONE:
        return NONE
    place = index_first(&flows.index, hash_key(flows, key, which))
    while place.number and not is_of(&flows.slots[place.number - 1], key, which):
        place = index_next(&flows.index, place)
    return place.number - 1 if place.number else <uint32_t>NONE


cdef inline bint is_of(const Flow* slot, const FlowKey* key, uint32_t mask) noexcept nogil:
    return slot.mask == mask and memcmp(&slot.key, key, sizeof(FlowKey)) == 0


cdef uint32_t mask_known(const Flows* flows, const FlowKey* mask) noexcept nogil:
    """Its index; NONE: no flow had it yet. Mostly it is that of the flow before."""
    cdef uint32_t which
    if memcmp(&flows.masks[flows.last_mask], mask, sizeof(FlowKey)) == 0 and flows.n_masks:
        return flows.last_mask
    which = flows.mask_places[mask_place(flows, mask)]
    return which - 1 if which else <uint32_t>NONE


cdef uint32_t mask_place(const Flows* flows, const FlowKey* mask) noexcept nogil:
    """Where the mask stands in mask_places, or would."""
    cdef uint32_t place = <uint32_t>((hash_key(flows, mask, 0) >> 32) * (2 * MAX_MASKS) >> 32)
    while flows.mask_places[place] and memcmp(
        &flows.masks[flows.mask_places[place] - 1], mask, sizeof(FlowKey)
    ) != 0:
        place = (place + 1) & (2 * MAX_MASKS - 1)
    return place


cdef uint32_t mask_index(Flows* flows, const FlowKey* mask) noexcept nogil:
    """The mask's index, NONE where there are too many."""
    cdef uint32_t which = mask_known(flows, mask)
    if which != NONE:
        return which
    if flows.n_masks == MAX_MASKS:
        return NONE
    flows.masks[flows.n_masks] = mask[0]
    flows.n_masks += 1
    flows.mask_places[mask_place(flows, mask)] = flows.n_masks
    return flows.n_masks - 1


# --- to come and to go

cdef uint32_t flows_add(
    Flows* flows, const FlowKey* key, const FlowKey* mask, uint32_t ofport, uint64_t cookie,
    nsec_t now,
) except? 0xfffffffe nogil:
    cdef uint32_t at
    cdef uint32_t which = mask_index(flows, mask)
    if which == NONE or flows.count >= flows.max_flows:
        return NONE
    at = free_slot(flows, cookie)
    if at == NONE:
        return NONE
    index_grow(&flows.index, 1)
    occupy(flows, at)
    flows.slots[at].key = key[0]
    flows.slots[at].mask = flows.last_mask = which
    flows.slots[at].ofport = ofport
    if cookie:
        flows.slots[at].turn = cookie >> 32 & TURN_MASK
    flows.slots[at].packets = 0
    flows.slots[at].used_at = flows.slots[at].counted_at = now
    index_put(&flows.index, hash_key(flows, key, which), at + 1)
    return at


cdef int flows_set(
    Flows* flows, uint32_t flow, const uint8_t* actions, uint32_t action_bytes,
    const tag_t* tags, uint32_t n_tags,
) except -1 nogil:
    cdef Flow* slot = &flows.slots[flow]
    cdef uint8_t* copy = <uint8_t*>malloc(action_bytes + 1)
    if copy == NULL:
        with gil:
            raise MemoryError
    if action_bytes:
        memcpy(copy, actions, action_bytes)
    free(slot.actions)
    slot.actions = copy
    slot.action_bytes = action_bytes
    drop_tags(flows, flow)
    return set_tags(flows, flow, tags, n_tags)


cdef int set_tags(
    Flows* flows, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except -1 nogil:
    """Those of connections are the flow's own; the others it has in common with many."""
    cdef tag_t[MAX_TAGS] own, shared
    cdef uint32_t i
    cdef uint32_t n_own = 0, n_shared = 0
    for i in range(n_tags):
        if is_state_tag(tags[i]):
            own[n_own] = tags[i]
            n_own += 1
        else:
            shared[n_shared] = tags[i]
            n_shared += 1
    if n_own == 0:
        flows.slots[flow].tag_links = tagged_add(&flows.tagged, flow, tags, n_tags)
        return 0
    flows.slots[flow].tag_links = tagged_add(&flows.tagged, flow, own, n_own)
    return paths_join(&flows.paths, flow, shared, n_shared)


cdef void drop_tags(Flows* flows, uint32_t flow) noexcept nogil:
    tagged_remove(&flows.tagged, flows.slots[flow].tag_links)
    flows.slots[flow].tag_links = 0
    paths_leave(&flows.paths, flow)


cdef int flows_tagged(const Flows* flows, tag_t tag, Buffer* found) except -1 nogil:
    tagged_find(&flows.tagged, tag, found)
    return 0 if is_state_tag(tag) else paths_find(&flows.paths, tag, found)


cdef bint flows_have_tag(const Flows* flows, tag_t tag) noexcept nogil:
    return tagged_has(&flows.tagged, tag) or paths_have(&flows.paths, tag)


cdef void flows_remove(Flows* flows, uint32_t flow) noexcept nogil:
    cdef Flow* slot = &flows.slots[flow]
    index_remove(&flows.index, hash_key(flows, &slot.key, slot.mask), flow + 1)
    drop_tags(flows, flow)
    free(slot.actions)
    slot.actions = NULL
    slot.action_bytes = slot.in_use = 0
    slot.turn = (slot.turn + 1) & TURN_MASK
    flows.count -= 1
    make_free(flows, flow)


cdef uint32_t free_slot(Flows* flows, uint64_t cookie) except? 0xfffffffe nogil:
    cdef uint32_t at = <uint32_t>cookie
    if cookie == 0:
        if flows.free == NONE:
            make_room(flows, flows.room + 1)
        return flows.free
    if cookie >> 62 != DYNAMIC_CLASS or at >= 2 * flows.max_flows:
        return NONE
    if at >= flows.room:
        make_room(flows, at + 1)
    return NONE if flows.slots[at].in_use else at


cdef int make_room(Flows* flows, uint32_t needed) except -1 nogil:
    cdef uint32_t at
    grow(<void**>&flows.slots, &flows.room_slots, needed, sizeof(Flow))
    for at in range(flows.room, needed):
        make_free(flows, at)
    flows.room = needed
    return 0


cdef inline void make_free(Flows* flows, uint32_t at) noexcept nogil:
    flows.slots[at].free_before = NONE
    flows.slots[at].free_after = flows.free
    if flows.free != NONE:
        flows.slots[flows.free].free_before = at
    flows.free = at


cdef inline void occupy(Flows* flows, uint32_t at) noexcept nogil:
    cdef Flow* slot = &flows.slots[at]
    if slot.free_after != NONE:
        flows.slots[slot.free_after].free_before = slot.free_before
    if slot.free_before != NONE:
        flows.slots[slot.free_before].free_after = slot.free_after
    else:
        flows.free = slot.free_after
    slot.in_use = 1
    flows.count += 1


# --- by cookie

cdef uint64_t flows_cookie(const Flows* flows, uint32_t flow) noexcept nogil:
    return (
        <uint64_t>DYNAMIC_CLASS << 62 | <uint64_t>flows.slots[flow].turn << 32 | flow
    )


cdef uint32_t flows_by_cookie(const Flows* flows, uint64_t cookie) noexcept nogil:
    cdef uint32_t at = <uint32_t>cookie
    if at >= flows.room or not flows.slots[at].in_use or flows_cookie(flows, at) != cookie:
        return NONE
    return at
