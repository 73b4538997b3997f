"""Floating IPs of a router: stateless, one to one, both ways.

Into the router, before its filter: (1) the destination becomes the machine's. Out of it, behind
its filter: (2) the source becomes the floating IP where the packet leaves to the outside, or where
its destination was translated by (1); (3) a source without a floating IP that goes back into its
own subnet after (1) becomes the router's own address there, with a port, so that answers come back
here (hairpin); (4) they do, to the router's own address, and are translated back.

1. Filters see the machine's own address, both ways.
2. Outside is a port whose link is not a tenant's bridge: an uplink, a link to another router, or a
   port in whose subnet the floating IP is.
3. What an ICMP error quotes is translated like the packet itself.
"""

from onehop.engine.cdefs cimport idx_t, uint8_t
from onehop.engine.walk cimport Walk

cdef enum Diverted:        # of Walk.is_diverted; 0: not by this router
    DIVERTED = 1           # its destination was a floating IP or a VIP
    CAME_BACK = 2          # (4)
    ANSWERED = 3           # its source is the VIP that it answers for

# (1) and (4). False: no room.
cdef bint arrive(Walk* walk, idx_t router) noexcept nogil
cdef bint come_back(Walk* walk, idx_t router) noexcept nogil
# (2) and (3): a nat.Translated.
cdef int depart(Walk* walk, idx_t router, idx_t port) noexcept nogil
# Whether `snat` is not for this packet: a floating IP or a VIP is, or will be, its source.
cdef bint is_spoken_for(Walk* walk, idx_t router, idx_t out_port) noexcept nogil
# Whether the router answers for the address (of a VIP or a pool, too), as for its own, on the
# port's link.
cdef bint is_floating(Walk* walk, idx_t port, uint8_t family, const uint8_t* ip) noexcept nogil
