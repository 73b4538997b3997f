"""Bytes and arrays that grow, without the GIL until there is no memory.

1. `reserve` gives room behind what is written; `written` says how much of it was used.
2. A pointer from `reserve` is good until the next one.
3. An array that `grow` made ends with `let_go`, not with `free`.
"""

from libc.stdlib cimport realloc

from onehop.engine.cdefs cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #define FAR (4 << 20)
    #define prefetch(address) __builtin_prefetch(address)
    static inline void ask_for_huge_pages(void *begin, uint64_t len_bytes)
    {
        uintptr_t first = ((uintptr_t)begin + 4095) & ~(uintptr_t)4095;
        uintptr_t end = ((uintptr_t)begin + len_bytes) & ~(uintptr_t)4095;
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);  // in vain on some kernels
    }
    static inline void *mapped(void *items, uint64_t before, uint64_t after)
    {
        void *moved;
        if (before >= FAR)
            moved = mremap(items, before, after, MREMAP_MAYMOVE);
        else
            moved = mmap(NULL, after, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (moved == MAP_FAILED)
            return NULL;
        ask_for_huge_pages(moved, after);
        if (before < FAR) {
            if (before)
                memcpy(moved, items, before);
            free(items);
        }
        return moved;
    }
    static inline void *enlarged(void *items, uint64_t before, uint64_t after)
    {
        void *moved;
        if (after >= FAR)
            return mapped(items, before, after);
        moved = realloc(items, after);
        if (moved)
            memset((uint8_t *)moved + before, 0, after - before);
        return moved;
    }
    static inline void let_go_of(void *items, uint64_t len_bytes)
    {
        if (len_bytes >= FAR)
            munmap(items, len_bytes);
        else
            free(items);
    }
    """
    enum:
        FAR                # bytes of an array that has pages of its own, huge ones if possible
    void prefetch(const void* address) noexcept nogil  # have it in the cache soon
    void ask_for_huge_pages(void* begin, uint64_t len_bytes) noexcept nogil
    void* enlarged(void* items, uint64_t before, uint64_t after) noexcept nogil
    void let_go_of(void* items, uint64_t len_bytes) noexcept nogil

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
    """Make `items` an array of at least `needed`; what is new in it is zero.

    A large one is not copied, and its new pages are not touched: a packet must not wait for that.
    """
    cdef uint32_t larger = max(needed, 2 * room[0])
    cdef void* moved
    if needed <= room[0]:
        return 0
    moved = enlarged(items[0], <uint64_t>room[0] * item_bytes, <uint64_t>larger * item_bytes)
    if moved == NULL:
        with gil:
            raise MemoryError
    items[0] = moved
    room[0] = larger
    return 0


cdef inline void let_go(void* items, uint32_t room, uint32_t item_bytes) noexcept nogil:
    """The end of an array that may have grown."""
    let_go_of(items, <uint64_t>room * item_bytes)
