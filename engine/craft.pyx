"""Packets that the network itself sends: ARP, ND, echo replies, ICMP errors.

1. Nothing is written beyond `room_bytes`; a frame that does not fit is not begun.
2. An answer goes back to where its packet came from: its MAC, its address, its VLAN tag.
3. An error quotes the packet as it is now, at most as much as makes 576 bytes of IPv4
   (RFC 1812, 4.3.2.3) or 1280 of IPv6 (RFC 4443, 2.4 c).
4. What the network sends has a hop limit of 64, and 255 where it is neighbor discovery.
"""

from ipaddress import ip_address

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.checksum cimport fold, pseudo_sum, sum16
from onehop.engine.octets cimport is_zero, put16, put32
from onehop.engine.packet cimport (
    ARP_REPLY, ARP_REQUEST, ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_VLAN, FRAG_FIRST, FRAG_LATER, FRAG_NO,
    ICMP6_ECHO, ICMP6_ECHO_REPLY, ICMP6_NA, ICMP6_NS, ICMP_ECHO, ICMP_ECHO_REPLY, IP_ICMP,
    IP_ICMP6, IP_TCP, VLAN_PRESENT, parse,
)
from onehop.engine.render cimport render

cdef enum:
    IPV4_QUOTE_MAX = 576 - 20 - 8
    IPV6_QUOTE_MAX = 1280 - 40 - 8
    HOP_LIMIT = 64
    TOS_ERROR = 0xc0      # internetwork control (RFC 1812, 4.3.2.5)
    NA_ROUTER = 0x80
    NA_SOLICITED = 0x40
    NA_OVERRIDE = 0x20

cdef struct IcmpCode:
    uint8_t type4
    uint8_t code4
    uint8_t type6
    uint8_t code6

# indexed by IcmpError
cdef IcmpCode[7] ICMP_CODES = [
    IcmpCode(3, 0, 1, 0), IcmpCode(3, 1, 1, 3), IcmpCode(3, 13, 1, 1), IcmpCode(11, 0, 3, 0),
    IcmpCode(3, 4, 2, 0), IcmpCode(3, 3, 1, 4), IcmpCode(3, 2, 4, 1),
]


# --- ARP (RFC 826)

cdef uint32_t arp_request(
    uint8_t* out, uint32_t room_bytes, const uint8_t* src_mac, const uint8_t* src_ip,
    const uint8_t* target_ip, uint16_t vlan_tci,
) noexcept nogil:
    cdef uint32_t off
    if room_bytes < 18 + 28:
        return 0
    off = put_ethernet(out, b"\xff\xff\xff\xff\xff\xff", src_mac, vlan_tci, ETH_ARP)
    put_arp(out + off, ARP_REQUEST, src_mac, src_ip, b"\0\0\0\0\0\0", target_ip)
    return off + 28


cdef uint32_t arp_reply(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* mac,
) noexcept nogil:
    cdef uint32_t off
    if room_bytes < 18 + 28:
        return 0
    off = put_ethernet(out, request.key.eth_src, mac, request.key.vlan_tci, ETH_ARP)
    put_arp(out + off, ARP_REPLY, mac, request.key.ip_dst, request.arp_sha, request.key.ip_src)
    return off + 28


cdef void put_arp(
    uint8_t* arp, uint16_t operation, const uint8_t* src_mac, const uint8_t* src_ip,
    const uint8_t* target_mac, const uint8_t* target_ip,
) noexcept nogil:
    memcpy(arp, b"\0\x01\x08\0\x06\x04", 6)
    put16(arp + 6, operation)
    memcpy(arp + 8, src_mac, 6)
    memcpy(arp + 14, src_ip, 4)
    memcpy(arp + 18, target_mac, 6)
    memcpy(arp + 24, target_ip, 4)


# --- neighbor discovery (RFC 4861, sections 4.3 and 4.4)

cdef uint32_t nd_solicit(
    uint8_t* out, uint32_t room_bytes, const uint8_t* src_mac, const uint8_t* src_ip,
    const uint8_t* target_ip, uint16_t vlan_tci,
) noexcept nogil:
    cdef uint8_t[6] group_mac
    cdef uint8_t[16] group
    cdef uint32_t off
    if room_bytes < 18 + 40 + 32:
        return 0
    memcpy(group, b"\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff", 13)
    memcpy(group + 13, target_ip + 13, 3)
    memcpy(group_mac, b"\x33\x33", 2)
    memcpy(group_mac + 2, group + 12, 4)
    off = put_ethernet(out, group_mac, src_mac, vlan_tci, ETH_IPV6)
    put_nd(out + off + 40, ICMP6_NS, 0, target_ip, src_mac)
    return off + put_ipv6(out + off, src_ip, group, 255, 32)


