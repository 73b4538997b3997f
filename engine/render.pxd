"""Flow key -> bytes: the packet as its key says that it is now."""

from onehop.engine.cdefs cimport uint8_t, uint32_t
from onehop.engine.packet cimport Packet

# Write the packet as pkt.key says that it is now (headers, TTL, checksums); return its length,
# or 0 where it does not fit or its bytes are unknown.
cdef uint32_t render(const Packet* pkt, uint8_t* out, uint32_t room_bytes) noexcept nogil
