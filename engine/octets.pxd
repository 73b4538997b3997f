"""Integers in network order, zeros, and prefixes."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define leading_zeros8(value) (__builtin_clz(value) - 24)
    """
    uint32_t leading_zeros8(uint8_t value) noexcept nogil


cdef inline uint16_t get16(const uint8_t* p) noexcept nogil:
    return <uint16_t>(p[0] << 8 | p[1])


cdef inline uint32_t get32(const uint8_t* p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]


cdef inline uint64_t get64(const uint8_t* p) noexcept nogil:
    return <uint64_t>get32(p) << 32 | get32(p + 4)


cdef inline void put16(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 8)
    p[1] = <uint8_t>value


cdef inline void put32(uint8_t* p, uint32_t value) noexcept nogil:
    put16(p, value >> 16)
    put16(p + 2, value)


cdef inline void put64(uint8_t* p, uint64_t value) noexcept nogil:
    put32(p, <uint32_t>(value >> 32))
    put32(p + 4, <uint32_t>value)


cdef inline bint is_zero(const uint8_t* p, uint32_t len_bytes) noexcept nogil:
    cdef uint32_t at
    cdef uint8_t found = 0
    for at in range(len_bytes):
        found |= p[at]
    return found == 0


cdef inline bint is_link_local(const uint8_t* ip) noexcept nogil:
    """fe80::/10"""
    return ip[0] == 0xfe and ip[1] & 0xc0 == 0x80


cdef inline uint32_t same_bits(const uint8_t* a, const uint8_t* b, uint32_t n) noexcept nogil:
    """How many of the first n bits they have in common."""
    cdef uint32_t at = 0
    while at < n:
        if a[at >> 3] != b[at >> 3]:
            return min(at + leading_zeros8(a[at >> 3] ^ b[at >> 3]), n)
        at += 8
    return n
