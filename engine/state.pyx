"""What a host remembers about connections: open addressing, linear probing, a hand that clears.

1. A removed entry leaves no gap: what was moved aside by it moves back.
2. Trackers are tables: state and event give the next state, protocol and state give the timeout.
"""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.buffer cimport prefetch, reserve, written
from onehop.engine.packet cimport IP_SCTP, IP_TCP

cdef extern from *:
    """
    static inline uint64_t folded(uint64_t a, uint64_t b)
    {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t folded(uint64_t a, uint64_t b) noexcept nogil  # both halves of the product

cdef enum:
    MAGIC = 0x6f6e65686f7073   # "onehops"
    TABLE_VERSION = 4
    SWEEP_NS = 2_000_000_000   # the hand's time around
    MAX_TURNS = 8              # to mend a table
    MIN_SLOTS = 4
    MAX_SLOTS = 0xffffffff     # a home is found by half a tag

cdef enum Event:               # what a tracker sees of a packet
    E_SYN_FORWARD = 0
    E_SYN_RETURN
    E_FIN
    E_RST
    E_FORWARD
    E_RETURN
    N_EVENTS

cdef enum Tracker:
    TRACK_TCP = 0
    TRACK_SCTP
    TRACK_OTHER
    N_TRACKERS

cdef int[N_TRACKERS * N_TRACK_STATES] TIMEOUT_S = [
    # none, half-open, established, closing, closed
    60, 60, 7440, 120, 10,     # TCP: RFC 5382 wants two hours and four minutes
    60, 60, 300, 60, 10,       # SCTP: its heartbeats come every 30 s
    60, 60, 60, 60, 60,        # UDP, ICMP, everything else
]

cdef uint8_t[N_TRACKERS * N_TRACK_STATES * N_EVENTS] NEXT_STATE = [
    # SYN forward, SYN return, FIN, RST, other forward, other return
    # TCP, by state
    T_HALF_OPEN, T_HALF_OPEN, T_CLOSING, T_CLOSED, T_ESTABLISHED, T_ESTABLISHED,
    T_HALF_OPEN, T_ESTABLISHED, T_CLOSING, T_CLOSED, T_ESTABLISHED, T_HALF_OPEN,
    T_ESTABLISHED, T_ESTABLISHED, T_CLOSING, T_CLOSED, T_ESTABLISHED, T_ESTABLISHED,
    T_HALF_OPEN, T_CLOSING, T_CLOSING, T_CLOSED, T_CLOSING, T_CLOSING,
    T_HALF_OPEN, T_CLOSED, T_CLOSED, T_CLOSED, T_CLOSED, T_CLOSED,
    # SCTP
    T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN,
    T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_HALF_OPEN, T_ESTABLISHED,
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
    T_CLOSING, T_CLOSING, T_CLOSING, T_CLOSING, T_CLOSING, T_CLOSING,
    T_CLOSED, T_CLOSED, T_CLOSED, T_CLOSED, T_CLOSED, T_CLOSED,
    # others
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
    T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED, T_ESTABLISHED,
]


# --- memory

cdef bint state_open(
    StateTable* table, uint8_t* memory, uint64_t len_bytes, uint64_t seed, nsec_t now,
) noexcept nogil:
    cdef uint64_t capacity
    if len_bytes < HEADER_BYTES + MIN_SLOTS * SLOT_BYTES:
        return False
    capacity = min((len_bytes - HEADER_BYTES) // SLOT_BYTES, <uint64_t>MAX_SLOTS)
    table.header = <StateHeader*>memory
    table.slots = <StateEntry*>(memory + HEADER_BYTES)
    table.marks = <uint8_t*>(table.slots + capacity)
    if not is_ours(table.header, capacity) or not recover(table, now):
        begin_empty(table, capacity, seed, now)
    return True


cdef void begin_empty(
    StateTable* table, uint64_t capacity, uint64_t seed, nsec_t now,
) noexcept nogil:
    memset(table.header, 0, HEADER_BYTES)
    memset(table.slots, 0, capacity * SLOT_BYTES)
    table.header.magic = MAGIC
    table.header.version = TABLE_VERSION
    table.header.entry_bytes = sizeof(StateEntry)
    table.header.capacity = capacity
    table.header.seed = seed
    table.header.swept_at = now


cdef bint is_ours(const StateHeader* header, uint64_t capacity) noexcept nogil:
    return (
        header.magic == MAGIC and header.version == TABLE_VERSION
        and header.entry_bytes == sizeof(StateEntry) and header.capacity == capacity
    )


cdef bint recover(StateTable* table, nsec_t now) noexcept nogil:
    """Whoever wrote the table may have died while moving an entry. False: past mending."""
    cdef uint64_t at
    cdef int turns = 0
    table.header.hand %= table.header.capacity
    table.header.swept_at = now
    for at in range(table.header.capacity):
        if table.slots[at].key.kind and not is_sound(table, &table.slots[at], now):
            memset(&table.slots[at], 0, sizeof(StateEntry))
        table.marks[at] = mark_of(table.slots[at].tag) if table.slots[at].key.kind else 0
    table.header.count = 0
    while settle_all(table):
        turns += 1
        if turns == MAX_TURNS:
            return False
    for at in range(table.header.capacity):
        table.header.count += table.slots[at].key.kind != 0
    return not is_past(table, table.header.count)


cdef uint64_t settle_all(StateTable* table) noexcept nogil:
    """How many were not where a search finds them; moving one may hide another."""
    cdef uint64_t at
    cdef uint64_t moved = 0
    for at in range(table.header.capacity):
        if table.slots[at].key.kind:
            moved += settle(table, at)
    return moved


cdef bint is_sound(const StateTable* table, StateEntry* entry, nsec_t now) noexcept nogil:
    if not is_entry(entry) or entry.tag != state_tag(table, &entry.key):
        return False
    entry.expires = min(entry.expires, now + state_timeout(entry))
    entry.told_at = min(entry.told_at, now)
    return entry.expires > now


cdef bint is_entry(const StateEntry* entry) noexcept nogil:
    return (
        entry.key.kind > 0 and entry.key.kind < N_STATE_KINDS and entry.key._pad == 0
        and (entry.key.family == 4 or entry.key.family == 6) and entry.state < N_TRACK_STATES
    )


cdef bint settle(StateTable* table, uint64_t at) noexcept nogil:
    """Have the entry where a search finds it, once; whether it was elsewhere."""
    cdef StateEntry entry = table.slots[at]
    cdef uint64_t place
    free_slot(table, at)
    place = place_of(table, &entry.key, entry.tag)
    if table.slots[place].key.kind == 0:
        occupy(table, place, &entry)
    return place != at


# --- keys

cdef void state_key_clear(StateKey* key, uint64_t zone, int kind) noexcept nogil:
    memset(key, 0, sizeof(StateKey))
    key.zone = zone
    key.kind = <uint8_t>kind


cdef void state_key_swap(StateKey* to, const StateKey* key) noexcept nogil:
    to[0] = key[0]
    memcpy(to.src, key.dst, 16)
    memcpy(to.dst, key.src, 16)
    to.sport, to.dport = key.dport, key.sport


cdef tag_t state_tag(const StateTable* table, const StateKey* key) noexcept nogil:
    """Products as Wang Yi's wyhash has them: of each address, of both ends in no order, of all."""
    cdef const uint64_t* words = <const uint64_t*>key
    cdef uint64_t seed = table.header.seed if table != NULL else 0
    cdef uint64_t source = folded(
        words[0] ^ seed ^ 0x9e3779b97f4a7c15u, words[1] ^ seed ^ 0xff51afd7ed558ccdu)
    cdef uint64_t destination = folded(
        words[2] ^ seed ^ 0x9e3779b97f4a7c15u, words[3] ^ seed ^ 0xff51afd7ed558ccdu)
    cdef uint64_t ports = (  # sum and product say which two, and no more
        <uint64_t>key.sport * key.dport << 32 | <uint64_t>(key.sport + key.dport) << 8 | key.proto)
    cdef uint64_t near = folded(
        source + destination ^ 0xd6e8feb86659fd93u, ports ^ seed ^ 0xa0761d6478bd642fu)
    cdef uint64_t all_ = folded(
        source ^ words[5] ^ 0xc4ceb9fe1a85ec53u, destination ^ words[4] ^ 0xbf58476d1ce4e5b9u)
    return near & NEAR_BITS | all_ & ~<uint64_t>NEAR_BITS & ~<uint64_t>0xff | TAG_MARK