cdef uint32_t nd_advert(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* mac, bint is_router,
) noexcept nogil:
    cdef bint anonymous = is_zero(request.key.ip_src, 16)
    cdef uint8_t flags = NA_OVERRIDE | (NA_ROUTER if is_router else 0)
    cdef const uint8_t* to = request.key.ip_src
    cdef const uint8_t* to_mac = request.key.eth_src
    cdef uint32_t off
    if room_bytes < 18 + 40 + 32:
        return 0
    if anonymous:  # someone checks for a duplicate: all nodes shall hear it (section 7.2.4)
        to = b"\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
        to_mac = b"\x33\x33\0\0\0\x01"
    off = put_ethernet(out, to_mac, mac, request.key.vlan_tci, ETH_IPV6)
    put_nd(out + off + 40, ICMP6_NA, flags | (0 if anonymous else NA_SOLICITED),
           request.nd_target, mac)
    return off + put_ipv6(out + off, request.nd_target, to, 255, 32)


cdef void put_nd(
    uint8_t* nd, uint8_t icmp_type, uint8_t flags, const uint8_t* target, const uint8_t* mac,
) noexcept nogil:
    memset(nd, 0, 8)
    nd[0] = icmp_type
    nd[4] = flags
    memcpy(nd + 8, target, 16)
    nd[24] = 1 if icmp_type == ICMP6_NS else 2
    nd[25] = 1
    memcpy(nd + 26, mac, 6)


# --- echo

cdef uint32_t icmp_echo_reply(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* src_mac,
) noexcept nogil:
    cdef uint32_t off, len_bytes
    if not is_echo_request(request) or not is_from_host(request):
        return 0
    len_bytes = request.l3_off + request.l3_len_bytes - request.l4_off
    if room_bytes < 18 + 40 + len_bytes:
        return 0
    off = put_ethernet(out, request.key.eth_src, src_mac, request.key.vlan_tci,
                       request.key.eth_type)
    if request.key.eth_type == ETH_IPV4:
        memcpy(out + off + 20, request.data + request.l4_off, len_bytes)
        out[off + 20] = ICMP_ECHO_REPLY
        put16(out + off + 24, request.echo_id)
        return off + put_ipv4(out + off, request.key.ip_dst, request, request.key.ip_tos,
                              len_bytes)
    memcpy(out + off + 40, request.data + request.l4_off, len_bytes)
    out[off + 40] = ICMP6_ECHO_REPLY
    put16(out + off + 44, request.echo_id)
    return off + put_ipv6(out + off, request.key.ip_dst, request.key.ip_src, HOP_LIMIT, len_bytes)


cdef bint is_echo_request(const Packet* pkt) noexcept nogil:
    if pkt.data == NULL or pkt.l4_off == 0 or pkt.key.ip_frag != FRAG_NO:
        return False
    if pkt.key.ip_proto == IP_ICMP:
        return pkt.key.tp_src == ICMP_ECHO
    return pkt.key.ip_proto == IP_ICMP6 and pkt.key.tp_src == ICMP6_ECHO


# --- errors

cdef bint may_send_error(const Packet* pkt) noexcept nogil:
    if pkt.key.ip_frag == FRAG_LATER or pkt.key.eth_dst[0] & 1:
        return False
    if not is_from_host(pkt):
        return False
    if pkt.key.eth_type == ETH_IPV4:
        return not is_group4(pkt.key.ip_dst) and not is_error4(pkt)
    if pkt.key.ip_dst[0] == 0xff:
        return False
    # errors have types below 128; a redirect is treated as one
    return pkt.key.ip_proto != IP_ICMP6 or (pkt.key.tp_src >= 128 and pkt.key.tp_src != 137)


cdef bint is_from_host(const Packet* pkt) noexcept nogil:
    """Whether the source can be somebody's address: an answer to a group would be a flood."""
    if pkt.key.eth_type == ETH_IPV4:
        return is_host4(pkt.key.ip_src)
    return pkt.key.eth_type == ETH_IPV6 and is_host6(pkt.key.ip_src)


cdef inline bint is_error4(const Packet* pkt) noexcept nogil:
    """Unreachable, source quench, redirect, time exceeded, parameter problem."""
    cdef uint16_t kind = pkt.key.tp_src
    if pkt.key.ip_proto != IP_ICMP:
        return False
    return kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12


