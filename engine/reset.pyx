"""TCP resets that the network itself sends (RFC 9293, section 3.10.7.1).

1. A reset is never answered, nor a segment whose header contradicts itself, nor a fragment.
2. An answer carries the VLAN tag of what it answers, and reads it as its key says that it is now.
"""

from libc.string cimport memcpy, memset

from onehop.engine.checksum cimport fold, pseudo_sum, sum16
from onehop.engine.craft cimport put_ethernet
from onehop.engine.octets cimport get32, put16, put32
from onehop.engine.packet cimport ETH_IPV4, FRAG_NO, IP_TCP, parse

cdef enum:
    TCP_BYTES = 20
    FIN = 1
    SYN = 2
    RST = 4
    ACK = 16
    HOP_LIMIT = 64


cdef uint32_t craft_tcp_reset(
    uint8_t* out, uint32_t room_bytes, const Packet* segment, const uint8_t* src_mac,
) noexcept nogil:
    cdef bint is4 = segment.key.eth_type == ETH_IPV4
    cdef uint32_t head = 20 if is4 else 40
    cdef uint32_t off
    if room_bytes < 18 + 40 + TCP_BYTES or not is_answerable(segment):
        return 0
    off = put_ethernet(out, segment.key.eth_src, src_mac, segment.key.vlan_tci,
                       segment.key.eth_type)
    put_tcp(out + off + head, segment)
    if is4:
        put_ipv4(out + off, segment)
    else:
        put_ipv6(out + off, segment)
    seal(out + off + head, segment, 4 if is4 else 16)
    return off + head + TCP_BYTES


cdef bint is_answerable(const Packet* segment) noexcept nogil:
    cdef uint32_t head
    if segment.data == NULL or segment.l4_off == 0 or segment.key.ip_frag != FRAG_NO:
        return False
    if segment.key.ip_proto != IP_TCP:
        return False
    head = header_bytes(segment)
    return (
        head >= TCP_BYTES and head <= transport_bytes(segment)
        and not segment.data[segment.l4_off + 13] & RST
    )


cdef inline uint32_t header_bytes(const Packet* segment) noexcept nogil:
    return (segment.data[segment.l4_off + 12] >> 4) * 4


cdef inline uint32_t transport_bytes(const Packet* segment) noexcept nogil:
    return segment.l3_off + segment.l3_len_bytes - segment.l4_off


cdef void put_tcp(uint8_t* tcp, const Packet* segment) noexcept nogil:
    cdef const uint8_t* was = segment.data + segment.l4_off
    cdef uint8_t flags = was[13]
    cdef uint32_t taken = transport_bytes(segment) - header_bytes(segment)
    memset(tcp, 0, TCP_BYTES)
    put16(tcp, segment.key.tp_dst)
    put16(tcp + 2, segment.key.tp_src)
    tcp[12] = TCP_BYTES // 4 << 4
    tcp[13] = RST
    if flags & ACK:
        memcpy(tcp + 4, was + 8, 4)
        return
    taken += (flags & SYN != 0) + (flags & FIN != 0)
    tcp[13] |= ACK
    put32(tcp + 8, get32(was + 4) + taken)


cdef void put_ipv4(uint8_t* ip, const Packet* segment) noexcept nogil:
    memset(ip, 0, 20)
    ip[0] = 0x45
    put16(ip + 2, 20 + TCP_BYTES)
    ip[6] = 0x40  # not to be fragmented: so its identification may be 0 (RFC 6864)
    ip[8] = HOP_LIMIT
    ip[9] = IP_TCP
    memcpy(ip + 12, segment.key.ip_dst, 4)
    memcpy(ip + 16, segment.key.ip_src, 4)
    put16(ip + 10, fold(sum16(ip, 20, 0)))


cdef void put_ipv6(uint8_t* ip, const Packet* segment) noexcept nogil:
    put32(ip, 0x60000000)
    put16(ip + 4, TCP_BYTES)
    ip[6] = IP_TCP
    ip[7] = HOP_LIMIT
    memcpy(ip + 8, segment.key.ip_dst, 16)
    memcpy(ip + 24, segment.key.ip_src, 16)


cdef void seal(uint8_t* tcp, const Packet* segment, uint32_t address_bytes) noexcept nogil:
    cdef uint32_t pseudo = pseudo_sum(segment.key.ip_dst, segment.key.ip_src, address_bytes,
                                      IP_TCP, TCP_BYTES)
    put16(tcp + 16, fold(sum16(tcp, TCP_BYTES, pseudo)))


# --- for Python

def reset(data: bytes, mac: str) -> bytes | None:
    cdef Packet segment
    cdef uint8_t[96] out
    cdef bytes src = bytes.fromhex(mac.replace(":", ""))
    cdef uint32_t len_bytes
    if len(src) != 6:
        raise ValueError(f"{mac}: a MAC has six bytes")
    if parse(&segment, data, <uint32_t>len(data), 0):
        return None
    len_bytes = craft_tcp_reset(out, sizeof(out), &segment, <const uint8_t*>src)
    return out[:len_bytes] if len_bytes else None
