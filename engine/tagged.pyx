"""Tags -> flows: chained hashing from tags to entries, doubly linked lists from entries to flows.

A tag is a hash already: its high half chooses the bucket, for the low bits of some say of what
kind they are.
"""

from libc.string cimport memset

from onehop.engine.buffer cimport grow, let_go, prefetch, reserve, written

cdef enum:
    FIRST_BUCKETS = 256


cdef uint32_t tagged_add(
    Tagged* index, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except? 0xffffffff nogil:
    cdef uint32_t first = 0
    cdef uint32_t i, at
    cdef TagEntry* entry
    cdef TagLink* link
    make_room(index, n_tags)
    for i in range(n_tags):
        at = entry_of(index, tags[i])
        entry = &index.entries[at]
        link = new_link(index)
        link.entry = at
        link.flow = flow
        link.prev = 0
        link.next = entry.links
        link.next_of_flow = first
        first = <uint32_t>(link - index.links)
        if entry.links:
            index.links[entry.links].prev = first
        entry.links = first
    return first


cdef void tagged_remove(Tagged* index, uint32_t first_link) noexcept nogil:
    cdef uint32_t link = first_link
    cdef uint32_t next_link
    while link:
        next_link = index.links[link].next_of_flow
        unlink(index, link)
        index.links[link].next_of_flow = index.free_link
        index.free_link = link
        link = next_link


cdef void tagged_prefetch(const Tagged* index, const tag_t* tags, uint32_t n_tags) noexcept nogil:
    cdef uint32_t i
    for i in range(n_tags if index.n_buckets else 0):
        prefetch(&index.buckets[bucket_of(index, tags[i])])


cdef int tagged_find(const Tagged* index, tag_t tag, Buffer* found) except -1 nogil:
    cdef uint32_t entry = find_entry(index, tag)
    cdef uint32_t link = index.entries[entry].links if entry else 0
    while link:
        (<uint32_t*>reserve(found, 4))[0] = index.links[link].flow
        written(found, 4)
        link = index.links[link].next
    return 0


cdef bint tagged_has(const Tagged* index, tag_t tag) noexcept nogil:
    return find_entry(index, tag) != 0


cdef void tagged_clear(Tagged* index) noexcept nogil:
    let_go(index.entries, index.room_entries, sizeof(TagEntry))
    let_go(index.links, index.room_links, sizeof(TagLink))
    let_go(index.buckets, index.n_buckets, sizeof(uint32_t))
    memset(index, 0, sizeof(Tagged))


cdef void unlink(Tagged* index, uint32_t at) noexcept nogil:
    cdef TagLink* link = &index.links[at]
    if link.next:
        index.links[link.next].prev = link.prev
    if link.prev:
        index.links[link.prev].next = link.next
        return
    index.entries[link.entry].links = link.next
    if link.next == 0:
        drop_entry(index, link.entry)


cdef int make_room(Tagged* index, uint32_t n_tags) except -1 nogil:
    """For so many more, whether or not something is free: nothing below fails."""
    grow(<void**>&index.links, &index.room_links, index.n_links + n_tags + 1, sizeof(TagLink))
    grow(<void**>&index.entries, &index.room_entries, index.n_entries + n_tags + 1,
         sizeof(TagEntry))
    while index.used + n_tags > index.n_buckets:
        spread(index)
    return 0


cdef inline TagLink* new_link(Tagged* index) noexcept nogil:
    cdef uint32_t link = index.free_link
    if link:
        index.free_link = index.links[link].next_of_flow
        return &index.links[link]
    index.n_links += 1
    return &index.links[index.n_links]


# --- entries

cdef inline uint32_t bucket_of(const Tagged* index, tag_t tag) noexcept nogil:
    return <uint32_t>(tag >> 32) & (index.n_buckets - 1)


cdef inline uint32_t find_entry(const Tagged* index, tag_t tag) noexcept nogil:
    cdef uint32_t entry
    if index.n_buckets == 0:
        return 0
    entry = index.buckets[bucket_of(index, tag)]
    while entry and index.entries[entry].tag != tag:
        entry = index.entries[entry].next
    return entry


cdef inline uint32_t entry_of(Tagged* index, tag_t tag) noexcept nogil:
    """The tag's entry, made where there is none."""
    cdef uint32_t* bucket = &index.buckets[bucket_of(index, tag)]
    cdef uint32_t entry = bucket[0]
    while entry and index.entries[entry].tag != tag:
        entry = index.entries[entry].next
    if entry:
        return entry
    entry = new_entry(index)
    index.entries[entry].tag = tag
    index.entries[entry].links = 0
    index.entries[entry].next = bucket[0]
    bucket[0] = entry
    index.used += 1
    return entry


cdef inline uint32_t new_entry(Tagged* index) noexcept nogil:
    cdef uint32_t entry = index.free_entry
    if entry:
        index.free_entry = index.entries[entry].next
        return entry
    index.n_entries += 1
    return index.n_entries


cdef void drop_entry(Tagged* index, uint32_t entry) noexcept nogil:
    cdef uint32_t* at = &index.buckets[bucket_of(index, index.entries[entry].tag)]
    while at[0] != entry:
        at = &index.entries[at[0]].next
    at[0] = index.entries[entry].next
    index.entries[entry].next = index.free_entry
    index.free_entry = entry
    index.used -= 1


cdef int spread(Tagged* index) except -1 nogil:
    """Twice as many buckets."""
    cdef uint32_t entry, old
    cdef uint32_t* bucket
    old = index.n_buckets
    grow(<void**>&index.buckets, &index.n_buckets, 2 * old or FIRST_BUCKETS, sizeof(uint32_t))
    memset(index.buckets, 0, index.n_buckets * sizeof(uint32_t))
    for entry in range(1, index.n_entries + 1):
        if index.entries[entry].links:
            bucket = &index.buckets[bucket_of(index, index.entries[entry].tag)]
            index.entries[entry].next = bucket[0]
            bucket[0] = entry
    return 0
