"""Bytes that grow: what is written is appended, and nothing moves it to Python until it is whole.

1. `reserve` gives room behind what is written; `written` says how much of it was used.
2. A pointer from `reserve` is good until the next one.
"""

from libc.stdlib cimport realloc

from onehop.engine.cdefs cimport uint8_t, uint64_t

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
