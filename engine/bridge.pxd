"""A learning switch."""

from onehop.engine.cdefs cimport idx_t, uint8_t
from onehop.engine.known cimport Entry
from onehop.engine.walk cimport Walk

cdef int at_bridge(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil
# What is known of an address (16 bytes) in the bridge's segment, or NULL.
cdef const Entry* known_neighbor(
    Walk* walk, idx_t bridge, uint8_t family, const uint8_t* ip,
) noexcept nogil
# Whether it is the MAC of a router port of the bridge.
cdef bint is_router_mac(Walk* walk, idx_t bridge, const uint8_t* mac) noexcept nogil
