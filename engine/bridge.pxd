"""A learning switch."""

from onehop.engine.cdefs cimport idx_t, uint8_t
from onehop.engine.walk cimport Walk

cdef int at_bridge(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil
# The MAC of an address (16 bytes) known in the bridge's segment, or NULL.
cdef const uint8_t* known_mac(
    Walk* walk, idx_t bridge, uint8_t family, const uint8_t* ip,
) noexcept nogil
