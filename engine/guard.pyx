"""What a port's owner is held to: anti-spoofing and security groups."""

from libc.string cimport memcmp

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t
from onehop.engine.connections cimport connection
from onehop.engine.filter cimport F_ACCEPT, ask_chain
from onehop.engine.octets cimport is_link_local, is_zero, same_bits
from onehop.engine.packet cimport (
    ETH_ARP, ETH_IPV4, ETH_IPV6, FRAG_LATER, ICMP6_NA, ICMP6_NS, IP_ICMP6, IP_UDP,
)
from onehop.engine.state cimport D_RETURN
from onehop.engine.topology cimport Address
from onehop.engine.walk cimport (
    see_eth_src, see_eth_type, see_frag, see_group_bit, see_ip_src, see_proto, see_tp_dst,
    see_tp_src,
)

cdef enum:
    DHCP_SERVER = 67
    DHCP_CLIENT = 68
    DHCP6_SERVER = 547
    DHCP6_CLIENT = 546
    ICMP6_RS = 133
    ICMP6_RA = 134
    MLD_FIRST = 130        # query, report, done
    MLD_LAST = 132
    MLD2_REPORT = 143


# --- anti-spoofing

cdef bint is_honest(Walk* walk, const Port* port) noexcept nogil:
    """Whether MAC and address of the sender are the port's own, or an allowed pair's."""
    cdef uint8_t family
    if port.n_allowed == 0 or walk.is_crafted:
        return True
    see_eth_src(walk)
    see_eth_type(walk)
    family = 6 if walk.pkt.key.eth_type == ETH_IPV6 else 4
    if walk.pkt.key.eth_type == ETH_ARP:
        return is_honest_arp(walk, port)
    if family == 4 and walk.pkt.key.eth_type != ETH_IPV4:
        return is_allowed(walk, port, walk.pkt.key.eth_src, 0, NULL)
    if not is_allowed(walk, port, walk.pkt.key.eth_src, 0, NULL):
        return False
    if family == 6 and not is_honest_nd(walk, port):
        return False
    return is_allowed(walk, port, walk.pkt.key.eth_src, family, walk.pkt.key.ip_src) or (
        has_none_yet(walk, family))


cdef bint is_honest_arp(Walk* walk, const Port* port) noexcept nogil:
    """A probe (RFC 5227) comes from no address."""
    cdef const uint8_t* ip = walk.pkt.key.ip_src
    if not is_allowed(walk, port, walk.pkt.key.eth_src, 0, NULL):
        return False
    if walk.pkt.data == NULL:
        return True
    if memcmp(walk.pkt.arp_sha, walk.pkt.key.eth_src, 6) != 0:
        return False
    return ip[0] | ip[1] | ip[2] | ip[3] == 0 or is_allowed(
        walk, port, walk.pkt.key.eth_src, 4, ip)


cdef bint is_honest_nd(Walk* walk, const Port* port) noexcept nogil:
    """An advertisement is for an own address."""
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_ICMP6 or walk.pkt.data == NULL:
        return True
    see_tp_src(walk)
    if walk.pkt.key.tp_src != ICMP6_NA:
        return True
    return is_link_local(walk.pkt.nd_target) or is_allowed(
        walk, port, walk.pkt.key.eth_src, 6, walk.pkt.nd_target)


cdef bint is_allowed(
    Walk* walk, const Port* port, const uint8_t* mac, uint8_t family, const uint8_t* ip,
) noexcept nogil:
    """family 0: the MAC with whatever address."""
    cdef const Address* allowed
    cdef uint32_t i, bits
    for i in range(port.n_allowed):
        allowed = &port.allowed[i]
        if memcmp(&port.allowed_macs[6 * i], mac, 6) != 0:
            continue
        if family == 0:
            return True
        if allowed.family != family:
            continue
        bits = same_bits(ip, allowed.ip, allowed.prefix_bits)
        if ip == walk.pkt.key.ip_src:
            see_ip_src(walk, min(bits + 1, <uint32_t>allowed.prefix_bits))
        if bits == allowed.prefix_bits:
            return True
    return False