# --- to find

cdef inline uint64_t home_of(const StateTable* table, tag_t tag) noexcept nogil:
    """Any number of slots will do: the tag's high half says how far along the table."""
    return (tag >> 32) * table.header.capacity >> 32


cdef inline uint64_t after(const StateTable* table, uint64_t at) noexcept nogil:
    return at + 1 if at + 1 < table.header.capacity else 0


cdef inline bint is_past(const StateTable* table, uint64_t count) noexcept nogil:
    return 5 * count > 4 * table.header.capacity


cdef uint64_t place_of(const StateTable* table, const StateKey* key, tag_t tag) noexcept nogil:
    """Where it is, or the free slot where it would be. There is one: see `state_insert`."""
    cdef uint64_t at = home_of(table, tag)
    cdef uint8_t mark = mark_of(tag)
    while table.marks[at] and not (
        table.marks[at] == mark and table.slots[at].tag == tag
        and memcmp(&table.slots[at].key, key, sizeof(StateKey)) == 0
    ):
        at = after(table, at)
    return at


cdef inline uint8_t mark_of(tag_t tag) noexcept nogil:
    """Of a slot that is taken: most of those that are another's are told from it at once."""
    return <uint8_t>(tag >> 8 | 1)


cdef inline void occupy(StateTable* table, uint64_t at, const StateEntry* entry) noexcept nogil:
    table.slots[at] = entry[0]
    table.marks[at] = mark_of(entry.tag)


