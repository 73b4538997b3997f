"""From hashes to numbers: open addressing, linear probing, in the order of the hashes."""

from libc.string cimport memset

from onehop.engine.buffer cimport grow, let_go

cdef enum:
    FIRST_PLACES = 64


cdef int index_grow(Index* index, uint32_t more) except -1 nogil:
    cdef Index larger
    cdef uint32_t at
    if 2 * (index.used + more) <= index.n_places:
        return 0
    memset(&larger, 0, sizeof(Index))
    at = index.n_places or <uint32_t>FIRST_PLACES
    while at < 2 * (index.used + more):
        at *= 2
    grow(<void**>&larger.places, &larger.n_places, at, sizeof(Place))
    for at in range(index.n_places):
        if index.places[at].number:
            index_put(
                &larger, <uint64_t>index.places[at].half << 32, index.places[at].number)
    index_clear(index)
    index[0] = larger
    return 0


cdef void index_remove(Index* index, uint64_t hash_, uint32_t number) noexcept nogil:
    """What stands behind it and would rather stand there moves back (Knuth, 6.4, algorithm R)."""
    cdef Place* place = index_first(index, hash_)
    cdef uint32_t hole, at, home
    cdef uint32_t last = index.n_places - 1
    while place.number != number:
        place = index_next(index, place)
    hole = <uint32_t>(place - index.places)
    at = index_after(index, hole)
    while index.places[at].number:
        home = index_home(index, index.places[at].half)
        if ((at - home) & last) >= ((at - hole) & last):
            index.places[hole] = index.places[at]
            hole = at
        at = index_after(index, at)
    index.places[hole].number = 0
    index.used -= 1


cdef void index_clear(Index* index) noexcept nogil:
    let_go(index.places, index.n_places, sizeof(Place))
    memset(index, 0, sizeof(Index))
