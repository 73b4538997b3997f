"""Integers in network order, zeros, and prefixes."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <endian.h>
    #include <stdint.h>
    #include <string.h>
    #define leading_zeros8(value) (__builtin_clz(value) - 24)
    #define leading_zeros64(value) ((uint32_t)__builtin_clzll(value))
    // One instruction each: from single bytes the compiler does not put them together.
    static inline uint16_t get16(const uint8_t *p)
    {
        uint16_t value;
        memcpy(&value, p, 2);
        return be16toh(value);
    }
    static inline uint32_t get32(const uint8_t *p)
    {
        uint32_t value;
        memcpy(&value, p, 4);
        return be32toh(value);
    }
    static inline uint64_t get64(const uint8_t *p)
    {
        uint64_t value;
        memcpy(&value, p, 8);
        return be64toh(value);
    }
    static inline void put16(uint8_t *p, uint16_t value)
    {
        value = htobe16(value);
        memcpy(p, &value, 2);
    }
    static inline void put32(uint8_t *p, uint32_t value)
    {
        value = htobe32(value);
        memcpy(p, &value, 4);
    }
    static inline void put64(uint8_t *p, uint64_t value)
    {
        value = htobe64(value);
        memcpy(p, &value, 8);
    }
    """
    uint32_t leading_zeros8(uint8_t value) noexcept nogil
    uint32_t leading_zeros64(uint64_t value) noexcept nogil
    uint16_t get16(const uint8_t* p) noexcept nogil
    uint32_t get32(const uint8_t* p) noexcept nogil
    uint64_t get64(const uint8_t* p) noexcept nogil
    void put16(uint8_t* p, uint32_t value) noexcept nogil  # its low 16 bits
    void put32(uint8_t* p, uint32_t value) noexcept nogil
    void put64(uint8_t* p, uint64_t value) noexcept nogil


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
