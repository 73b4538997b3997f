"""What machines ask the network about themselves: DHCP, DHCPv6 and router solicitations.

They are answered where they enter, by the machine's bridge, before any filter but anti-spoofing;
the answers meet none.  Only the port's own lease counts: a machine that has none is not heard, nor
is one that asks in a VLAN or with another MAC than its port's, and its packets are like others.
"""

from onehop.engine.cdefs cimport idx_t, uint8_t
from onehop.engine.topology cimport Port
from onehop.engine.walk cimport Walk

# Whether the packet that enters is such a question, to all or to the bridge's own MAC.
cdef bint asks(Walk* walk, const Port* port) noexcept nogil
# Whether the packet for a router is one: a lease is renewed at the address that gave it.
cdef bint renews(const Walk* walk) noexcept nogil
# Answer it; a VerdictKind.
cdef int serve(Walk* walk, idx_t index) noexcept nogil
# Advertise the router to the machine, or to all behind its port where the addresses are NULL.
cdef int advertise_to(
    Walk* walk, idx_t index, const uint8_t* mac, const uint8_t* ip,
) noexcept nogil
