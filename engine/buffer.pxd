"""Bytes and arrays that grow, without the GIL until there is no memory.

1. `reserve` gives room behind what is written; `written` says how much of it was used.
2. A pointer from `reserve` is good until the next one.
"""

from libc.stdlib cimport realloc
from libc.string cimport memset

from onehop.engine.cdefs cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <sys/mman.h>
    #define prefetch(address) __builtin_prefetch(address)
    static inline void ask_for_huge_pages(void *begin, uint64_t len_bytes)
    {
        uintptr_t first = ((uintptr_t)begin + 4095) & ~(uintptr_t)4095;
        uintptr_t end = ((uintptr_t)begin + len_bytes) & ~(uintptr_t)4095;
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);  // in vain on some kernels
    }
    """
    void prefetch(const void* address) noexcept nogil  # have it in the cache soon
    void ask_for_huge_pages(void* begin, uint64_t len_bytes) noexcept nogil

cdef enum:
    FAR = 4 << 20          # bytes of an array that is read in no order: fewer pages, fewer misses

cdef struct Buffer:
    uint8_t* data
    uint64_t len_bytes
    uint64_t room_bytes


cdef inline uint8_t* reserve(Buffer* buffer, uint64_t len_bytes) except NULL nogil:
    cdef uint64_t room
    cdef void* moved
    if buffer.len_bytes + len_bytes > buffer.room_bytes:
        room = 2 * (buffer.len_bytes + len_bytes)
        moved = realloc(buffer.data, room)
        if moved == NULL:
            with gil:
                raise MemoryError
        buffer.data = <uint8_t*>moved
        buffer.room_bytes = room
    return buffer.data + buffer.len_bytes


cdef inline void written(Buffer* buffer, uint64_t len_bytes) noexcept nogil:
    buffer.len_bytes += len_bytes


cdef inline int grow(
    void** items, uint32_t* room, uint32_t needed, uint32_t item_bytes,
) except -1 nogil:
    """Make `items` an array of at least `needed`; what is new in it is zero."""
    cdef uint32_t larger = max(needed, 2 * room[0])
    cdef void* moved
    if needed <= room[0]:
        return 0
    moved = realloc(items[0], <uint64_t>larger * item_bytes)
    if moved == NULL:
        with gil:
            raise MemoryError
    if <uint64_t>larger * item_bytes >= FAR:
        ask_for_huge_pages(moved, <uint64_t>larger * item_bytes)
    memset(<uint8_t*>moved + <uint64_t>room[0] * item_bytes, 0,
           <uint64_t>(larger - room[0]) * item_bytes)
    items[0] = moved
    room[0] = larger
    return 0
