"""Router discovery (RFC 4861, sections 4.1 and 4.2).

Addresses come by DHCPv6, so prefixes are told for being on the link, not to make addresses from.
"""

from libc.string cimport memcpy, memset

from onehop.engine.craft cimport put_ethernet, put_ipv6
from onehop.engine.lease cimport HEAD_BYTES, put_link_local
from onehop.engine.octets cimport put16, put32
from onehop.engine.packet cimport ETH_IPV6

cdef enum:
    ADVERT_BYTES = 64      # 16, and options: link-layer address 8, MTU 8, prefix 32
    HOPS = 64
    MANAGED = 0x80         # addresses by DHCPv6
    OTHER = 0x40           # and the rest
    ON_LINK = 0x80
    PREFIX_S = 2592000     # section 6.2.1: 30 days


cdef bint is_solicitation(const Packet* pkt) noexcept nogil:
    cdef const uint8_t* icmp = pkt.data + pkt.l4_off
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef uint32_t at = 8
    if pkt.key.ip_ttl != 255 or icmp[1] != 0 or len_bytes < 8:
        return False
    while at + 8 <= len_bytes:
        if icmp[at + 1] == 0:
            return False
        at += icmp[at + 1] * 8
    return at == len_bytes


cdef uint32_t router_advert(
    uint8_t* out, uint32_t room_bytes, const Lease* lease, const uint8_t* mac, uint16_t lives_s,
    uint16_t mtu, const uint8_t* to_mac, const uint8_t* to_ip,
) noexcept nogil:
    cdef uint8_t[16] own
    cdef uint8_t* icmp = out + HEAD_BYTES + 40
    if room_bytes < HEAD_BYTES + 40 + ADVERT_BYTES:
        return 0
    if to_ip == NULL:
        to_ip = b"\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
        to_mac = b"\x33\x33\0\0\0\x01"
    put_link_local(own, mac)
    memset(icmp, 0, ADVERT_BYTES)
    icmp[0] = ICMP6_RA
    icmp[4] = HOPS
    icmp[5] = MANAGED | OTHER
    put16(icmp + 6, lives_s)
    icmp[16], icmp[17] = 1, 1
    memcpy(icmp + 18, mac, 6)
    icmp[24], icmp[25] = 5, 1
    put32(icmp + 28, mtu)
    put_prefix(icmp + 32, lease)
    put_ethernet(out, to_mac, mac, 0, ETH_IPV6)
    return HEAD_BYTES + put_ipv6(out + HEAD_BYTES, own, to_ip, 255, ADVERT_BYTES)


cdef void put_prefix(uint8_t* option, const Lease* lease) noexcept nogil:
    """The machine's address without the bits that are its own."""
    cdef uint32_t whole = lease.prefix_bits >> 3
    option[0], option[1] = 3, 4
    option[2] = lease.prefix_bits
    option[3] = ON_LINK
    put32(option + 4, PREFIX_S)
    put32(option + 8, PREFIX_S)
    memcpy(option + 16, lease.ip, whole)
    if lease.prefix_bits & 7:
        option[16 + whole] = <uint8_t>(lease.ip[whole] & 0xff00 >> (lease.prefix_bits & 7))