cdef bint has_none_yet(Walk* walk, uint8_t family) noexcept nogil:
    """A machine without an address asks for one from none, or from a link-local one."""
    cdef const uint8_t* ip = walk.pkt.key.ip_src
    see_ip_src(walk, 32 if family == 4 else 128)
    if family == 6:
        return is_link_local(ip) or is_zero(ip, 16)
    return is_zero(ip, 4) and is_from_to(walk, DHCP_CLIENT, DHCP_SERVER)


# --- security groups

cdef bint may_send(Walk* walk, const Port* port, const Place* place) noexcept nogil:
    if port.n_groups == 0 or is_not_ip(walk):
        return True
    if is_configuration(walk, True):
        return True
    return passes(walk, port, port.egress_chains, place)


cdef bint may_receive(Walk* walk, const Port* port, const Place* place) noexcept nogil:
    if port.n_groups == 0 or is_not_ip(walk):
        return True
    if is_configuration(walk, False):
        return True
    return passes(walk, port, port.ingress_chains, place)


cdef bint is_not_ip(Walk* walk) noexcept nogil:
    see_eth_type(walk)
    return walk.pkt.key.eth_type != ETH_IPV4 and walk.pkt.key.eth_type != ETH_IPV6


cdef bint is_configuration(Walk* walk, bint sent) noexcept nogil:
    """Only the network itself serves DHCP, and says which routers there are."""
    cdef uint16_t kind = walk.pkt.key.tp_src
    cdef bint is_v4 = walk.pkt.key.eth_type == ETH_IPV4
    see_proto(walk)
    if walk.pkt.key.ip_proto == IP_UDP and sent:
        return is_from_to(
            walk, DHCP_CLIENT if is_v4 else DHCP6_CLIENT, DHCP_SERVER if is_v4 else DHCP6_SERVER)
    if walk.pkt.key.ip_proto == IP_UDP:
        return walk.is_crafted and is_from_to(
            walk, DHCP_SERVER if is_v4 else DHCP6_SERVER, DHCP_CLIENT if is_v4 else DHCP6_CLIENT)
    if is_v4 or walk.pkt.key.ip_proto != IP_ICMP6 or is_later(walk):
        return False
    see_tp_src(walk)
    if kind == ICMP6_NS or kind == ICMP6_NA:
        return True
    if sent:
        return kind == ICMP6_RS or kind == MLD2_REPORT or kind == MLD_FIRST + 1 or (
            kind == MLD_LAST)
    if kind == ICMP6_RA:
        return walk.is_crafted
    return MLD_FIRST <= kind and kind <= MLD_LAST


cdef bint is_from_to(Walk* walk, uint16_t src, uint16_t dst) noexcept nogil:
    """A packet of UDP, looked at port by port."""
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_UDP or is_later(walk):
        return False
    see_tp_dst(walk)
    if walk.pkt.key.tp_dst != dst:
        return False
    see_tp_src(walk)
    return walk.pkt.key.tp_src == src


cdef bint is_later(Walk* walk) noexcept nogil:
    see_frag(walk)
    return walk.pkt.key.ip_frag == FRAG_LATER


cdef bint passes(
    Walk* walk, const Port* port, const uint32_t* chains, const Place* place,
) noexcept nogil:
    cdef uint32_t i
    if is_later(walk) or not is_group(walk) and connection(walk, place.zone) == D_RETURN:
        return True
    for i in range(port.n_groups):
        if ask_chain(walk, chains[i], place, 0) == F_ACCEPT:
            return True
    return False


cdef inline bint is_group(Walk* walk) noexcept nogil:
    """Nobody answers a group in its name: there is no connection."""
    see_group_bit(walk)
    return walk.pkt.key.eth_dst[0] & 1
