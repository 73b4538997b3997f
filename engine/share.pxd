"""Each port's share of the controller: a token bucket per port.

1. Without a rate, everything passes.
2. Time is an argument; time that goes backwards adds nothing.
"""

from onehop.engine.cdefs cimport idx_t, nsec_t, uint32_t

cdef struct Share:
    double rate            # packets a second; 0: no limit
    double burst
    double tokens
    nsec_t filled_at
    nsec_t told_at         # when somebody was last told that packets were refused

cdef struct Shares:
    Share* ports
    uint32_t room

cdef int share_set(
    Shares* shares, idx_t port, double rate, double burst,
) except -1
# Whether one more packet of this port is within its share; takes it.
cdef bint share_take(Shares* shares, idx_t port, nsec_t now) noexcept nogil
# Whether it is time to tell of a refusal again: once a second and port.
cdef bint share_tell(Shares* shares, idx_t port, nsec_t now) noexcept nogil
