"""What a port's owner is held to: its own addresses (anti-spoofing), and its security groups.

Security groups are chains: two of each group, made of its rules, that accept or come to their
end. (1) What is neither IPv4 nor IPv6 passes, and so does what a machine needs to get and keep
its addresses (neighbor discovery, DHCP). (2) A packet of the return direction passes. (3) A later
fragment passes: without the first, which is judged, it is worth nothing (RFC 1858, 2.1).
(4) A rule of any of the groups lets the packet pass. (5) Otherwise it is dropped.
"""

from onehop.engine.filter cimport Place
from onehop.engine.topology cimport Port
from onehop.engine.walk cimport Walk

cdef bint is_honest(Walk* walk, const Port* port) noexcept nogil
cdef bint may_send(Walk* walk, const Port* port, const Place* place) noexcept nogil
cdef bint may_receive(Walk* walk, const Port* port, const Place* place) noexcept nogil
