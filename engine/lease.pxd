"""What a machine is told about itself: by whom, and what follows from where it is."""

from onehop.engine.cdefs cimport idx_t, uint8_t, uint16_t
from onehop.engine.topology cimport Lease, Port
from onehop.engine.walk cimport Walk

cdef enum:
    LEASE_S = 86400        # of addresses
    HEAD_BYTES = 14        # of untagged frames

cdef enum Told:            # in words in explain.TOLD
    T_NOTHING              # what needs no answer, or is for somebody else to answer
    T_MALFORMED
    T_OFFER                # DHCPv4
    T_ACK
    T_NAK
    T_INFORMED
    T_ADVERTISE            # DHCPv6
    T_REPLY
    T_ROUTER               # a router advertisement

# The router that is the gateway, or NULL.
cdef const uint8_t* router_of(
    Walk* walk, idx_t bridge, uint8_t family, const Lease* lease,
) noexcept nogil
# The longest IP packet that the machine should send.
cdef uint16_t mtu_of(const Walk* walk, const Port* port, const Lease* lease) noexcept nogil
# The link-local address that follows from a MAC.
cdef void put_link_local(uint8_t* ip, const uint8_t* mac) noexcept nogil
