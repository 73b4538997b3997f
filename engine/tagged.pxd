"""Tags -> flows: which flows depended on a thing.

1. A link is one (tag, flow) pair, in the list of its tag and in the list of its flow.
2. The index has the first link of each tag that has one. A tag is a hash already.
3. Link 0 is nobody's, so that zeroed memory is an empty index.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport tag_t, uint32_t
from onehop.engine.index cimport Index

cdef struct TagLink:
    tag_t tag
    uint32_t flow
    uint32_t prev          # of the same tag
    uint32_t next
    uint32_t next_of_flow  # or among the free ones

cdef struct Tagged:
    Index index
    TagLink* links
    uint32_t n_links
    uint32_t room_links
    uint32_t free_link

# Link `flow` to the tags; the first of its links, for `tagged_remove`.
cdef uint32_t tagged_add(
    Tagged* tagged, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except? 0xffffffff nogil
cdef void tagged_remove(Tagged* tagged, uint32_t first_link) noexcept nogil
# Have the memory that looking up these tags needs brought near.
cdef void tagged_prefetch(const Tagged* tagged, const tag_t* tags, uint32_t n_tags) noexcept nogil
# Append the flows with this tag to `found`, as uint32_t.
cdef int tagged_find(const Tagged* tagged, tag_t tag, Buffer* found) except -1 nogil
# Whether any flow has this tag.
cdef bint tagged_has(const Tagged* tagged, tag_t tag) noexcept nogil
cdef void tagged_clear(Tagged* tagged) noexcept nogil
