"""What a host remembers about connections: the table as Python sees it."""

from collections import namedtuple
from ipaddress import ip_address

import numpy
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from onehop.engine.buffer cimport FAR, Buffer, ask_for_huge_pages
from onehop.engine.cdefs cimport tag_t, uint8_t, uint64_t
from onehop.engine.state cimport (
    HEADER_BYTES, SLOT_BYTES, state_expire, state_find, state_find_tagged, state_insert,
    state_insert_tagged, state_key_clear, state_open, state_prefetch, state_remove, state_tag,
    state_timeout, state_touch,
)
from onehop.engine.state_codec cimport (
    ITEM_PUT, ITEM_REMOVE, MAJOR, MINOR, message_add, message_merge,
)

cdef enum:
    BATCH = 16             # entries whose memory is on its way at the same time

KINDS = ("", "connection", "snat", "reverse_snat", "dnat", "reverse_dnat", "affinity")
STATES = ("", "half-open", "established", "closing", "closed")
VERSION = (MAJOR, MINOR)

Entry = namedtuple(
    "Entry",
    "kind zone protocol source source_port destination destination_port address port state flags",
    defaults=("", 0, "", 0),
)


RECORD = numpy.dtype([  # StateEntry
    ("source", "u1", 16), ("destination", "u1", 16), ("source_port", "u2"),
    ("destination_port", "u2"), ("protocol", "u1"), ("family", "u1"), ("kind", "u1"),
    ("unused", "u1"), ("zone", "u8"), ("address", "u1", 16), ("port", "u2"), ("state", "u1"),
    ("flags", "u1"), ("extra", "u4"), ("expires", "i8"), ("told_at", "i8"), ("tag", "u8"),
])


