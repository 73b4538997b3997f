"""Paths: the tags that many flows have in common, found by the list of tags."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from onehop.engine.buffer cimport grow, let_go, reserve, written
from onehop.engine.index cimport (
    Place, index_clear, index_first, index_grow, index_next, index_put, index_remove,
)
from onehop.engine.tagged cimport (
    tagged_add, tagged_clear, tagged_find, tagged_has, tagged_remove,
)

cdef int paths_join(
    Paths* paths, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except -1 nogil:
    cdef uint64_t hash_ = hash_tags(tags, n_tags)
    cdef uint32_t path = find_path(paths, hash_, tags, n_tags)
    cdef uint32_t first
    grow(<void**>&paths.members, &paths.room_members, flow + 1, sizeof(Member))
    if path == 0:
        path = new_path(paths, hash_, tags, n_tags)
    first = paths.paths[path].members
    paths.members[flow] = Member(path, 0, first)
    if first:
        paths.members[first - 1].prev = flow + 1
    paths.paths[path].members = flow + 1
    return 0


cdef void paths_leave(Paths* paths, uint32_t flow) noexcept nogil:
    cdef Member* member
    if flow >= paths.room_members or paths.members[flow].path == 0:
        return
    member = &paths.members[flow]
    if member.next:
        paths.members[member.next - 1].prev = member.prev
    if member.prev:
        paths.members[member.prev - 1].next = member.next
    else:
        paths.paths[member.path].members = member.next
    if paths.paths[member.path].members == 0:
        drop_path(paths, member.path)
    member.path = 0


cdef int paths_find(const Paths* paths, tag_t tag, Buffer* found) except -1 nogil:
    cdef Buffer on = Buffer(NULL, 0, 0)
    cdef uint64_t i
    cdef uint32_t flow
    tagged_find(&paths.tagged, tag, &on)
    for i in range(on.len_bytes // 4):
        flow = paths.paths[(<uint32_t*>on.data)[i]].members
        while flow:
            (<uint32_t*>reserve(found, 4))[0] = flow - 1
            written(found, 4)
            flow = paths.members[flow - 1].next
    free(on.data)
    return 0


cdef const Path* path_of(const Paths* paths, uint32_t flow) noexcept nogil:
    if flow >= paths.room_members or paths.members[flow].path == 0:
        return NULL
    return &paths.paths[paths.members[flow].path]


cdef bint paths_have(const Paths* paths, tag_t tag) noexcept nogil:
    return tagged_has(&paths.tagged, tag)


cdef void paths_clear(Paths* paths) noexcept nogil:
    cdef uint32_t path
    for path in range(1, paths.n_paths + 1):
        free(paths.paths[path].tags)
    let_go(paths.paths, paths.room_paths, sizeof(Path))
    let_go(paths.members, paths.room_members, sizeof(Member))
    index_clear(&paths.index)
    tagged_clear(&paths.tagged)
    memset(paths, 0, sizeof(Paths))


# --- by their tags

cdef inline uint64_t hash_tags(const tag_t* tags, uint32_t n_tags) noexcept nogil:
    """Tags are hashes already: their order has to count, no more."""
    cdef uint64_t mixed = n_tags
    cdef uint32_t i
    for i in range(n_tags):
        mixed = (mixed ^ tags[i]) * 0xff51afd7ed558ccdu
    return mixed


cdef uint32_t find_path(
    const Paths* paths, uint64_t hash_, const tag_t* tags, uint32_t n_tags,
) noexcept nogil:
    cdef Place* place
    if paths.index.n_places == 0:
        return 0
    place = index_first(&paths.index, hash_)
    while place.number and not has_tags(&paths.paths[place.number], tags, n_tags):
        place = index_next(&paths.index, place)
    return place.number


cdef inline bint has_tags(const Path* path, const tag_t* tags, uint32_t n_tags) noexcept nogil:
    return path.n_tags == n_tags and memcmp(path.tags, tags, n_tags * sizeof(tag_t)) == 0


cdef uint32_t new_path(
    Paths* paths, uint64_t hash_, const tag_t* tags, uint32_t n_tags,
) except? 0xffffffff nogil:
    cdef uint32_t at
    cdef tag_t* copy = <tag_t*>malloc(n_tags * sizeof(tag_t) + 1)
    if copy == NULL:
        with gil:
            raise MemoryError
    memcpy(copy, tags, n_tags * sizeof(tag_t))
    index_grow(&paths.index, 1)
    at = free_path(paths)
    paths.paths[at] = Path(hash_, copy, n_tags, 0, 0, 0)
    paths.paths[at].tag_links = tagged_add(&paths.tagged, at, tags, n_tags)
    index_put(&paths.index, hash_, at)
    return at


cdef void drop_path(Paths* paths, uint32_t path) noexcept nogil:
    cdef Path* dropped = &paths.paths[path]
    index_remove(&paths.index, dropped.hash, path)
    tagged_remove(&paths.tagged, dropped.tag_links)
    free(dropped.tags)
    dropped.tags = NULL
    dropped.next_free = paths.free_path
    paths.free_path = path


cdef uint32_t free_path(Paths* paths) except? 0xffffffff nogil:
    cdef uint32_t at = paths.free_path
    if at:
        paths.free_path = paths.paths[at].next_free
        return at
    grow(<void**>&paths.paths, &paths.room_paths, paths.n_paths + 2, sizeof(Path))
    paths.n_paths += 1
    return paths.n_paths