cdef inline void free_slot(StateTable* table, uint64_t at) noexcept nogil:
    memset(&table.slots[at], 0, sizeof(StateEntry))
    table.marks[at] = 0


cdef void state_prefetch(const StateTable* table, tag_t tag) noexcept nogil:
    cdef uint64_t at = home_of(table, tag)
    prefetch(&table.marks[at])
    prefetch(&table.slots[at].key)
    prefetch(&table.slots[at].tag)


cdef const StateEntry* state_find(
    const StateTable* table, const StateKey* key, nsec_t now,
) noexcept nogil:
    return state_find_tagged(table, key, state_tag(table, key), now)


cdef const StateEntry* state_find_tagged(
    const StateTable* table, const StateKey* key, tag_t tag, nsec_t now,
) noexcept nogil:
    cdef uint64_t at
    if table == NULL:
        return NULL
    at = place_of(table, key, tag)
    return &table.slots[at] if table.marks[at] and table.slots[at].expires > now else NULL


cdef StateEntry* state_by_tag(const StateTable* table, tag_t tag, nsec_t now) noexcept nogil:
    cdef uint64_t at = home_of(table, tag)
    while table.marks[at]:
        if table.marks[at] == mark_of(tag) and table.slots[at].tag == tag:
            return &table.slots[at] if table.slots[at].expires > now else NULL
        at = after(table, at)
    return NULL


# --- to come and to go

cdef StateEntry* state_insert(
    StateTable* table, const StateEntry* entry, nsec_t now,
) noexcept nogil:
    return state_insert_tagged(table, entry, state_tag(table, &entry.key), now)


cdef StateEntry* state_insert_tagged(
    StateTable* table, const StateEntry* entry, tag_t tag, nsec_t now,
) noexcept nogil:
    cdef uint64_t at = place_of(table, &entry.key, tag)
    cdef StateEntry* slot = &table.slots[at]
    if table.marks[at] == 0:
        if not is_entry(entry) or is_past(table, table.header.count + 1):
            table.header.refused += 1
            return NULL
        table.header.count += 1
        table.header.inserted += 1
    slot[0] = entry[0]
    slot.tag = tag
    table.marks[at] = mark_of(tag)
    slot.state = slot.state or <uint8_t>T_ESTABLISHED
    slot.told_at = now
    slot.expires = now + state_timeout(slot)
    return slot


