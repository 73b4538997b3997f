"""From hashes to numbers: open addressing, linear probing, in the order of the hashes.

1. A place holds the high half of a hash, and a number: what it names is for its owner to compare.
   Most that are another's are told apart here, without reading what they name.
2. At most half of the places are taken, so a search ends; number 0 is nobody's.
3. The home of a hash is as far along the places as the hash is among all hashes. So an index grows
   in one pass along both, and what it names is not read for that.
4. Zeroed memory is an empty index.
"""

from onehop.engine.buffer cimport prefetch
from onehop.engine.cdefs cimport uint32_t, uint64_t

cdef struct Place:
    uint32_t number        # 0: free
    uint32_t half          # of its hash

cdef struct Index:
    Place* places
    uint32_t n_places      # a power of two; 0: none yet
    uint32_t used

# Make room for so many more.
cdef int index_grow(Index* index, uint32_t more) except -1 nogil
# It is there.
cdef void index_remove(Index* index, uint64_t hash_, uint32_t number) noexcept nogil
cdef void index_clear(Index* index) noexcept nogil

cdef inline uint32_t index_home(const Index* index, uint32_t half) noexcept nogil:
    return <uint32_t>(<uint64_t>half * index.n_places >> 32)

cdef inline uint32_t index_after(const Index* index, uint32_t at) noexcept nogil:
    return (at + 1) & (index.n_places - 1)

# A search: the place of the first number with this hash, then of the next ones. A free place: no
# more. The index must have places.
cdef inline Place* index_first(const Index* index, uint64_t hash_) noexcept nogil:
    return index_seek(index, <uint32_t>(hash_ >> 32), index_home(index, <uint32_t>(hash_ >> 32)))

cdef inline Place* index_next(const Index* index, const Place* place) noexcept nogil:
    return index_seek(
        index, place.half, index_after(index, <uint32_t>(place - index.places)))

cdef inline Place* index_seek(const Index* index, uint32_t half, uint32_t at) noexcept nogil:
    while index.places[at].number and index.places[at].half != half:
        at = index_after(index, at)
    return &index.places[at]

# There is room for it.
cdef inline void index_put(Index* index, uint64_t hash_, uint32_t number) noexcept nogil:
    cdef uint32_t half = <uint32_t>(hash_ >> 32)
    cdef uint32_t at = index_home(index, half)
    while index.places[at].number:
        at = index_after(index, at)
    index.places[at] = Place(number, half)
    index.used += 1

cdef inline void index_prefetch(const Index* index, uint64_t hash_) noexcept nogil:
    prefetch(&index.places[index_home(index, <uint32_t>(hash_ >> 32))])
