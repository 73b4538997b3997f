"""Each port's share of the controller: a token bucket per port."""

from onehop.engine.buffer cimport grow

cdef enum:
    SECOND = 1000000000


cdef int share_set(Shares* shares, idx_t port, double rate, double burst) except -1:
    grow(<void**>&shares.ports, &shares.room, port + 1, sizeof(Share))
    shares.ports[port] = Share(rate, burst, burst, 0, -SECOND)
    return 0


cdef bint share_take(Shares* shares, idx_t port, nsec_t now) noexcept nogil:
    cdef Share* share
    if port >= shares.room or shares.ports[port].rate <= 0:
        return True
    share = &shares.ports[port]
    if now > share.filled_at:
        share.tokens += share.rate * (now - share.filled_at) / SECOND
        share.tokens = min(share.tokens, share.burst)
        share.filled_at = now
    if share.tokens < 1:
        return False
    share.tokens -= 1
    return True


cdef bint share_tell(Shares* shares, idx_t port, nsec_t now) noexcept nogil:
    if port >= shares.room or now - shares.ports[port].told_at < SECOND:
        return False
    shares.ports[port].told_at = now
    return True
