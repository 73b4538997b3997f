# C functions only: see headers.pxd.
"""Headers -> packets as short as can be, and the headers of their answers.

Checksums are left out: `parse` reads none, and nothing of this is sent.
"""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.octets cimport put16
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, ETH_VLAN, FRAG_FIRST, FRAG_LATER, ICMP6_ECHO, ICMP6_ECHO_REPLY, ICMP_ECHO,
    ICMP_ECHO_REPLY, IP_ICMP, IP_ICMP6, IP_TCP, IP_UDP, VLAN_PRESENT,
)
from onehop.engine.state cimport TCP_ACK, TCP_SYN
from onehop.engine.verdict cimport (
    A_DEC_TTL, A_POP_VLAN, A_SET_ETH_DST, A_SET_ETH_SRC, A_SET_IP_DST, A_SET_IP_SRC, A_SET_TP_DST,
    A_SET_TP_SRC, A_SET_VLAN,
)

cdef enum:
    L4_BYTES = 20          # enough for every protocol
    LATER_OFFSET = 185     # of a later fragment, in units of 8 bytes
    MORE_FRAGMENTS = 0x2000
    TTL = 64


# --- actions

cdef bint act(const Action* action, FlowKey* key) noexcept nogil:
    if action.kind == A_SET_ETH_SRC:
        memcpy(key.eth_src, action.mac, 6)
    elif action.kind == A_SET_ETH_DST:
        memcpy(key.eth_dst, action.mac, 6)
    elif action.kind == A_SET_IP_SRC:
        memcpy(key.ip_src, action.ip, 16)
    elif action.kind == A_SET_IP_DST:
        memcpy(key.ip_dst, action.ip, 16)
    elif action.kind == A_SET_TP_SRC:
        key.tp_src = <uint16_t>action.value
    elif action.kind == A_SET_TP_DST:
        key.tp_dst = <uint16_t>action.value
    elif action.kind == A_SET_VLAN:
        key.vlan_tci = <uint16_t>(action.value | VLAN_PRESENT)
    elif action.kind == A_POP_VLAN:
        key.vlan_tci = 0
    elif action.kind == A_DEC_TTL:
        key.ip_ttl -= 1
    else:
        return False
    return True


# --- answers

cdef void fill_answer(FlowKey* out, const FlowKey* key, uint32_t in_port) noexcept nogil:
    out[0] = key[0]
    out.in_port, out.ip_ttl = in_port, TTL
    memcpy(out.eth_src, key.eth_dst, 6)
    memcpy(out.eth_dst, key.eth_src, 6)
    memcpy(out.ip_src, key.ip_dst, 16)
    memcpy(out.ip_dst, key.ip_src, 16)
    if has_echo_id(key):
        out.tp_src = answered(key.tp_src)
        return
    out.tp_src, out.tp_dst = key.tp_dst, key.tp_src
    if key.tcp_flags & TCP_SYN:
        out.tcp_flags = TCP_SYN | TCP_ACK


cdef bint answers(const FlowKey* key, const FlowKey* asked) noexcept nogil:
    if memcmp(key.ip_src, asked.ip_dst, 16) or memcmp(key.ip_dst, asked.ip_src, 16):
        return False
    return has_echo_id(key) or (key.tp_src == asked.tp_dst and key.tp_dst == asked.tp_src)


cdef bint has_echo_id(const FlowKey* key) noexcept nogil:
    return key.ip_proto == icmp_of(key.eth_type)


cdef inline uint8_t icmp_of(uint16_t eth_type) noexcept nogil:
    return IP_ICMP if eth_type == ETH_IPV4 else IP_ICMP6


cdef uint16_t answered(uint16_t icmp_type) noexcept nogil:
    if icmp_type == ICMP_ECHO:
        return ICMP_ECHO_REPLY
    if icmp_type == ICMP6_ECHO:
        return ICMP6_ECHO_REPLY
    if icmp_type == ICMP6_ECHO_REPLY:
        return ICMP6_ECHO
    return ICMP_ECHO if icmp_type == ICMP_ECHO_REPLY else icmp_type


# --- bytes

cdef uint32_t put_frame(const FlowKey* key, uint16_t echo_id, uint8_t* out) noexcept nogil:
    cdef uint32_t at = 12
    memset(out, 0, FRAME_BYTES)
    memcpy(out, key.eth_dst, 6)
    memcpy(out + 6, key.eth_src, 6)
    if key.vlan_tci:
        put16(out + at, ETH_VLAN)
        put16(out + at + 2, key.vlan_tci & ~VLAN_PRESENT)
        at += 4
    put16(out + at, key.eth_type)
    at += 2
    if key.eth_type == ETH_IPV4:
        at += put_ipv4(key, out + at)
    elif key.eth_type == ETH_IPV6:
        at += put_ipv6(key, out + at)
    put_transport(key, echo_id, out + at)
    return at + L4_BYTES


cdef uint32_t put_ipv4(const FlowKey* key, uint8_t* ip) noexcept nogil:
    ip[0], ip[1] = 0x45, key.ip_tos
    put16(ip + 2, 20 + L4_BYTES)
    put16(ip + 6, fragment_word(key.ip_frag))
    ip[8], ip[9] = TTL, key.ip_proto
    memcpy(ip + 12, key.ip_src, 4)
    memcpy(ip + 16, key.ip_dst, 4)
    return 20


cdef inline uint32_t fragment_word(uint8_t frag) noexcept nogil:
    if frag == FRAG_LATER:
        return LATER_OFFSET
    return MORE_FRAGMENTS if frag == FRAG_FIRST else 0


cdef uint32_t put_ipv6(const FlowKey* key, uint8_t* ip) noexcept nogil:
    ip[0], ip[1] = 0x60 | key.ip_tos >> 4, <uint8_t>(key.ip_tos << 4)
    put16(ip + 4, L4_BYTES)
    ip[6], ip[7] = key.ip_proto, TTL
    memcpy(ip + 8, key.ip_src, 16)
    memcpy(ip + 24, key.ip_dst, 16)
    return 40


cdef void put_transport(const FlowKey* key, uint16_t echo_id, uint8_t* l4) noexcept nogil:
    if has_echo_id(key):
        l4[0], l4[1] = <uint8_t>key.tp_src, <uint8_t>key.tp_dst
        put16(l4 + 4, echo_id)
        return
    put16(l4, key.tp_src)
    put16(l4 + 2, key.tp_dst)
    if key.ip_proto == IP_TCP:
        l4[12], l4[13] = 0x50, <uint8_t>key.tcp_flags
    elif key.ip_proto == IP_UDP:
        put16(l4 + 4, L4_BYTES)
