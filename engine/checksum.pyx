"""Checksums over bytes; pure arithmetic.

1. A running sum is not folded: 2**16 words fit in its 32 bits, and no packet has more.
2. `crc32c` starts from 0xffffffff and its caller complements what comes back.
"""

from onehop.engine.octets cimport get16

cdef enum:
    CASTAGNOLI = 0x82f63b78   # the polynomial of RFC 9260, appendix A, bits reversed


cdef uint32_t sum16(const uint8_t* data, uint32_t len_bytes, uint32_t running) noexcept nogil:
    cdef uint32_t at
    for at in range(0, len_bytes & ~1u, 2):
        running += get16(data + at)
    if len_bytes & 1:
        running += <uint32_t>data[len_bytes - 1] << 8
    return running


cdef uint16_t replace(
    uint16_t checksum, const uint8_t* old, const uint8_t* new, uint32_t len_bytes,
) noexcept nogil:
    cdef uint32_t at
    for at in range(0, len_bytes, 2):
        checksum = replace16(checksum, get16(old + at), get16(new + at))
    return checksum


cdef uint32_t pseudo_sum(
    const uint8_t* src, const uint8_t* dst, uint32_t address_bytes, uint8_t ip_proto,
    uint32_t len_bytes,
) noexcept nogil:
    cdef uint32_t running = sum16(dst, address_bytes, sum16(src, address_bytes, 0))
    return running + ip_proto + (len_bytes >> 16) + (len_bytes & 0xffff)


cdef uint32_t crc32c(const uint8_t* data, uint32_t len_bytes, uint32_t running) noexcept nogil:
    cdef uint32_t at
    cdef int _bit
    for at in range(len_bytes):
        running ^= data[at]
        for _bit in range(8):
            running = running >> 1 ^ (CASTAGNOLI if running & 1 else 0)
    return running
