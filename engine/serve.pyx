"""What machines ask the network about themselves: DHCP, DHCPv6 and router solicitations.

1. Group frames tell what they are by protocol and port, so only these are looked at more closely;
   flows of unicast packets do not depend on whether there are leases.
2. A packet that breaks its RFC is absorbed and counted by its reason.
3. A router that is the gateway speaks for itself; otherwise the bridge does, and says that it is
   no router. A lease is renewed at the gateway, or at the bridge's own MAC where there is none.
"""

from libc.string cimport memcmp

from onehop.engine.advert cimport ICMP6_RS, is_solicitation, router_advert
from onehop.engine.cdefs cimport MAX_EMITTED, NONE, uint16_t, uint32_t
from onehop.engine.dhcp cimport dhcp_answer
from onehop.engine.dhcp6 cimport dhcp6_answer
from onehop.engine.guard cimport is_honest
from onehop.engine.lease cimport T_MALFORMED, T_NOTHING, T_ROUTER, mtu_of, router_of
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, FRAG_NO, IP_ICMP6, IP_UDP, VLAN_PRESENT, Packet,
)
from onehop.engine.topology cimport DEVICE_BRIDGE, Lease
from onehop.engine.verdict cimport (
    A_OUTPUT, CONSUMED, R_BAD_QUESTION, R_CONFIGURES, Action, Emitted,
)
from onehop.engine.walk cimport (
    S_CONFIGURES, decide, room, room_at, see_eth_dst, see_eth_type, see_frag, see_group_bit,
    see_proto, see_tp_dst, see_tp_src, see_vlan, tell,
)

cdef enum:
    DHCP_SERVER = 67
    DHCP6_SERVER = 547
    ROUTER_S = 65535       # RFC 8319: outlives an agent that is away for 18 hours


# --- whose packet it is

cdef bint asks(Walk* walk, const Port* port) noexcept nogil:
    if walk.is_crafted or walk.topo.devices[port.device].kind != DEVICE_BRIDGE:
        return False
    see_group_bit(walk)
    if walk.pkt.key.eth_dst[0] & 1:
        return is_question(walk, port) and is_honest(walk, port)
    return is_to_bridge(walk, port) and is_honest(walk, port)


cdef bint is_to_bridge(Walk* walk, const Port* port) noexcept nogil:
    """Whatever is for the bridge's own MAC ends here."""
    if port.lease4 == NULL or port.lease4.has_gateway:
        return False
    see_eth_dst(walk)
    return memcmp(walk.pkt.key.eth_dst, port.lease4.server_mac, 6) == 0


cdef bint is_question(Walk* walk, const Port* port) noexcept nogil:
    see_eth_type(walk)
    if walk.pkt.key.eth_type == ETH_IPV4:
        return port.lease4 != NULL and is_untagged(walk) and is_udp_to(walk, DHCP_SERVER)
    if walk.pkt.key.eth_type != ETH_IPV6 or port.lease6 == NULL or not is_untagged(walk):
        return False
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_ICMP6:
        return is_udp_to(walk, DHCP6_SERVER)
    see_frag(walk)
    see_tp_src(walk)
    return walk.pkt.key.tp_src == ICMP6_RS and walk.pkt.key.ip_frag == FRAG_NO


cdef bint is_untagged(Walk* walk) noexcept nogil:
    see_vlan(walk, VLAN_PRESENT)
    return not walk.pkt.key.vlan_tci & VLAN_PRESENT


cdef bint is_udp_to(Walk* walk, uint16_t port) noexcept nogil:
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_UDP:
        return False
    see_frag(walk)
    if walk.pkt.key.ip_frag != FRAG_NO:
        return False
    see_tp_dst(walk)
    return walk.pkt.key.tp_dst == port


cdef bint renews(const Walk* walk) noexcept nogil:
    cdef const Packet* pkt = &walk.came
    cdef idx_t index = walk.out.key.in_port
    cdef const Lease* lease
    if pkt.key.eth_type != ETH_IPV4 or pkt.key.ip_proto != IP_UDP or (
        pkt.key.tp_dst != DHCP_SERVER or pkt.key.ip_frag != FRAG_NO or index == NONE
    ):
        return False
    lease = walk.topo.ports[index].lease4
    return lease != NULL and memcmp(pkt.key.ip_dst, lease.server, 4) == 0


