"""Flow key -> bytes: the packet as its key says that it is now.

1. What the key does not say (options, payload, padding, the tag's TPID) stays as it came.
2. A checksum is updated by what changed, not made anew (RFC 1624): one that came wrong leaves
   wrong. SCTP's CRC-32c alone is made anew, where the whole packet is here.
3. Every length and offset was checked by `parse`; nothing is read or written beyond them.
"""

from libc.string cimport memcmp, memcpy

from onehop.engine.cdefs cimport uint16_t
from onehop.engine.checksum cimport crc32c, replace
from onehop.engine.octets cimport get16, put16, put32
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, ETH_QINQ, ETH_VLAN, FRAG_NO, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP, IP_UDP,
    VLAN_PRESENT,
)


cdef uint32_t render(const Packet* pkt, uint8_t* out, uint32_t room_bytes) noexcept nogil:
    cdef uint32_t head, tail
    if pkt.data == NULL or pkt.len_bytes < 14 or room_bytes < pkt.len_bytes + 4:
        return 0
    tail = 16 if is_tagged(pkt) else 12
    head = put_ethernet(pkt, out)
    memcpy(out + head, pkt.data + tail, pkt.len_bytes - tail)
    if pkt.l3_off and pkt.key.eth_type == ETH_IPV4:
        put_ipv4(pkt, out + head - tail)
    elif pkt.l3_off and pkt.key.eth_type == ETH_IPV6:
        put_ipv6(pkt, out + head - tail)
    return pkt.len_bytes + head - tail


cdef inline bint is_tagged(const Packet* pkt) noexcept nogil:
    cdef uint16_t tpid = get16(pkt.data + 12)
    return tpid == ETH_VLAN or tpid == ETH_QINQ


cdef uint32_t put_ethernet(const Packet* pkt, uint8_t* out) noexcept nogil:
    """The MACs and the tag; where the ether type goes."""
    memcpy(out, pkt.key.eth_dst, 6)
    memcpy(out + 6, pkt.key.eth_src, 6)
    if not pkt.key.vlan_tci:
        return 12
    if is_tagged(pkt):
        memcpy(out + 12, pkt.data + 12, 4)
        if (get16(out + 14) | VLAN_PRESENT) == pkt.key.vlan_tci:
            return 16
    else:
        put16(out + 12, ETH_VLAN)
    put16(out + 14, pkt.key.vlan_tci & ~VLAN_PRESENT)
    return 16


# Below, `frame` is such that pkt's offsets hold in it, though a tag may have come or gone.

cdef void put_ipv4(const Packet* pkt, uint8_t* frame) noexcept nogil:
    cdef uint8_t* ip = frame + pkt.l3_off
    cdef const uint8_t* old = pkt.data + pkt.l3_off
    ip[1] = pkt.key.ip_tos
    ip[8] = pkt.key.ip_ttl
    memcpy(ip + 12, pkt.key.ip_src, 4)
    memcpy(ip + 16, pkt.key.ip_dst, 4)
    put16(ip + 10, replace(replace(get16(ip + 10), old, ip, 10), old + 12, ip + 12, 8))
    put_l4(pkt, frame, old + 12, ip + 12, 8)


cdef void put_ipv6(const Packet* pkt, uint8_t* frame) noexcept nogil:
    cdef uint8_t* ip = frame + pkt.l3_off
    cdef const uint8_t* old = pkt.data + pkt.l3_off
    ip[0] = 0x60 | pkt.key.ip_tos >> 4
    ip[1] = <uint8_t>(pkt.key.ip_tos << 4 | (ip[1] & 15))
    ip[7] = pkt.key.ip_ttl
    memcpy(ip + 8, pkt.key.ip_src, 16)
    memcpy(ip + 24, pkt.key.ip_dst, 16)
    put_l4(pkt, frame, old + 8, ip + 8, 32)


cdef void put_l4(
    const Packet* pkt, uint8_t* frame, const uint8_t* old_addresses,
    const uint8_t* new_addresses, uint32_t len_bytes,
) noexcept nogil:
    cdef uint8_t* l4 = frame + pkt.l4_off
    cdef uint32_t at = checksum_off(pkt.key.ip_proto)
    cdef uint16_t checksum
    if pkt.l4_off == 0:
        return
    put_ports(pkt, l4)
    if pkt.key.ip_proto == IP_SCTP:
        put_sctp(pkt, l4)
        return
    checksum = get16(l4 + at)
    if at == 0 or (pkt.key.ip_proto == IP_UDP and checksum == 0):
        return
    checksum = replace(checksum, pkt.data + pkt.l4_off, l4, 2 if at == 2 else 4)
    if pkt.has_echo_id:
        put16(l4 + 4, pkt.echo_id)
        checksum = replace(checksum, pkt.data + pkt.l4_off + 4, l4 + 4, 2)
    if pkt.key.ip_proto != IP_ICMP:
        checksum = replace(checksum, old_addresses, new_addresses, len_bytes)
    put16(l4 + at, 0xffff if checksum == 0 and pkt.key.ip_proto == IP_UDP else checksum)


cdef inline uint32_t checksum_off(uint8_t proto) noexcept nogil:
    if proto == IP_TCP:
        return 16
    if proto == IP_UDP:
        return 6
    return 2 if proto == IP_ICMP or proto == IP_ICMP6 else 0


cdef inline void put_ports(const Packet* pkt, uint8_t* l4) noexcept nogil:
    if pkt.key.ip_proto == IP_ICMP or pkt.key.ip_proto == IP_ICMP6:
        l4[0] = <uint8_t>pkt.key.tp_src
        l4[1] = <uint8_t>pkt.key.tp_dst
    else:
        put16(l4, pkt.key.tp_src)
        put16(l4 + 2, pkt.key.tp_dst)


cdef void put_sctp(const Packet* pkt, uint8_t* l4) noexcept nogil:
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef uint32_t crc
    if memcmp(l4, pkt.data + pkt.l4_off, 4) == 0 or pkt.key.ip_frag != FRAG_NO:
        return
    put32(l4 + 8, 0)
    crc = ~crc32c(l4, len_bytes, 0xffffffff)
    put32(l4 + 8, crc >> 24 | (crc >> 8 & 0xff00) | (crc & 0xff00) << 8 | crc << 24)
