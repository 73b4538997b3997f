"""Who is on a router port's link: ARP and neighbor discovery."""

from onehop.engine.cdefs cimport idx_t, uint8_t, uint32_t
from onehop.engine.known cimport Entry
from onehop.engine.topology cimport Address, Port
from onehop.engine.walk cimport Walk

cdef bint is_nd(Walk* walk) noexcept nogil
cdef int hear_arp(Walk* walk, idx_t index) noexcept nogil
cdef int hear_nd(Walk* walk, idx_t index) noexcept nogil
# A flooded packet reaches a router port: ARP and neighbor discovery teach who is there.
cdef void overhear(Walk* walk, idx_t port) noexcept nogil
# Whether one of the port's subnets has an address (16 bytes).
cdef bint is_on_link(const Port* port, uint8_t family, const uint8_t* ip) noexcept nogil
# What is known of an address (16 bytes) on the port's link, or NULL.
cdef const Entry* neighbor(
    Walk* walk, const Port* port, uint8_t family, const uint8_t* ip,
) noexcept nogil
# Ask for the MAC of an address (16 bytes) on the link of a router port.
cdef int ask(Walk* walk, idx_t index, uint8_t family, const uint8_t* ip) noexcept nogil
# The address to speak from: in the same subnet where there is one; NULL: none of that family.
cdef const Address* own_address(
    const Port* port, uint8_t family, const uint8_t* towards,
) noexcept nogil
