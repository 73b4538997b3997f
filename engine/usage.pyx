"""Which leased ports translate connections now: one look over the table, a part at a time."""

from ipaddress import ip_address

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from onehop.engine.cdefs cimport nsec_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.state cimport SNAT, StateEntry, StateKey
from onehop.engine.states cimport States

cdef enum:
    FIRST_ENDS = 1024      # a power of two

cdef struct Block:
    uint8_t address[16]
    uint16_t first_port
    uint16_t last_port
    uint32_t pool
    bint is_used

cdef struct End:           # a remote end, as connections of one pool see it
    uint64_t hashed        # 0: the place is free
    uint32_t count


cdef class PortUse:
    cdef States states
    cdef Block* blocks
    cdef uint32_t n_blocks
    cdef End* ends
    cdef uint64_t n_places, n_ends
    cdef uint64_t at       # the next slot to look at
    cdef readonly list names
    cdef readonly dict peaks

    def __init__(self, States states, blocks):
        cdef uint32_t i
        self.states = states
        self.names = [name for name, *_ in blocks]
        self.peaks = {}
        self.blocks = <Block*>calloc(len(self.names) + 1, sizeof(Block))
        self.ends = <End*>calloc(FIRST_ENDS, sizeof(End))
        if self.blocks == NULL or self.ends == NULL:
            raise MemoryError
        self.n_places = FIRST_ENDS
        self.n_blocks = <uint32_t>len(self.names)
        for i, (_, address, first, n_ports, pool) in enumerate(blocks):
            padded = ip_address(address).packed.ljust(16, b"\0")
            memcpy(self.blocks[i].address, <const uint8_t*>(<bytes>padded), 16)
            self.blocks[i].first_port = first
            self.blocks[i].last_port = <uint16_t>(first + n_ports - 1)
            self.blocks[i].pool = pool

    def __dealloc__(self):
        free(self.blocks)
        free(self.ends)

    def look(self, uint64_t slots, nsec_t now_ns):
        cdef uint64_t end = min(self.at + slots, self.states.table.header.capacity)
        if self.n_blocks:
            with nogil:
                while self.at < end:
                    if self.states.table.marks[self.at]:
                        self.note(&self.states.table.slots[self.at], now_ns)
                    self.at += 1
            if self.at < self.states.table.header.capacity:
                return False
        self.conclude()
        return True

    def used(self):
        return {self.names[i] for i in range(self.n_blocks) if self.blocks[i].is_used}

    cdef int note(self, const StateEntry* entry, nsec_t now) except -1 nogil:
        cdef uint32_t i
        if entry.key.kind != SNAT or entry.expires <= now:
            return 0
        for i in range(self.n_blocks):
            if (
                self.blocks[i].first_port <= entry.port <= self.blocks[i].last_port
                and memcmp(self.blocks[i].address, entry.ip, 16) == 0
            ):
                self.blocks[i].is_used = True
                return self.count(hash_end(&entry.key, self.blocks[i].pool), 1)
        return 0

    cdef int count(self, uint64_t hashed, uint32_t more) except -1 nogil:
        cdef End* end = self.place(hashed)
        if end.hashed == 0:
            if 2 * self.n_ends >= self.n_places:
                self.spread()
                end = self.place(hashed)
            end.hashed = hashed
            self.n_ends += 1
        end.count += more
        return 0

    cdef End* place(self, uint64_t hashed) noexcept nogil:
        cdef uint64_t at = hashed & (self.n_places - 1)
        while self.ends[at].hashed and self.ends[at].hashed != hashed:
            at = (at + 1) & (self.n_places - 1)
        return &self.ends[at]

    cdef int spread(self) except -1 nogil:
        cdef End* before = self.ends
        cdef uint64_t n_before = self.n_places
        cdef uint64_t i
        cdef End* wider = <End*>calloc(2 * n_before, sizeof(End))
        if wider == NULL:
            with gil:
                raise MemoryError
        self.ends, self.n_places = wider, 2 * n_before
        for i in range(n_before):
            if before[i].hashed:
                self.place(before[i].hashed)[0] = before[i]
        free(before)
        return 0

    cdef int conclude(self) except -1:
        """The busiest remote end of each pool."""
        cdef uint64_t i
        for i in range(self.n_places):
            if self.ends[i].hashed:
                pool = self.ends[i].hashed >> 48
                self.peaks[pool] = max(self.peaks.get(pool, 0), self.ends[i].count)
        return 0


cdef uint64_t hash_end(const StateKey* key, uint32_t pool) noexcept nogil:
    """Never 0; the pool in the 16 highest bits."""
    cdef const uint64_t* words = <const uint64_t*>key.dst
    cdef uint64_t mixed = words[0] * 0xff51afd7ed558ccdu
    mixed = (mixed ^ mixed >> 32 ^ words[1]) * 0xc4ceb9fe1a85ec53u
    mixed = (mixed ^ mixed >> 32 ^ (<uint64_t>key.dport << 8 | key.proto)) * 0xff51afd7ed558ccdu
    mixed ^= mixed >> 32
    return <uint64_t>pool << 48 | mixed >> 16 | 1