cdef void state_touch(StateEntry* entry, nsec_t now) noexcept nogil:
    cdef nsec_t expires = now + state_timeout(entry)
    entry.expires = max(entry.expires, expires)


cdef bint state_remove(StateTable* table, const StateKey* key) noexcept nogil:
    cdef uint64_t at = place_of(table, key, state_tag(table, key))
    if table.slots[at].key.kind == 0:
        return False
    clear_slot(table, at)
    return True


cdef void clear_slot(StateTable* table, uint64_t at) noexcept nogil:
    """Free it, and move back what stands behind it and would rather stand there."""
    cdef uint64_t next = after(table, at)
    cdef uint64_t home
    while table.slots[next].key.kind:
        home = home_of(table, table.slots[next].tag)
        if steps_to(table, home, next) >= steps_to(table, at, next):
            occupy(table, at, &table.slots[next])
            at = next
        next = after(table, next)
    free_slot(table, at)
    table.header.count -= 1


cdef inline uint64_t steps_to(
    const StateTable* table, uint64_t begin, uint64_t end,
) noexcept nogil:
    return end - begin if end >= begin else end + table.header.capacity - begin


cdef int state_expire(StateTable* table, nsec_t now, Buffer* tags) except -1 nogil:
    cdef uint64_t steps = due_steps(table, now)
    cdef StateEntry* slot
    while steps:
        slot = &table.slots[table.header.hand]
        if table.marks[table.header.hand] and slot.expires <= now:  # free slots are not read
            (<tag_t*>reserve(tags, sizeof(tag_t)))[0] = slot.tag
            written(tags, sizeof(tag_t))
            table.header.expired += 1
            clear_slot(table, table.header.hand)  # and look again at what moved there
        else:
            table.header.hand = after(table, table.header.hand)
            steps -= 1
    return 0


cdef uint64_t due_steps(StateTable* table, nsec_t now) noexcept nogil:
    """How many slots the hand has to pass to have gone around once in SWEEP_NS."""
    cdef nsec_t since = min(max(now - table.header.swept_at, <nsec_t>0), <nsec_t>SWEEP_NS)
    cdef uint64_t steps = <uint64_t>(
        <double>since * <double>table.header.capacity / <double>SWEEP_NS)
    if steps or now < table.header.swept_at:
        table.header.swept_at = now
    return steps


# --- trackers

cdef inline int tracker_of(uint8_t proto) noexcept nogil:
    if proto == IP_TCP:
        return TRACK_TCP
    return TRACK_SCTP if proto == IP_SCTP else TRACK_OTHER


cdef nsec_t state_timeout(const StateEntry* entry) noexcept nogil:
    cdef nsec_t seconds = TIMEOUT_S[
        tracker_of(entry.key.proto) * <int>N_TRACK_STATES + entry.state]
    if entry.key.kind == AFFINITY and entry.extra:
        seconds = entry.extra
    return seconds * 1_000_000_000


cdef uint8_t track_begin(uint8_t proto, uint16_t tcp_flags) noexcept nogil:
    return track_next(proto, T_NONE, D_FORWARD, tcp_flags)


cdef uint8_t track_next(
    uint8_t proto, uint8_t state, int direction, uint16_t tcp_flags,
) noexcept nogil:
    cdef int row = tracker_of(proto) * <int>N_TRACK_STATES + state
    return NEXT_STATE[row * <int>N_EVENTS + event_of(direction, tcp_flags)]


cdef inline int event_of(int direction, uint16_t tcp_flags) noexcept nogil:
    if tcp_flags & TCP_RST:
        return E_RST
    if tcp_flags & TCP_FIN:
        return E_FIN
    if tcp_flags & TCP_SYN:
        return E_SYN_RETURN if direction == D_RETURN else E_SYN_FORWARD
    return E_RETURN if direction == D_RETURN else E_FORWARD
