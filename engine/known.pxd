"""What is known about addresses: a MAC's port on a bridge, an address's MAC on a link.

1. A place is a device index, or a port index with PLACE_IS_PORT.
2. Open addressing, linear probing; at most half of the slots are used, so a miss ends.
3. Keys are compared as bytes: no field is left unset, and there is no padding.
"""

from onehop.engine.cdefs cimport idx_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    PLACE_IS_PORT = 0x80000000
    ANY_VLAN = 0xffff          # a stated MAC holds in every VLAN

cdef enum What:
    WHAT_FREE = 0
    WHAT_MAC = 1               # detail: VLAN id or ANY_VLAN; bytes: the MAC
    WHAT_NEIGHBOR = 2          # detail: 4 or 6; bytes: the address

cdef struct Subject:
    uint8_t bytes[16]
    uint32_t place
    uint16_t what
    uint16_t detail

cdef struct Entry:
    Subject subject
    idx_t port                 # WHAT_MAC: where it is
    uint8_t mac[6]             # WHAT_NEIGHBOR: its MAC
    uint8_t stated
    uint8_t _pad

cdef struct Known:
    Entry* slots
    uint32_t mask              # number of slots - 1
    uint32_t used

cdef Subject mac_subject(uint32_t place, uint16_t vlan, const uint8_t* mac) noexcept nogil
cdef Subject neighbor_subject(uint32_t place, uint8_t family, const uint8_t* ip) noexcept nogil
cdef const Entry* find(const Known* known, const Subject* subject) noexcept nogil
cdef int put(Known* known, const Entry* entry) except -1
cdef void remove(Known* known, const Subject* subject) noexcept nogil

cdef inline uint64_t mix(uint64_t a, uint64_t b) noexcept nogil:
    """Spread the bits of both over the result (the finalizer of splitmix64)."""
    cdef uint64_t x = a ^ (b * 0x9e3779b97f4a7c15ULL)
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL
    return x ^ (x >> 31)
