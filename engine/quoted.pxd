"""The packet that an ICMP error quotes: its connection, and how it is translated in place.

1. The bytes that are changed are the walk's own copy, in Verdict.crafted; the packet points to it.
2. Checksums that stand in what is quoted, and the error's own, are updated by what changed
   (RFC 1624); a checksum that was cut off is not there.
"""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint64_t
from onehop.engine.packet cimport Packet
from onehop.engine.state cimport StateKey
from onehop.engine.walk cimport Walk

# The key of the quoted packet's answer, which goes the way of the error. False: none is quoted.
cdef bint quoted_key(const Packet* pkt, uint64_t zone, int kind, StateKey* out) noexcept nogil
# The quoted packet has another source or destination. False: no room for the copy.
cdef bint set_quoted_source(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil
cdef bint set_quoted_destination(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil
# The same, but its port stays.
cdef bint set_quoted_address(Walk* walk, const uint8_t* ip, bint is_source) noexcept nogil
