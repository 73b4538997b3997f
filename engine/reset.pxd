"""TCP resets: the answer to a segment that is refused (RFC 9293, 3.10.7.1).

1. Written as craft.pxd says of all that the network itself sends.
2. A reset is never answered by one.
"""

from onehop.engine.cdefs cimport uint8_t, uint32_t
from onehop.engine.packet cimport Packet

# A reset of the segment, from src_mac and the address that it was sent to.
cdef uint32_t tcp_reset(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, const uint8_t* src_mac,
) noexcept nogil
