"""From hashes to numbers: open addressing, linear probing, in the order of the hashes."""

from libc.string cimport memset

from onehop.engine.buffer cimport grow, let_go

cdef enum:
    FIRST_PLACES = 64
    MOVES = 8              # old places for each number that comes; two would be just enough


# --- to grow

cdef int index_grow(Index* index, uint32_t more) except -1 nogil:
    cdef Place* places = NULL
    cdef uint32_t n_places = 0
    cdef uint32_t wanted = index.n_places or <uint32_t>FIRST_PLACES
    move(index, MOVES * more)
    if 2 * (index.used + more) <= index.n_places:
        return 0
    while wanted < 2 * (index.used + more):
        wanted *= 2
    grow(<void**>&places, &n_places, wanted, sizeof(Place))
    move(index, index.n_old)
    index.old, index.n_old, index.moved = index.places, index.n_places, 0
    index.places, index.n_places = places, n_places
    while index.n_old and index.old[index.moved].number:  # their homes may be at the end
        move(index, 1)
    return 0


cdef void move(Index* index, uint32_t n) noexcept nogil:
    cdef Place* place
    cdef uint32_t _i
    for _i in range(min(n, index.n_old - index.moved)):
        place = &index.old[index.moved]
        if place.number:
            index_place(index, place.half, place.number)
            place.number = 0
        index.moved += 1
    if index.n_old and index.moved == index.n_old:
        let_go(index.old, index.n_old, sizeof(Place))
        index.old, index.n_old, index.moved = NULL, 0, 0


cdef void index_clear(Index* index) noexcept nogil:
    let_go(index.places, index.n_places, sizeof(Place))
    let_go(index.old, index.n_old, sizeof(Place))
    memset(index, 0, sizeof(Index))


# --- to find

cdef inline bint is_old(const Index* index, const Place* place) noexcept nogil:
    return index.n_old and index.old <= place and place < index.old + index.n_old


cdef Place* index_first_old(const Index* index, uint32_t half) noexcept nogil:
    """Those in front have been moved: what would rather stand there begins behind them."""
    return index_seek(
        index.old, index.n_old, half, max(index_home(half, index.n_old), index.moved))


cdef Place* index_next(const Index* index, const Place* place) noexcept nogil:
    cdef uint32_t half = place.half
    cdef Place* found
    if is_old(index, place):
        return index_seek(
            index.old, index.n_old, half, <uint32_t>(place + 1 - index.old) & (index.n_old - 1))
    found = index_seek(
        index.places, index.n_places, half,
        <uint32_t>(place + 1 - index.places) & (index.n_places - 1))
    return found if found.number or not index.n_old else index_first_old(index, half)


# --- to remove

cdef void index_remove(Index* index, uint64_t hash_, uint32_t number) noexcept nogil:
    cdef Place* place = index_first(index, hash_)
    while place.number != number:
        place = index_next(index, place)
    if is_old(index, place):
        close_gap(index.old, index.n_old, <uint32_t>(place - index.old))
    else:
        close_gap(index.places, index.n_places, <uint32_t>(place - index.places))
    index.used -= 1


cdef void close_gap(Place* places, uint32_t n_places, uint32_t hole) noexcept nogil:
    """What stands behind it and would rather stand there moves back (Knuth, 6.4, algorithm R)."""
    cdef uint32_t last = n_places - 1
    cdef uint32_t at = (hole + 1) & last
    cdef uint32_t home
    while places[at].number:
        home = index_home(places[at].half, n_places)
        if ((at - home) & last) >= ((at - hole) & last):
            places[hole] = places[at]
            hole = at
        at = (at + 1) & last
    places[hole].number = 0
