"""From hashes to numbers: open addressing, linear probing, in the order of the hashes.

1. A place holds the high half of a hash, and a number; what it names is for its owner to compare.
   Most that are another's are told apart here, without reading what they name.
2. At most half of the places are taken, so a search ends; number 0 is nobody's.
3. The home of a hash is as far along the places as the hash is among all hashes. So an index grows
   in one pass along both, and what it names is not read for that.
4. It grows a few places at a time, with every number that comes: no packet waits for all of it.
   Until then a search goes on among the old places, of which those in front have been moved.
5. Zeroed memory is an empty index.
"""

from onehop.engine.buffer cimport prefetch
from onehop.engine.cdefs cimport uint32_t, uint64_t

cdef struct Place:
    uint32_t number        # 0: free
    uint32_t half          # of its hash

cdef struct Index:
    Place* places
    uint32_t n_places      # a power of two; 0: none yet
    uint32_t used          # of the old ones too
    Place* old
    uint32_t n_old         # 0: all are moved
    uint32_t moved

# Make room for so many more.
cdef int index_grow(Index* index, uint32_t more) except -1 nogil
# It is there.
cdef void index_remove(Index* index, uint64_t hash_, uint32_t number) noexcept nogil
cdef void index_clear(Index* index) noexcept nogil

cdef inline uint32_t index_home(uint32_t half, uint32_t n_places) noexcept nogil:
    return <uint32_t>(<uint64_t>half * n_places >> 32)

# The first place from `at` on with that half, or the free one where the search ends.
cdef inline Place* index_seek(
    Place* places, uint32_t n_places, uint32_t half, uint32_t at,
) noexcept nogil:
    while places[at].number and places[at].half != half:
        at = (at + 1) & (n_places - 1)
    return &places[at]

# A search: the place of the first number with this hash, then of the next ones. A free place: no
# more. The index must have places.
cdef inline Place* index_first(const Index* index, uint64_t hash_) noexcept nogil:
    cdef uint32_t half = <uint32_t>(hash_ >> 32)
    cdef Place* place = index_seek(
        index.places, index.n_places, half, index_home(half, index.n_places))
    return place if place.number or not index.n_old else index_first_old(index, half)

cdef Place* index_first_old(const Index* index, uint32_t half) noexcept nogil
cdef Place* index_next(const Index* index, const Place* place) noexcept nogil

# There is room for it.
cdef inline void index_put(Index* index, uint64_t hash_, uint32_t number) noexcept nogil:
    index_place(index, <uint32_t>(hash_ >> 32), number)
    index.used += 1

cdef inline void index_place(Index* index, uint32_t half, uint32_t number) noexcept nogil:
    cdef uint32_t at = index_home(half, index.n_places)
    while index.places[at].number:
        at = (at + 1) & (index.n_places - 1)
    index.places[at] = Place(number, half)

cdef inline void index_prefetch(const Index* index, uint64_t hash_) noexcept nogil:
    prefetch(&index.places[index_home(<uint32_t>(hash_ >> 32), index.n_places)])
