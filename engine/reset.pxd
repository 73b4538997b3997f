"""TCP resets that the network itself sends."""

from onehop.engine.cdefs cimport uint8_t, uint32_t
from onehop.engine.packet cimport Packet

# The reset that answers a segment whose connection does not exist, back to the MAC and the
# address that it came from; its length. 0: it must not be answered, or there is no room.
cdef uint32_t craft_tcp_reset(
    uint8_t* out, uint32_t room_bytes, const Packet* segment, const uint8_t* src_mac,
) noexcept nogil
