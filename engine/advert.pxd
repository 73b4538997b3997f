"""Router discovery (RFC 4861, sections 4.1 and 4.2)."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t
from onehop.engine.packet cimport Packet
from onehop.engine.topology cimport Lease

cdef enum:
    ICMP6_RS = 133
    ICMP6_RA = 134

# Whether a router solicitation is to be believed (section 6.1.1).
cdef bint is_solicitation(const Packet* pkt) noexcept nogil

# What the router at `mac` advertises to ip at to_mac, or to all nodes where these are NULL; the
# length of the frame, 0: no room. It is no router where `lives_s` is 0.
cdef uint32_t router_advert(
    uint8_t* out, uint32_t room_bytes, const Lease* lease, const uint8_t* mac, uint16_t lives_s,
    uint16_t mtu, const uint8_t* to_mac, const uint8_t* to_ip,
) noexcept nogil
