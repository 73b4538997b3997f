"""Who is on a router port's link: ARP and neighbor discovery, heard, answered and asked.

Stated addresses come before learned ones, so nobody can announce somebody else's. ARP from
outside the port's subnets is not believed, nor answered.
"""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.bridge cimport known_neighbor
from onehop.engine.cdefs cimport MAX_NEIGHBORS, NONE, uint32_t
from onehop.engine.craft cimport arp_reply, arp_request, nd_advert, nd_solicit
from onehop.engine.floating cimport is_floating
from onehop.engine.known cimport PLACE_IS_PORT, Subject, find, neighbor_subject
from onehop.engine.octets cimport is_zero, same_bits
from onehop.engine.packet cimport (
    ETH_ARP, ETH_IPV6, ICMP6_NA, ICMP6_NS, IP_ICMP6, VLAN_PRESENT, Packet,
)
from onehop.engine.port cimport emit
from onehop.engine.names cimport neighbor_tag
from onehop.engine.verdict cimport CONSUMED, R_ARP, Seen
from onehop.engine.walk cimport (
    S_MEETS, S_TAG_NEIGHBOR, add_tag, decide, room, room_at, see_proto, see_tp_src, see_vlan, tell,
)


# --- what is heard

cdef bint is_nd(Walk* walk) noexcept nogil:
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_ICMP6:
        return False
    see_tp_src(walk)
    return walk.pkt.key.tp_src == ICMP6_NS or walk.pkt.key.tp_src == ICMP6_NA


cdef void overhear(Walk* walk, idx_t port) noexcept nogil:
    if walk.is_crafted or not walk.pkt.key.eth_dst[0] & 1:
        return
    if walk.pkt.key.eth_type != ETH_ARP and walk.pkt.key.eth_type != ETH_IPV6:
        return
    see_vlan(walk, VLAN_PRESENT)
    if walk.pkt.key.vlan_tci & VLAN_PRESENT:
        return
    if walk.pkt.key.eth_type == ETH_ARP:
        hear_arp(walk, port)
    elif is_nd(walk):
        hear_nd(walk, port)


cdef int hear_arp(Walk* walk, idx_t index) noexcept nogil:
    """ARP from outside the port's subnets is not believed, nor answered."""
    cdef const Packet* pkt = &walk.pkt
    cdef const Port* port = &walk.topo.ports[index]
    walk.out.cacheable = 0
    if walk.is_crafted or not is_on_link(port, 4, pkt.key.ip_src):
        return decide(walk, CONSUMED, R_ARP)
    meet(walk, index, 4, pkt.key.ip_src, pkt.arp_sha)
    if pkt.key.ip_proto == 1 and pkt.data != NULL and answers_for(walk, index, 4, pkt.key.ip_dst):
        emit(walk, index, arp_reply(room_at(walk), room(walk), pkt, port.mac))
    return decide(walk, CONSUMED, R_ARP)


cdef int hear_nd(Walk* walk, idx_t index) noexcept nogil:
    cdef const Packet* pkt = &walk.pkt
    cdef const Port* port = &walk.topo.ports[index]
    walk.out.cacheable = 0
    if walk.is_crafted or pkt.data == NULL:
        return decide(walk, CONSUMED, R_ARP)
    if pkt.nd_has_lladdr:
        if pkt.key.tp_src == ICMP6_NS:
            meet(walk, index, 6, pkt.key.ip_src, pkt.nd_lladdr)
        else:
            meet(walk, index, 6, pkt.nd_target, pkt.nd_lladdr)
    if pkt.key.tp_src == ICMP6_NS and answers_for(walk, index, 6, pkt.nd_target):
        emit(walk, index, nd_advert(room_at(walk), room(walk), pkt, port.mac, True))
    return decide(walk, CONSUMED, R_ARP)