# --- the answer

cdef int serve(Walk* walk, idx_t index) noexcept nogil:
    cdef const Packet* pkt = &walk.came
    walk.out.cacheable = 0
    if pkt.data == NULL or pkt.l4_off == 0 or not is_heard(pkt):
        return decide(walk, CONSUMED, R_CONFIGURES)
    if pkt.key.ip_proto == IP_ICMP6:
        return answer_solicitation(walk, index)
    return answer_dhcp(walk, index)


cdef bint is_heard(const Packet* pkt) noexcept nogil:
    """To one of the network's MACs nothing but DHCPv4 is said (RFC 8415, section 16)."""
    if pkt.key.eth_dst[0] & 1:
        return True
    return pkt.key.eth_type == ETH_IPV4 and not pkt.key.vlan_tci & VLAN_PRESENT and (
        pkt.key.ip_proto == IP_UDP and pkt.key.tp_dst == DHCP_SERVER)


cdef int answer_dhcp(Walk* walk, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef const Packet* pkt = &walk.came
    cdef bint is_v4 = pkt.key.eth_type == ETH_IPV4
    cdef const Lease* lease = port.lease4 if is_v4 else port.lease6
    cdef const uint8_t* mac = router_of(walk, port.device, 4 if is_v4 else 6, lease)
    cdef uint32_t len_bytes
    cdef int told = T_NOTHING
    if mac == NULL:
        mac = lease.server_mac
    if is_v4:
        len_bytes = dhcp_answer(
            room_at(walk), room(walk), pkt, lease, mac, mtu_of(walk, port, lease), &told)
    else:
        len_bytes = dhcp6_answer(room_at(walk), room(walk), pkt, lease, mac, &told)
    return hand_out(walk, index, lease, told, len_bytes)


cdef int answer_solicitation(Walk* walk, idx_t index) noexcept nogil:
    """To its sender, where that has an address already (section 6.2.6)."""
    cdef const Packet* pkt = &walk.came
    cdef const uint8_t* ip = pkt.key.ip_src
    cdef const Lease* lease = walk.topo.ports[index].lease6
    if not is_solicitation(pkt):
        return hand_out(walk, index, lease, T_MALFORMED, 0)
    if memcmp(ip, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0:
        return advertise_to(walk, index, NULL, NULL)
    return advertise_to(walk, index, pkt.key.eth_src, ip)


cdef int advertise_to(
    Walk* walk, idx_t index, const uint8_t* mac, const uint8_t* ip,
) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef const Lease* lease = port.lease6
    cdef const uint8_t* router = router_of(walk, port.device, 6, lease)
    cdef uint32_t len_bytes = router_advert(
        room_at(walk), room(walk), lease, router if router != NULL else lease.server_mac,
        ROUTER_S if router != NULL else 0, mtu_of(walk, port, lease), mac, ip)
    return hand_out(walk, index, lease, T_ROUTER, len_bytes)


cdef int hand_out(
    Walk* walk, idx_t index, const Lease* lease, int told, uint32_t len_bytes,
) noexcept nogil:
    """Out of the port, past its filters."""
    cdef Emitted* emitted
    cdef Action* action
    cdef uint32_t family = 4 if lease == walk.topo.ports[index].lease4 else 6
    tell(walk, S_CONFIGURES, walk.topo.ports[index].device, index,
         <uint32_t>told << 8 | family, lease.ip, 16)
    if len_bytes and walk.out.n_emitted < MAX_EMITTED:
        emitted = &walk.out.emitted[walk.out.n_emitted]
        emitted.off, emitted.len_bytes, emitted.n_actions = walk.out.crafted_len, len_bytes, 1
        action = &emitted.actions[0]
        action.kind, action.value = A_OUTPUT, index
        action.except_port = action.host = NONE
        walk.out.crafted_len += len_bytes
        walk.out.n_emitted += 1
    return decide(walk, CONSUMED, R_BAD_QUESTION if told == T_MALFORMED else R_CONFIGURES)
