"""What a machine is told about itself: by whom, and what follows from where it is."""

from libc.string cimport memcpy, memset

from onehop.engine.bridge cimport is_router_mac, known_neighbor
from onehop.engine.known cimport Entry

cdef enum:
    OVER_IPV4 = 50         # what VXLAN adds: the inner Ethernet header and three outer ones
    OVER_IPV6 = 70


cdef const uint8_t* router_of(
    Walk* walk, idx_t bridge, uint8_t family, const Lease* lease,
) noexcept nogil:
    cdef const Entry* entry
    if not lease.has_gateway:
        return NULL
    entry = known_neighbor(walk, bridge, family, lease.gateway)
    if entry == NULL or not is_router_mac(walk, bridge, entry.mac):
        return NULL
    return entry.mac


cdef uint16_t mtu_of(const Walk* walk, const Port* port, const Lease* lease) noexcept nogil:
    if lease.mtu:
        return lease.mtu
    return walk.topo.underlay_mtu - (
        OVER_IPV6 if walk.topo.hosts[port.host].tunnel_family == 6 else OVER_IPV4)


cdef void put_link_local(uint8_t* ip, const uint8_t* mac) noexcept nogil:
    """RFC 4291, appendix A."""
    memset(ip, 0, 16)
    ip[0], ip[1] = 0xfe, 0x80
    memcpy(ip + 8, mac, 3)
    ip[8] ^= 2
    ip[11], ip[12] = 0xff, 0xfe
    memcpy(ip + 13, mac + 3, 3)