cdef inline bint is_host4(const uint8_t* ip) noexcept nogil:
    return ip[0] != 0 and ip[0] != 127 and ip[0] < 224


cdef inline bint is_host6(const uint8_t* ip) noexcept nogil:
    return ip[0] != 0xff and not (is_zero(ip, 15) and ip[15] <= 1)


cdef inline bint is_group4(const uint8_t* ip) noexcept nogil:
    return ip[0] >> 4 == 14 or memcmp(ip, b"\xff\xff\xff\xff", 4) == 0


cdef uint32_t icmp_error(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, IcmpError error, uint32_t mtu,
    const uint8_t* src_ip, const uint8_t* src_mac, const uint8_t* dst_mac,
) noexcept nogil:
    cdef bint is4 = pkt.key.eth_type == ETH_IPV4
    cdef uint32_t head = 20 if is4 else 40
    cdef uint32_t off = 18 if pkt.key.vlan_tci else 14
    cdef uint32_t quoted
    if pkt.l3_off == 0 or room_bytes < 18 + head + 8:
        return 0
    quoted = put_quote(pkt, out + off + head + 8, room_bytes - off - head - 8,
                       IPV4_QUOTE_MAX if is4 else IPV6_QUOTE_MAX)
    if quoted == 0:
        return 0
    put_ethernet(out, dst_mac, src_mac, pkt.key.vlan_tci, pkt.key.eth_type)
    put_error(out + off + head, ICMP_CODES[<int>error], is4, mtu if error == TOO_BIG else 0)
    if is4:
        return off + put_ipv4(out + off, src_ip, pkt, TOS_ERROR, 8 + quoted)
    return off + put_ipv6(out + off, src_ip, pkt.key.ip_src, HOP_LIMIT, 8 + quoted)


cdef inline void put_error(uint8_t* icmp, IcmpCode code, bint is4, uint32_t mtu) noexcept nogil:
    icmp[0] = code.type4 if is4 else code.type6
    icmp[1] = code.code4 if is4 else code.code6
    put32(icmp + 4, mtu & 0xffff if is4 else mtu)


cdef uint32_t put_quote(
    const Packet* pkt, uint8_t* out, uint32_t room_bytes, uint32_t most,
) noexcept nogil:
    """The IP packet as it is now, without its padding; its length, 0: no room.

    `render` needs the whole frame; so a short copy of it is rendered, whose lengths are the
    header's word and no longer the bytes'.
    """
    cdef Packet cut
    cdef uint8_t[1400] frame
    cdef uint32_t quoted = min(pkt.l3_len_bytes, most)
    cdef uint32_t len_bytes
    if pkt.data == NULL or quoted > room_bytes:
        return 0
    cut = pkt[0]
    cut.len_bytes = pkt.l3_off + quoted
    if pkt.l4_off and pkt.l4_off + (20 if pkt.key.ip_proto == IP_TCP else 8) > cut.len_bytes:
        cut.l4_off = 0
    if cut.l4_off and cut.key.ip_frag == FRAG_NO and quoted < pkt.l3_len_bytes:
        cut.key.ip_frag = FRAG_FIRST  # its transport checksum cannot be made anew
    len_bytes = render(&cut, frame, sizeof(frame))
    memcpy(out, frame + len_bytes - quoted, quoted)
    return quoted if len_bytes else 0


# --- the headers below them

cdef uint32_t put_ethernet(
    uint8_t* out, const uint8_t* dst_mac, const uint8_t* src_mac, uint16_t vlan_tci,
    uint16_t eth_type,
) noexcept nogil:
    memcpy(out, dst_mac, 6)
    memcpy(out + 6, src_mac, 6)
    if vlan_tci:
        put16(out + 12, ETH_VLAN)
        put16(out + 14, vlan_tci & ~VLAN_PRESENT)
        put16(out + 16, eth_type)
        return 18
    put16(out + 12, eth_type)
    return 14


