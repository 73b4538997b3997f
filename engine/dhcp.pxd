"""DHCPv4 (RFC 2131) for machines whose addresses are stated."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t
from onehop.engine.packet cimport Packet
from onehop.engine.topology cimport Lease

# The answer to a DHCP request, as a frame from `mac`; its length, 0: there is none. `told`: what
# it says, or why there is none (a lease.Told).
cdef uint32_t dhcp_answer(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, const Lease* lease, const uint8_t* mac,
    uint16_t mtu, int* told,
) noexcept nogil
