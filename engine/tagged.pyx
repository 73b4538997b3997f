"""Tags -> flows: an index of tags, doubly linked lists of flows."""

from libc.string cimport memset

from onehop.engine.buffer cimport grow, let_go, reserve, written
from onehop.engine.index cimport (
    Place, index_clear, index_first, index_grow, index_next, index_prefetch, index_put,
    index_remove,
)


cdef uint32_t tagged_add(
    Tagged* tagged, uint32_t flow, const tag_t* tags, uint32_t n_tags,
) except? 0xffffffff nogil:
    cdef uint32_t first = 0
    cdef uint32_t i
    index_grow(&tagged.index, n_tags)
    grow(<void**>&tagged.links, &tagged.room_links, tagged.n_links + n_tags + 1, sizeof(TagLink))
    for i in range(n_tags):
        first = add_link(tagged, tags[i], flow, first)
    return first


cdef inline uint32_t add_link(
    Tagged* tagged, tag_t tag, uint32_t flow, uint32_t next_of_flow,
) noexcept nogil:
    cdef uint32_t link = new_link(tagged)
    cdef Place* place = find(tagged, tag)
    cdef uint32_t second = place.number
    tagged.links[link] = TagLink(tag, flow, 0, second, next_of_flow)
    if second:
        tagged.links[second].prev = link
        place.number = link
    else:
        index_put(&tagged.index, tag, link)
    return link


cdef void tagged_remove(Tagged* tagged, uint32_t first_link) noexcept nogil:
    cdef uint32_t link = first_link
    cdef uint32_t next_link
    while link:
        next_link = tagged.links[link].next_of_flow
        unlink(tagged, link)
        tagged.links[link].next_of_flow = tagged.free_link
        tagged.free_link = link
        link = next_link


cdef void tagged_prefetch(const Tagged* tagged, const tag_t* tags, uint32_t n_tags) noexcept nogil:
    cdef uint32_t i
    for i in range(n_tags if tagged.index.n_places else 0):
        index_prefetch(&tagged.index, tags[i])


cdef int tagged_find(const Tagged* tagged, tag_t tag, Buffer* found) except -1 nogil:
    cdef uint32_t link = find(tagged, tag).number if tagged.index.n_places else 0
    while link:
        (<uint32_t*>reserve(found, 4))[0] = tagged.links[link].flow
        written(found, 4)
        link = tagged.links[link].next
    return 0


cdef bint tagged_has(const Tagged* tagged, tag_t tag) noexcept nogil:
    return tagged.index.n_places and find(tagged, tag).number


cdef void tagged_clear(Tagged* tagged) noexcept nogil:
    index_clear(&tagged.index)
    let_go(tagged.links, tagged.room_links, sizeof(TagLink))
    memset(tagged, 0, sizeof(Tagged))


cdef inline Place* find(const Tagged* tagged, tag_t tag) noexcept nogil:
    """Of the tag's first link; without a number, where there is none."""
    cdef Place* place = index_first(&tagged.index, tag)
    while place.number and tagged.links[place.number].tag != tag:
        place = index_next(&tagged.index, place)
    return place


cdef void unlink(Tagged* tagged, uint32_t at) noexcept nogil:
    cdef TagLink* link = &tagged.links[at]
    if link.next:
        tagged.links[link.next].prev = link.prev
    if link.prev:
        tagged.links[link.prev].next = link.next
    elif link.next:
        find(tagged, link.tag).number = link.next
    else:
        index_remove(&tagged.index, link.tag, at)


cdef inline uint32_t new_link(Tagged* tagged) noexcept nogil:
    cdef uint32_t link = tagged.free_link
    if link:
        tagged.free_link = tagged.links[link].next_of_flow
        return link
    tagged.n_links += 1
    return tagged.n_links