cdef uint32_t put_ipv4(
    uint8_t* ip, const uint8_t* src, const Packet* pkt, uint8_t tos, uint32_t icmp_bytes,
) noexcept nogil:
    """A header before `icmp_bytes` of ICMP about `pkt`, and both checksums; the length of all."""
    memset(ip, 0, 20)
    ip[0] = 0x45
    ip[1] = tos
    put16(ip + 2, 20 + icmp_bytes)
    memcpy(ip + 4, pkt.data + pkt.l3_off + 4, 2)
    ip[8] = HOP_LIMIT
    ip[9] = IP_ICMP
    memcpy(ip + 12, src, 4)
    memcpy(ip + 16, pkt.key.ip_src, 4)
    put16(ip + 10, fold(sum16(ip, 20, 0)))
    put16(ip + 22, 0)
    put16(ip + 22, fold(sum16(ip + 20, icmp_bytes, 0)))
    return 20 + icmp_bytes


cdef uint32_t put_ipv6(
    uint8_t* ip, const uint8_t* src, const uint8_t* dst, uint8_t hop_limit, uint32_t icmp_bytes,
) noexcept nogil:
    """The same before ICMPv6."""
    cdef uint32_t pseudo
    put32(ip, 0x60000000)
    put16(ip + 4, icmp_bytes)
    ip[6] = IP_ICMP6
    ip[7] = hop_limit
    memcpy(ip + 8, src, 16)
    memcpy(ip + 24, dst, 16)
    put16(ip + 42, 0)
    pseudo = pseudo_sum(src, dst, 16, IP_ICMP6, icmp_bytes)
    put16(ip + 42, fold(sum16(ip + 40, icmp_bytes, pseudo)))
    return 40 + icmp_bytes


# --- for Python

ERRORS = (
    "no_route", "host_unreachable", "prohibited", "ttl_exceeded", "too_big", "port_unreachable",
    "protocol_unreachable",
)


def ask(src_mac: str, src_ip: str, target_ip: str, *, vlan_tci: int = 0) -> bytes:
    cdef uint8_t[96] out
    cdef const uint8_t[::1] mac = packed_mac(src_mac)
    cdef const uint8_t[::1] src = ip_address(src_ip).packed
    cdef const uint8_t[::1] target = ip_address(target_ip).packed
    if src.shape[0] != target.shape[0]:
        raise ValueError(f"{src_ip} cannot ask for {target_ip}: not of the same family")
    if src.shape[0] == 4:
        return out[:arp_request(out, sizeof(out), &mac[0], &src[0], &target[0], vlan_tci)]
    return out[:nd_solicit(out, sizeof(out), &mac[0], &src[0], &target[0], vlan_tci)]


def answer(data: bytes, mac: str, *, is_router: bool = False) -> bytes | None:
    cdef Packet pkt
    cdef const uint8_t[::1] src = packed_mac(mac)
    cdef bytearray out = bytearray(len(data) + 100)
    cdef uint8_t[::1] room = out
    cdef uint32_t len_bytes = 0
    if parse(&pkt, data, <uint32_t>len(data), 0):
        return None
    if pkt.key.eth_type == ETH_ARP:
        if pkt.key.ip_proto == ARP_REQUEST:
            len_bytes = arp_reply(&room[0], <uint32_t>len(out), &pkt, &src[0])
    elif pkt.key.ip_proto == IP_ICMP6 and pkt.key.tp_src == ICMP6_NS:
        len_bytes = nd_advert(&room[0], <uint32_t>len(out), &pkt, &src[0], is_router)
    else:
        len_bytes = icmp_echo_reply(&room[0], <uint32_t>len(out), &pkt, &src[0])
    return bytes(out[:len_bytes]) if len_bytes else None


def error_about(
    data: bytes, error: str, *, src_ip: str, src_mac: str, dst_mac: str, mtu: int = 0,
) -> bytes | None:
    cdef Packet pkt
    cdef uint8_t[1536] out
    cdef const uint8_t[::1] ip = ip_address(src_ip).packed
    cdef const uint8_t[::1] src = packed_mac(src_mac)
    cdef const uint8_t[::1] dst = packed_mac(dst_mac)
    cdef uint32_t len_bytes
    cdef int kind
    if parse(&pkt, data, <uint32_t>len(data), 0) or not may_send_error(&pkt):
        return None
    if ip.shape[0] != (4 if pkt.key.eth_type == ETH_IPV4 else 16):
        raise ValueError(f"{src_ip}: not of the packet's family")
    kind = <int>ERRORS.index(error)
    len_bytes = icmp_error(out, sizeof(out), &pkt, <IcmpError>kind, mtu, &ip[0], &src[0],
                           &dst[0])
    return out[:len_bytes]


cdef bytes packed_mac(str mac):
    packed = bytes.fromhex(mac.replace(":", ""))
    if len(packed) != 6:
        raise ValueError(f"{mac}: a MAC has six bytes")
    return packed
