"""A router, IPv4 and IPv6."""

from onehop.engine.cdefs cimport idx_t, uint8_t
from onehop.engine.walk cimport Walk

cdef int at_router(Walk* walk, idx_t router, idx_t in_port) noexcept nogil
# A flooded packet reaches a router port: ARP and neighbor discovery teach who is there.
cdef void overhear(Walk* walk, idx_t port) noexcept nogil
# Ask for the MAC of an address (16 bytes) on the link of a router port.
cdef int ask(Walk* walk, idx_t port, uint8_t family, const uint8_t* ip) noexcept nogil
