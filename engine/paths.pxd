"""Paths: the tags that many flows have in common.

Connections that take the same way through the network depend on the same things, but for the
connections' own entries. Those things are linked to the tags once for each way, not for each flow.

1. A path is a list of tags, in the order in which they were noted; flows with the same list are on
   the same path, and a path without flows is gone.
2. A flow is on one path at the most. Index 0 is no path.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport tag_t, uint32_t, uint64_t
from onehop.engine.index cimport Index
from onehop.engine.tagged cimport Tagged

cdef struct Path:
    uint64_t hash          # of its tags
    tag_t* tags            # NULL: it is free
    uint32_t n_tags
    uint32_t tag_links
    uint32_t next_free     # among the free ones
    uint32_t members       # the first flow + 1

cdef struct Member:        # of each flow
    uint32_t path
    uint32_t prev          # on the same path: flow + 1
    uint32_t next

cdef struct Paths:
    Path* paths
    uint32_t n_paths
    uint32_t room_paths
    uint32_t free_path
    Member* members
    uint32_t room_members
    Index index            # paths by the hash of their tags
    Tagged tagged          # tags -> paths

# Put the flow, which is on none, on the path with these tags.
cdef int paths_join(
    Paths* paths, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except -1 nogil
cdef void paths_leave(Paths* paths, uint32_t flow) noexcept nogil
# Append the flows whose path has this tag to `found`, as uint32_t.
cdef int paths_find(const Paths* paths, tag_t tag, Buffer* found) except -1 nogil
# The flow's; NULL: it is on none.
cdef const Path* path_of(const Paths* paths, uint32_t flow) noexcept nogil
cdef bint paths_have(const Paths* paths, tag_t tag) noexcept nogil
cdef void paths_clear(Paths* paths) noexcept nogil