cdef void meet(
    Walk* walk, idx_t index, uint8_t family, const uint8_t* ip, const uint8_t* mac,
) noexcept nogil:
    """Note who is on the port's link, unless that is known or cannot be."""
    cdef const Port* port = &walk.topo.ports[index]
    cdef const Entry* entry
    cdef Seen* seen
    if mac[0] & 1 or is_zero(mac, 6):
        return
    if not is_on_link(port, family, ip) or is_own(port, family, ip):
        return
    entry = neighbor(walk, port, family, ip)
    if entry != NULL and (entry.stated or memcmp(entry.mac, mac, 6) == 0):
        return
    if walk.out.n_neighbors == MAX_NEIGHBORS:
        return
    tell(walk, S_MEETS, port.device, index, family, ip, 16)
    seen = &walk.out.neighbors[walk.out.n_neighbors]
    memset(seen, 0, sizeof(Seen))
    seen.port, seen.family = index, family
    memcpy(seen.ip, ip, 16)
    memcpy(seen.mac, mac, 6)
    walk.out.n_neighbors += 1


cdef bint is_on_link(const Port* port, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef uint32_t i
    for i in range(port.n_addresses):
        if covers(&port.addresses[i], family, ip):
            return True
    return False


cdef bint answers_for(Walk* walk, idx_t index, uint8_t family, const uint8_t* ip) noexcept nogil:
    """Its own addresses, and the floating IPs that it translates."""
    cdef const Port* port = &walk.topo.ports[index]
    return is_own(port, family, ip) or is_stated(walk, port, family, ip) or (
        is_on_link(port, family, ip) and is_floating(walk, index, family, ip))


cdef bint is_stated(
    Walk* walk, const Port* port, uint8_t family, const uint8_t* ip,
) noexcept nogil:
    """Whether the link knows the address to be at its MAC: a link-local one."""
    cdef const Entry* entry = neighbor(walk, port, family, ip)
    return entry != NULL and entry.stated and memcmp(entry.mac, port.mac, 6) == 0


cdef bint is_own(const Port* port, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef uint32_t i
    for i in range(port.n_addresses):
        if port.addresses[i].family == family and memcmp(port.addresses[i].ip, ip, 16) == 0:
            return True
    return False


cdef bint covers(const Address* address, uint8_t family, const uint8_t* ip) noexcept nogil:
    return address.family == family and (
        same_bits(address.ip, ip, address.prefix_bits) == address.prefix_bits)


cdef const Address* own_address(
    const Port* port, uint8_t family, const uint8_t* towards,
) noexcept nogil:
    """The address to speak from: in the same subnet where there is one."""
    cdef const Address* found = NULL
    cdef uint32_t i
    for i in range(port.n_addresses):
        if covers(&port.addresses[i], family, towards):
            return &port.addresses[i]
        if found == NULL and port.addresses[i].family == family:
            found = &port.addresses[i]
    return found


# --- what is asked

cdef const Entry* neighbor(
    Walk* walk, const Port* port, uint8_t family, const uint8_t* ip,
) noexcept nogil:
    """What is known of an address on the port's link, or NULL."""
    cdef Subject subject
    if not port.place & PLACE_IS_PORT:
        return known_neighbor(walk, port.place, family, ip)
    subject = neighbor_subject(port.place, family, ip)
    add_tag(walk, neighbor_tag(walk.topo, port.place, ip))
    tell(walk, S_TAG_NEIGHBOR, NONE, port.place & ~<uint32_t>PLACE_IS_PORT, family, ip, 16)
    return find(&walk.topo.known, &subject)


cdef int ask(Walk* walk, idx_t index, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef const Address* own = own_address(port, family, ip)
    if own == NULL:
        return CONSUMED
    if family == 4:
        return emit(walk, index, arp_request(
            room_at(walk), room(walk), port.mac, own.ip, ip, 0))
    return emit(walk, index, nd_solicit(room_at(walk), room(walk), port.mac, own.ip, ip, 0))
