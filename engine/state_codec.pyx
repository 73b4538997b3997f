"""State entries <-> the messages in which hosts tell each other about them."""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.buffer cimport reserve, written
from onehop.engine.cdefs cimport tag_t, uint32_t
from onehop.engine.octets cimport get16, get32, get64, put16, put32, put64
from onehop.engine.state cimport (
    N_STATE_KINDS, N_TRACK_STATES, T_CLOSED, T_CLOSING, T_ESTABLISHED, T_HALF_OPEN, state_find,
    state_insert, state_remove, state_tag, state_timeout,
)

cdef enum:
    NS_PER_MS = 1_000_000
    MOST_MS = 0x7fffffff


# --- to write

cdef int message_add(
    Buffer* message, int operation, const StateEntry* entry, nsec_t now,
) except -1 nogil:
    cdef uint8_t[ITEM_MAX] item
    return message_append(message, item, item_write(item, operation, entry, now), 1)


cdef uint32_t item_write(
    uint8_t* at, int operation, const StateEntry* entry, nsec_t now,
) noexcept nogil:
    cdef uint32_t len_bytes = FIXED_BYTES + (3 * 4 if entry.key.family == 4 else 3 * 16)
    put16(at, len_bytes)
    put_fixed(at + 2, operation, entry, now)
    at += 2 + FIXED_BYTES
    if entry.key.family == 4:  # known lengths: moves, no calls
        memcpy(at, entry.key.src, 4)
        memcpy(at + 4, entry.key.dst, 4)
        memcpy(at + 8, entry.ip, 4)
    else:
        memcpy(at, entry.key.src, 16)
        memcpy(at + 16, entry.key.dst, 16)
        memcpy(at + 32, entry.ip, 16)
    return 2 + len_bytes


cdef int message_append(
    Buffer* message, const uint8_t* items, uint64_t len_bytes, uint32_t n_items,
) except -1 nogil:
    if message.len_bytes == 0:
        message_begin(message)
    memcpy(reserve(message, len_bytes), items, len_bytes)
    written(message, len_bytes)
    put32(message.data + 4, get32(message.data + 4) + n_items)
    return 0


cdef int message_begin(Buffer* message) except -1 nogil:
    cdef uint8_t* at = reserve(message, HEAD_BYTES)
    at[0], at[1], at[2], at[3] = c'o', c'h', MAJOR, MINOR
    put32(at + 4, 0)
    written(message, HEAD_BYTES)
    return 0


cdef void put_fixed(
    uint8_t* at, int operation, const StateEntry* entry, nsec_t now,
) noexcept nogil:
    at[0] = <uint8_t>operation
    at[1], at[2], at[3] = entry.key.kind, entry.key.proto, entry.key.family
    at[4], at[5] = entry.state, entry.flags
    put16(at + 6, entry.key.sport)
    put16(at + 8, entry.key.dport)
    put16(at + 10, entry.port)
    put32(at + 12, left_ms(entry, now))
    put32(at + 16, entry.extra)
    put64(at + 20, entry.key.zone)


cdef inline uint32_t left_ms(const StateEntry* entry, nsec_t now) noexcept nogil:
    cdef nsec_t left = entry.expires - now
    if left < 0:
        return 0
    left = left // <nsec_t>NS_PER_MS
    return MOST_MS if left > MOST_MS else <uint32_t>left


# --- to read

cdef bint message_merge(
    StateTable* table, const uint8_t* data, uint64_t len_bytes, nsec_t now, Buffer* tags,
) except? False nogil:
    cdef uint64_t at = HEAD_BYTES
    cdef uint32_t item_bytes, count
    cdef bint is_newer
    if len_bytes < HEAD_BYTES or memcmp(data, b"oh", 2) != 0 or data[2] != MAJOR:
        return refuse(table)
    is_newer = data[3] > MINOR
    count = get32(data + 4)
    while count and at + 2 <= len_bytes:
        item_bytes = get16(data + at)
        if at + 2 + item_bytes > len_bytes:
            break
        take_in(table, data + at + 2, item_bytes, is_newer, now, tags)
        at += 2 + item_bytes
        count -= 1
    return True if count == 0 and (at == len_bytes or is_newer) else refuse(table)


