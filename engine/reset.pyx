"""TCP resets."""

from libc.string cimport memcpy, memset

from onehop.engine.checksum cimport fold, pseudo_sum, sum16
from onehop.engine.octets cimport get32, put16, put32
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_VLAN, FRAG_NO, IP_TCP, VLAN_PRESENT,
)

cdef enum:
    HOP_LIMIT = 64
    DONT_FRAGMENT = 0x4000
    HEAD_BYTES = 20
    FIN = 1
    SYN = 2
    RST = 4
    ACK = 16


cdef uint32_t tcp_reset(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, const uint8_t* src_mac,
) noexcept nogil:
    cdef bint is4 = pkt.key.eth_type == ETH_IPV4
    cdef uint32_t off = 18 if pkt.key.vlan_tci else 14
    cdef uint32_t head = 20 if is4 else 40
    if not may_reset(pkt) or room_bytes < off + head + HEAD_BYTES:
        return 0
    memcpy(out, pkt.key.eth_src, 6)
    memcpy(out + 6, src_mac, 6)
    if pkt.key.vlan_tci:
        put16(out + 12, ETH_VLAN)
        put16(out + 14, pkt.key.vlan_tci & ~VLAN_PRESENT)
    put16(out + off - 2, pkt.key.eth_type)
    if is4:
        put_ipv4(out + off, pkt)
    else:
        put_ipv6(out + off, pkt)
    put_segment(out + off + head, pkt)
    return off + head + HEAD_BYTES


cdef bint may_reset(const Packet* pkt) noexcept nogil:
    return (
        pkt.data != NULL and pkt.l4_off != 0 and pkt.key.ip_proto == IP_TCP
        and pkt.key.ip_frag == FRAG_NO and not pkt.data[pkt.l4_off + 13] & RST
    )


cdef void put_ipv4(uint8_t* ip, const Packet* pkt) noexcept nogil:
    memset(ip, 0, 20)
    ip[0] = 0x45
    put16(ip + 2, 20 + HEAD_BYTES)
    put16(ip + 6, DONT_FRAGMENT)
    ip[8] = HOP_LIMIT
    ip[9] = IP_TCP
    memcpy(ip + 12, pkt.key.ip_dst, 4)
    memcpy(ip + 16, pkt.key.ip_src, 4)
    put16(ip + 10, fold(sum16(ip, 20, 0)))


cdef void put_ipv6(uint8_t* ip, const Packet* pkt) noexcept nogil:
    put32(ip, 0x60000000)
    put16(ip + 4, HEAD_BYTES)
    ip[6] = IP_TCP
    ip[7] = HOP_LIMIT
    memcpy(ip + 8, pkt.key.ip_dst, 16)
    memcpy(ip + 24, pkt.key.ip_src, 16)


cdef void put_segment(uint8_t* tcp, const Packet* pkt) noexcept nogil:
    """Acceptable to the sender: its acknowledgement's number, or an acknowledgement of all."""
    cdef const uint8_t* old = pkt.data + pkt.l4_off
    cdef uint32_t address_bytes = 4 if pkt.key.eth_type == ETH_IPV4 else 16
    memset(tcp, 0, HEAD_BYTES)
    put16(tcp, pkt.key.tp_dst)
    put16(tcp + 2, pkt.key.tp_src)
    tcp[12] = HEAD_BYTES << 2
    if old[13] & ACK:
        put32(tcp + 4, get32(old + 8))
        tcp[13] = RST
    else:
        put32(tcp + 8, get32(old + 4) + segment_len(pkt))
        tcp[13] = RST | ACK
    put16(tcp + 16, fold(sum16(tcp, HEAD_BYTES, pseudo_sum(
        pkt.key.ip_dst, pkt.key.ip_src, address_bytes, IP_TCP, HEAD_BYTES))))


cdef uint32_t segment_len(const Packet* pkt) noexcept nogil:
    """In sequence numbers: SYN and FIN take one each."""
    cdef const uint8_t* tcp = pkt.data + pkt.l4_off
    cdef uint32_t payload = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef uint32_t head = (tcp[12] >> 4) * 4
    return (
        (payload - head if payload > head else 0)
        + (1 if tcp[13] & SYN else 0) + (1 if tcp[13] & FIN else 0)
    )
