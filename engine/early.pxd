"""Packets that came before it was known here which connection they belong to.

A reply may be quicker than the peer's word about its connection. Its verdict (`is_early`) would be
to drop it, to refuse it, or to take it for the beginning of something:

1. It is not decided yet: nothing is sent, counted as dropped, or installed. It is decided when an
   entry that it asked for has come, and then it is as if it came in only now; or when its time is
   over, whatever it is then. Each is decided once.
2. Bounded, in packets and in bytes: for what is too much the first verdict is final.
"""

from onehop.engine.cdefs cimport idx_t, nsec_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.packet cimport Packet
from onehop.engine.state cimport StateTable
from onehop.engine.verdict cimport Verdict

cdef enum:
    MAX_EARLY = 256
    MAX_EARLY_BYTES = 1048576
    MAX_MISSED = 16

cdef struct Early:         # one packet
    uint8_t* data          # NULL: it has been decided
    uint32_t len_bytes
    idx_t in_port
    nsec_t until
    uint16_t n_missed
    tag_t missed[MAX_MISSED]   # of entries that it asked for

cdef struct Earlies:
    nsec_t patience        # how long one is kept; 0: none is
    Early* ring            # of MAX_EARLY, the oldest at `first`
    uint32_t first
    uint32_t count
    uint64_t len_bytes

# Keep a copy. False: there is no room.
cdef bint early_keep(
    Earlies* earlies, const StateTable* table, const Verdict* verdict, const Packet* pkt,
    nsec_t now,
) noexcept nogil
cdef Early* early_at(Earlies* earlies, uint32_t nth) noexcept nogil
# Whether it is time to look at it again.
cdef bint early_is_due(const Early* early, const StateTable* table, nsec_t now) noexcept nogil
# It was looked at again, and still asks for what is not known.
cdef void early_note(
    Early* early, const StateTable* table, const Verdict* verdict, nsec_t now,
) noexcept nogil
# It is decided.
cdef void early_done(Earlies* earlies, Early* early) noexcept nogil
# Give room that the oldest left.
cdef void early_trim(Earlies* earlies) noexcept nogil
cdef void early_clear(Earlies* earlies) noexcept nogil
