"""The Internet checksum (RFC 1071), its incremental update (RFC 1624), CRC-32c (RFC 9260)."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t


cdef inline uint16_t fold(uint32_t running) noexcept nogil:
    """The checksum: the complement of the running sum."""
    running = (running & 0xffff) + (running >> 16)
    running = (running & 0xffff) + (running >> 16)
    return <uint16_t>~running


cdef inline uint16_t replace16(uint16_t checksum, uint16_t old, uint16_t new) noexcept nogil:
    """RFC 1624, equation 3."""
    return fold(<uint32_t>(<uint16_t>~checksum) + <uint16_t>~old + new)


# The running sum of 16-bit words; an odd last byte counts as the high half of a word.
cdef uint32_t sum16(const uint8_t* data, uint32_t len_bytes, uint32_t running) noexcept nogil

# The checksum after the bytes `old` became `new`: an even number of bytes at an even offset.
cdef uint16_t replace(
    uint16_t checksum, const uint8_t* old, const uint8_t* new, uint32_t len_bytes,
) noexcept nogil

# The running sum of a pseudo header (RFC 768, RFC 8200 section 8.1).
cdef uint32_t pseudo_sum(
    const uint8_t* src, const uint8_t* dst, uint32_t address_bytes, uint8_t ip_proto,
    uint32_t len_bytes,
) noexcept nogil

cdef uint32_t crc32c(const uint8_t* data, uint32_t len_bytes, uint32_t running) noexcept nogil
