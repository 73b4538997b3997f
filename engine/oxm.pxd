"""Flow key and mask <-> OpenFlow match (OXM, OpenFlow 1.3 section 7.2.3)."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.packet cimport FlowKey

cdef enum:
    MATCH_MAX = 160        # bytes that `put_match` may write

cdef struct Match:         # a match as it was read
    FlowKey key            # in_port: 0, see ofport
    FlowKey mask
    uint32_t ofport        # in OVS's numbers; 0: any
    uint16_t limits_mark   # of the list that key.len_class is about
    uint64_t metadata      # how many routers had passed the packet on, see translate.pxd

# Widen `mask` to what OVS can match, and clear what a packet such as `key` does not have, in both.
# False: no match can say it (ARP).
cdef bint normalise(FlowKey* key, FlowKey* mask) noexcept nogil

# Leave in the key only what the mask shows.
cdef inline void hide(FlowKey* key, const FlowKey* mask) noexcept nogil:
    cdef uint64_t* words = <uint64_t*>key
    cdef const uint64_t* seen = <const uint64_t*>mask
    cdef uint32_t i
    for i in range(sizeof(FlowKey) // 8):
        words[i] &= seen[i]

# Whether a mask shows nothing that another one does not.
cdef inline bint is_within(const FlowKey* part, const FlowKey* whole) noexcept nogil:
    cdef const uint64_t* a = <const uint64_t*>part
    cdef const uint64_t* b = <const uint64_t*>whole
    cdef uint64_t beyond = 0
    cdef uint32_t i
    for i in range(sizeof(FlowKey) // 8):
        beyond |= a[i] & ~b[i]
    return beyond == 0

# Write the ofp_match of a normalised key and mask, padding included; its length.
cdef uint32_t put_match(
    uint8_t* out, const FlowKey* key, const FlowKey* mask, uint32_t ofport, uint16_t limits_mark,
) noexcept nogil

# Read OXM fields (without ofp_match's header). False: not all of it means something here.
cdef bint read_match(Match* match, const uint8_t* oxm, uint32_t len_bytes) noexcept nogil