cdef inline bint refuse(StateTable* table) noexcept nogil:
    table.header.unreadable += 1
    return False


cdef int take_in(
    StateTable* table, const uint8_t* data, uint32_t len_bytes, bint is_newer, nsec_t now,
    Buffer* tags,
) except -1 nogil:
    cdef Item item
    cdef bint changed
    if not item_read(&item, data, len_bytes, is_newer):
        table.header.unreadable += not is_newer
        return 0
    if item.operation == ITEM_REMOVE:
        changed = state_remove(table, &item.entry.key)
    elif item.operation == ITEM_PUT:
        changed = merge(table, &item, now)
    else:
        return 0
    if changed:
        (<tag_t*>reserve(tags, sizeof(tag_t)))[0] = state_tag(table, &item.entry.key)
        written(tags, sizeof(tag_t))
    return 0


cdef bint item_read(
    Item* item, const uint8_t* at, uint32_t len_bytes, bint is_newer,
) noexcept nogil:
    cdef uint32_t address_bytes
    memset(item, 0, sizeof(Item))
    if len_bytes < FIXED_BYTES or (at[3] != 4 and at[3] != 6):
        return False
    address_bytes = 4 if at[3] == 4 else 16
    if len_bytes < FIXED_BYTES + 3 * address_bytes:
        return False
    read_fixed(item, at)
    at += FIXED_BYTES
    memcpy(item.entry.key.src, at, address_bytes)
    memcpy(item.entry.key.dst, at + address_bytes, address_bytes)
    memcpy(item.entry.ip, at + 2 * address_bytes, address_bytes)
    if is_newer and item.entry.state >= N_TRACK_STATES:
        item.entry.state = T_ESTABLISHED
    return (
        item.entry.key.kind > 0 and item.entry.key.kind < N_STATE_KINDS
        and item.entry.state > 0 and item.entry.state < N_TRACK_STATES
    )


cdef void read_fixed(Item* item, const uint8_t* at) noexcept nogil:
    item.operation = at[0]
    item.entry.key.kind, item.entry.key.proto, item.entry.key.family = at[1], at[2], at[3]
    item.entry.state, item.entry.flags = at[4], at[5]
    item.entry.key.sport = get16(at + 6)
    item.entry.key.dport = get16(at + 8)
    item.entry.port = get16(at + 10)
    item.left_ms = get32(at + 12)
    item.entry.extra = get32(at + 16)
    item.entry.key.zone = get64(at + 20)


cdef bint merge(StateTable* table, const Item* item, nsec_t now) noexcept nogil:
    """Whether that makes a difference to a packet."""
    cdef StateEntry entry = item.entry
    cdef const StateEntry* found = state_find(table, &entry.key, now)
    cdef StateEntry* put
    cdef nsec_t expires = now + <nsec_t>item.left_ms * NS_PER_MS
    cdef bint differs = found == NULL or differs_in_value(found, &entry)
    if found != NULL:
        expires = max(expires, found.expires)
        entry.state = later_state(found.state, entry.state)
    put = state_insert(table, &entry, now)
    if put == NULL:
        return False
    put.expires = min(expires, now + state_timeout(put))
    table.header.merged += 1
    return differs


cdef inline bint differs_in_value(const StateEntry* a, const StateEntry* b) noexcept nogil:
    return (
        a.port != b.port or a.flags != b.flags or a.extra != b.extra
        or memcmp(a.ip, b.ip, 16) != 0
    )


cdef inline uint8_t later_state(uint8_t ours, uint8_t theirs) noexcept nogil:
    """Of a connection that both have seen packets of; a new one may follow a closed one."""
    if theirs == T_HALF_OPEN and (ours == T_CLOSING or ours == T_CLOSED):
        return theirs
    return max(ours, theirs)