def bytes_for(capacity: int) -> int:
    slots = max(4, -(-5 * capacity // 4))
    return HEADER_BYTES + slots * SLOT_BYTES


cdef class States:
    def __init__(self, capacity: int = 65_536, *, buffer=None, uint64_t seed=0, nsec_t now_ns=0):
        cdef uint8_t[::1] view
        if buffer is None:
            buffer = numpy.zeros(bytes_for(capacity), numpy.uint8)  # not touched yet
        view = buffer
        if view.shape[0] >= FAR:
            ask_for_huge_pages(&view[0], <uint64_t>view.shape[0])
        self.memory = view
        if <uint64_t>&view[0] % 8 or not state_open(
            &self.table, &view[0], <uint64_t>view.shape[0], seed, now_ns
        ):
            raise ValueError("too small for a state table, or not aligned to 8 bytes")

    @property
    def seed(self):
        return self.table.header.seed

    @property
    def counters(self):
        header = self.table.header[0]
        return {
            "entries": header.count, "capacity": header.capacity * 4 // 5,
            "refused": header.refused, "inserted": header.inserted, "expired": header.expired,
            "merged": header.merged, "unreadable": header.unreadable,
        }

    @property
    def slots(self):
        return self.table.header.capacity

    def __len__(self):
        return self.table.header.count

    def entries(self, nsec_t now_ns):
        cdef uint64_t at
        found = []
        for at in range(self.table.header.capacity):
            if self.table.slots[at].key.kind and self.table.slots[at].expires > now_ns:
                found.append(entry_view(&self.table.slots[at]))
        return iter(found)

    def find(self, stated, nsec_t now_ns):
        cdef StateEntry entry
        cdef const StateEntry* found
        entry_from(&entry, stated)
        found = state_find(&self.table, &entry.key, now_ns)
        return None if found == NULL else entry_view(found)

    def insert(self, stated, nsec_t now_ns):
        cdef StateEntry entry
        entry_from(&entry, stated)
        return state_insert(&self.table, &entry, now_ns) != NULL

    # --- many at once

    def records(self, nsec_t now_ns):
        slots = numpy.frombuffer(self.memory, RECORD, self.table.header.capacity, HEADER_BYTES)
        return slots[(slots["kind"] != 0) & (slots["expires"] > now_ns)]

    def insert_records(self, records, nsec_t now_ns):
        cdef const uint8_t[::1] view = as_bytes(records)
        cdef const StateEntry* entries = <const StateEntry*>&view[0] if len(view) else NULL
        cdef uint64_t i, n = <uint64_t>view.shape[0] // sizeof(StateEntry)
        done = numpy.zeros(n, bool)
        cdef uint8_t[::1] flags = done.view(numpy.uint8)
        cdef tag_t[BATCH] tags
        with nogil:
            for i in range(n):
                if i % BATCH == 0:
                    come_near(&self.table, &entries[i], n - i, tags)
                flags[i] = state_insert_tagged(
                    &self.table, &entries[i], tags[i % BATCH], now_ns) != NULL
        return done

    def find_records(self, records, nsec_t now_ns):
        cdef const uint8_t[::1] view = as_bytes(records)
        cdef const StateEntry* entries = <const StateEntry*>&view[0] if len(view) else NULL
        cdef uint64_t i, n = <uint64_t>view.shape[0] // sizeof(StateEntry)
        cdef const StateEntry* found
        out = numpy.zeros(n, RECORD)
        cdef uint8_t[::1] room = out.view(numpy.uint8)
        cdef tag_t[BATCH] tags
        with nogil:
            for i in range(n):
                if i % BATCH == 0:
                    come_near(&self.table, &entries[i], n - i, tags)
                found = state_find_tagged(
                    &self.table, &entries[i].key, tags[i % BATCH], now_ns)
                if found != NULL:
                    memcpy(&room[i * sizeof(StateEntry)], found, sizeof(StateEntry))
        return out

    # --- one by one

    def touch(self, stated, nsec_t now_ns):
        cdef StateEntry entry
        cdef const StateEntry* found
        entry_from(&entry, stated)
        found = state_find(&self.table, &entry.key, now_ns)
        if found != NULL:
            state_touch(<StateEntry*>found, now_ns)
        return found != NULL

    def remove(self, stated):
        cdef StateEntry entry
        entry_from(&entry, stated)
        return state_remove(&self.table, &entry.key)

    def expire(self, nsec_t now_ns):
        cdef Buffer tags = Buffer(NULL, 0, 0)
        state_expire(&self.table, now_ns, &tags)
        return taken(&tags)

    def tag(self, stated):
        cdef StateEntry entry
        entry_from(&entry, stated)
        return state_tag(&self.table, &entry.key)

    def messages(self, nsec_t now_ns, addresses=(), int most=1000):
        wanted = b"".join(ip_address(each).packed.ljust(16, b"\0") for each in addresses)
        at = 0
        while at < self.slots:
            piece, at = piece_of(&self.table, at, wanted, most, now_ns)
            if piece:
                yield piece

    def merge(self, message, nsec_t now_ns):
        cdef const uint8_t[::1] view = message
        cdef Buffer tags = Buffer(NULL, 0, 0)
        message_merge(&self.table, &view[0] if view.shape[0] else NULL, view.shape[0], now_ns,
                      &tags)
        return taken(&tags)


def as_bytes(records):
    if records.dtype != RECORD:
        raise ValueError("not an array of RECORD")
    return numpy.ascontiguousarray(records).view(numpy.uint8).reshape(-1)


cdef void come_near(
    const StateTable* table, const StateEntry* entries, uint64_t n, tag_t* tags,
) noexcept nogil:
    """The tags of as many as fit, and their slots on the way into the cache."""
    cdef uint64_t i
    for i in range(min(n, <uint64_t>BATCH)):
        tags[i] = state_tag(table, &entries[i].key)
        state_prefetch(table, tags[i])


cdef tuple piece_of(
    const StateTable* table, uint64_t at, bytes wanted, int most, nsec_t now,
):
    """A message of `most` entries or some more from slot `at` on, and where the next one begins.

    It ends at a free slot: nothing from behind that ever moves to before it.
    """
    cdef Buffer out = Buffer(NULL, 0, 0)
    cdef int n = 0
    while at < table.header.capacity and (n < most or table.marks[at]):
        if is_wanted(&table.slots[at], wanted, len(wanted), now):
            message_add(&out, ITEM_PUT, &table.slots[at], now)
            n += 1
        at += 1
    found = out.data[:out.len_bytes]
    free(out.data)
    return found, at


cdef bint is_wanted(
    const StateEntry* entry, const uint8_t* addresses, uint64_t len_bytes, nsec_t now,
) noexcept nogil:
    cdef uint64_t at
    if entry.key.kind == 0 or entry.expires <= now:
        return False
    for at in range(0, len_bytes, 16):
        if (
            memcmp(entry.key.src, addresses + at, 16) == 0
            or memcmp(entry.key.dst, addresses + at, 16) == 0
            or memcmp(entry.ip, addresses + at, 16) == 0
        ):
            return True
    return len_bytes == 0


cdef list taken(Buffer* tags):
    cdef uint64_t i
    found = [(<tag_t*>tags.data)[i] for i in range(tags.len_bytes // sizeof(tag_t))]
    free(tags.data)
    return found


def message(entries, removed=()):
    cdef StateEntry entry
    cdef Buffer out = Buffer(NULL, 0, 0)
    for operation, about in ((ITEM_PUT, entries), (ITEM_REMOVE, removed)):
        for stated in about:
            entry_from(&entry, stated)
            entry.expires = state_timeout(&entry)
            message_add(&out, operation, &entry, 0)
    found = out.data[:out.len_bytes]
    free(out.data)
    return found


# --- entries

cdef int entry_from(StateEntry* entry, stated) except -1:
    source, destination = ip_address(stated.source), ip_address(stated.destination)
    if source.version != destination.version:
        raise ValueError(f"{stated.source}, {stated.destination}: not of one family")
    memset(entry, 0, sizeof(StateEntry))
    state_key_clear(&entry.key, stated.zone, KINDS.index(stated.kind))
    copy_address(entry.key.src, source.packed)
    copy_address(entry.key.dst, destination.packed)
    entry.key.sport, entry.key.dport = stated.source_port, stated.destination_port
    entry.key.proto, entry.key.family = stated.protocol, source.version
    if stated.address:
        copy_address(entry.ip, ip_address(stated.address).packed)
    entry.port, entry.flags = stated.port, stated.flags
    entry.state = STATES.index(stated.state or "established")
    return 0


cdef int copy_address(uint8_t* to, bytes packed) except -1:
    memcpy(to, <const uint8_t*>packed, len(packed))
    return 0


cdef object entry_view(const StateEntry* entry):
    size = 4 if entry.key.family == 4 else 16
    address = bytes(entry.ip[:size])
    return Entry(
        KINDS[entry.key.kind], entry.key.zone, entry.key.proto,
        str(ip_address(bytes(entry.key.src[:size]))), entry.key.sport,
        str(ip_address(bytes(entry.key.dst[:size]))), entry.key.dport,
        str(ip_address(address)) if any(address) else "",
        entry.port, STATES[entry.state], entry.flags,
    )
