"""What a host remembers about connections: a table in a caller's buffer, and its trackers' states.

1. Memory is the caller's and bounded: a header and slots of sizeof(StateEntry), of which at most
   4/5 are taken. What does not fit is refused and counted.
2. A key is compared as bytes: `state_key_clear` first, then its fields; addresses in network order
   (IPv4: the first 4 bytes, the others 0), ports in host order.
3. An entry that has expired is not found, whether or not the hand has cleared it away yet.
4. A pointer to an entry is good until the next insert, remove, expire or merge.
5. A table found in memory is checked entry by entry: what contradicts itself is dropped, and no
   entry outlives its timeout because the clock began anew.
6. A search reads marks, a byte each, and touches only slots whose mark says that they may be it:
   that a connection is not known is mostly found out without reading memory that is far away.
7. An entry's tag follows from its key and the table's seed alone: the tag of an entry that is
   missing is known too, and an entry is found by its tag.
8. Where an entry would be is said by both ends of its connection alone, in no order. So all that a
   packet asks about its connection, to whatever end and for whatever device, lies together: in the
   marks, in the slots, and in the index from tags to flows.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport nsec_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum StateKind:
    CONNECTION = 1
    SNAT = 2               # as the packet came -> new source
    REVERSE_SNAT = 3       # as the answer comes -> its old destination
    DNAT = 4
    REVERSE_DNAT = 5
    AFFINITY = 6
    N_STATE_KINDS = 7

cdef enum TrackState:      # of every protocol; which of them it uses is in state.pyx
    T_NONE = 0             # `state_insert` makes it T_ESTABLISHED
    T_HALF_OPEN = 1
    T_ESTABLISHED = 2
    T_CLOSING = 3
    T_CLOSED = 4
    N_TRACK_STATES = 5

cdef enum Direction:
    D_NONE = 0             # nothing that has a direction: an entry that is no connection
    D_FORWARD = 1          # as the packet that opened it
    D_RETURN = 2

cdef enum:
    HEADER_BYTES = 128     # sizeof(StateHeader)
    SLOT_BYTES = 97        # sizeof(StateEntry), and its mark
    TAG_MARK = 0xa5        # a tag's low byte
    NEAR_BITS = 0xffffffc000000000  # of a tag: those that the ends of a connection alone decide
    TCP_FIN = 1
    TCP_SYN = 2
    TCP_RST = 4
    TCP_ACK = 16
    TCP_VISITS = 7         # the flags whose packets change a connection's state

cdef struct StateKey:      # 48 bytes
    uint8_t src[16]
    uint8_t dst[16]
    uint16_t sport         # ICMP: the identifier, in both
    uint16_t dport
    uint8_t proto
    uint8_t family         # 4 or 6
    uint8_t kind           # a StateKind; 0: the slot is free
    uint8_t _pad
    uint64_t zone          # the tag of the port or device: the same on all hosts

cdef struct StateEntry:    # 96 bytes; with its mark and the room that hashing needs, 121
    StateKey key
    uint8_t ip[16]         # NAT: what is written instead
    uint16_t port
    uint8_t state          # a TrackState
    uint8_t flags          # for the kind to use
    uint32_t extra         # for the kind to use; AFFINITY: its timeout in seconds
    nsec_t expires
    nsec_t told_at         # when peers last heard of it
    tag_t tag

cdef struct StateHeader:   # 128 bytes
    uint64_t magic
    uint32_t version
    uint32_t entry_bytes
    uint64_t capacity      # slots
    uint64_t seed
    uint64_t count         # slots taken
    uint64_t hand          # the next slot to look at for expiry
    nsec_t swept_at
    uint64_t refused       # not inserted: full
    uint64_t inserted
    uint64_t expired
    uint64_t merged        # entries taken from peers' messages
    uint64_t unreadable    # messages and entries of them that say nothing
    uint64_t spare[4]

cdef struct StateTable:
    StateHeader* header    # in the caller's buffer
    StateEntry* slots
    uint8_t* marks         # behind them, one each: 0 where the slot is free, else of its tag

# Use `len_bytes` of memory: go on with the table that is there, or begin an empty one with this
# seed. False: too little memory for any.
cdef bint state_open(
    StateTable* table, uint8_t* memory, uint64_t len_bytes, uint64_t seed, nsec_t now,
) noexcept nogil

cdef void state_key_clear(StateKey* key, uint64_t zone, int kind) noexcept nogil
# Source and destination exchanged.
cdef void state_key_swap(StateKey* to, const StateKey* key) noexcept nogil
cdef tag_t state_tag(const StateTable* table, const StateKey* key) noexcept nogil  # table: or NULL

# NULL: not there, or expired. table: NULL is an empty one.
cdef const StateEntry* state_find(
    const StateTable* table, const StateKey* key, nsec_t now,
) noexcept nogil
cdef StateEntry* state_by_tag(const StateTable* table, tag_t tag, nsec_t now) noexcept nogil
# Whether a tag can be that of an entry.
cdef inline bint is_state_tag(tag_t tag) noexcept nogil:
    return tag & 0xff == TAG_MARK

# The same where the key's tag is known; and to have the memory that it needs brought near.
cdef const StateEntry* state_find_tagged(
    const StateTable* table, const StateKey* key, tag_t tag, nsec_t now,
) noexcept nogil
cdef void state_prefetch(const StateTable* table, tag_t tag) noexcept nogil

# Put `entry` (key, ip, port, state, flags, extra; the rest follows) in place of the one with its
# key, if any. NULL: full.
cdef StateEntry* state_insert(
    StateTable* table, const StateEntry* entry, nsec_t now,
) noexcept nogil
cdef StateEntry* state_insert_tagged(
    StateTable* table, const StateEntry* entry, tag_t tag, nsec_t now,
) noexcept nogil
# In use: it lives on for its timeout.
cdef void state_touch(StateEntry* entry, nsec_t now) noexcept nogil
cdef bint state_remove(StateTable* table, const StateKey* key) noexcept nogil
# Move the hand on as far as time did, and append the tags of what it cleared away, as tag_t.
cdef int state_expire(StateTable* table, nsec_t now, Buffer* tags) except -1 nogil

# How long an entry of this kind, protocol and state lives unused.
cdef nsec_t state_timeout(const StateEntry* entry) noexcept nogil
# The state of a new connection whose first packet has these TCP flags (0: other protocols).
cdef uint8_t track_begin(uint8_t proto, uint16_t tcp_flags) noexcept nogil
# The state after a packet in this direction.
cdef uint8_t track_next(
    uint8_t proto, uint8_t state, int direction, uint16_t tcp_flags,
) noexcept nogil
