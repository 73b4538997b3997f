"""Bytes <-> flow key: what a packet is, read from its bytes alone.

1. Any byte string is safe: nothing is read beyond `len_bytes`, and what an outer header states
   about the length bounds what is read of the inner ones.
2. Bytes that say something false about themselves are no packet: `parse` answers why (MALFORMED).
3. A key says what Open vSwitch sees in the same bytes, so that a flow made from a key matches
   the packet that the key came from.
4. `parse` reads headers, not checksums: flows forward packets unread, so what is forwarded
   must not depend on more than a flow can match.
"""

from ipaddress import ip_address

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.checksum cimport crc32c, fold, pseudo_sum, sum16
from onehop.engine.octets cimport get16, get32
from onehop.engine.render cimport render

cdef enum Malformed:
    OK
    SHORT
    SHORT_VLAN
    SHORT_ARP
    ODD_ARP
    SHORT_IPV4
    BAD_IPV4
    LONG_IPV4
    SHORT_IPV6
    BAD_IPV6
    LONG_IPV6
    SHORT_EXTENSION
    SHORT_L4
    BAD_ND

MALFORMED = (
    "",
    "shorter than an Ethernet header",
    "the VLAN tag is cut off",
    "the ARP packet is cut off",
    "ARP, but not about Ethernet and IPv4",
    "the IPv4 header is cut off",
    "the IPv4 header contradicts itself",
    "the IPv4 packet is longer than its frame",
    "the IPv6 header is cut off",
    "the IPv6 header contradicts itself",
    "the IPv6 packet is longer than its frame",
    "an IPv6 extension header is cut off",
    "the transport header is cut off",
    "neighbor discovery that RFC 4861 tells everyone to discard",
)


# --- bytes -> key

cdef int parse(
    Packet* pkt, const uint8_t* data, uint32_t len_bytes, uint32_t in_port,
) noexcept nogil:
    cdef uint32_t off
    memset(pkt, 0, sizeof(Packet))
    pkt.data = data
    pkt.len_bytes = len_bytes
    pkt.key.in_port = in_port
    if len_bytes < 14:
        return SHORT
    memcpy(pkt.key.eth_dst, data, 6)
    memcpy(pkt.key.eth_src, data + 6, 6)
    off = read_vlan(pkt)
    if off == 0:
        return SHORT_VLAN
    off = read_eth_type(pkt, off)
    if pkt.key.eth_type == ETH_IPV4:
        return read_ipv4(pkt, off)
    if pkt.key.eth_type == ETH_IPV6:
        return read_ipv6(pkt, off)
    return read_arp(pkt, off) if pkt.key.eth_type == ETH_ARP else OK


cdef uint32_t read_vlan(Packet* pkt) noexcept nogil:
    """Where the ether type stands, behind one tag (OVS's vlan-limit); 0: nowhere."""
    cdef uint16_t tpid = get16(pkt.data + 12)
    if tpid != ETH_VLAN and tpid != ETH_QINQ:
        return 12
    if pkt.len_bytes < 18:
        return 0
    pkt.key.vlan_tci = get16(pkt.data + 14) | VLAN_PRESENT
    return 16


cdef uint32_t read_eth_type(Packet* pkt, uint32_t off) noexcept nogil:
    """Where the payload begins. A length means LLC, whose type is SNAP's where it has one."""
    cdef const uint8_t* at = pkt.data + off
    pkt.key.eth_type = get16(at)
    if pkt.key.eth_type >= 0x600:
        return off + 2
    pkt.key.eth_type = ETH_NONE
    if pkt.len_bytes - off < 10 or memcmp(at + 2, b"\xaa\xaa\x03\0\0\0", 6) != 0:
        return off + 2
    if get16(at + 8) >= 0x600:
        pkt.key.eth_type = get16(at + 8)
        return off + 10
    return off + 2


cdef int read_arp(Packet* pkt, uint32_t off) noexcept nogil:
    cdef const uint8_t* arp = pkt.data + off
    if pkt.len_bytes - off < 28:
        return SHORT_ARP
    if memcmp(arp, b"\0\x01\x08\0\x06\x04", 6) != 0:
        return ODD_ARP
    pkt.l3_off = off
    pkt.l3_len_bytes = 28
    # OVS sees operations above 255 as 0 too
    pkt.key.ip_proto = arp[7] if arp[6] == 0 else 0
    memcpy(pkt.arp_sha, arp + 8, 6)
    memcpy(pkt.key.ip_src, arp + 14, 4)
    memcpy(pkt.arp_tha, arp + 18, 6)
    memcpy(pkt.key.ip_dst, arp + 24, 4)
    return OK


cdef int read_ipv4(Packet* pkt, uint32_t off) noexcept nogil:
    cdef const uint8_t* ip = pkt.data + off
    cdef uint32_t room = pkt.len_bytes - off
    cdef uint32_t head, fragment
    if room < 20:
        return SHORT_IPV4
    head = (ip[0] & 15) * 4
    pkt.l3_len_bytes = get16(ip + 2)
    if ip[0] >> 4 != 4 or head < 20 or pkt.l3_len_bytes < head:
        return BAD_IPV4
    if pkt.l3_len_bytes > room:
        return LONG_IPV4
    pkt.l3_off = off
    pkt.key.ip_tos = ip[1]
    pkt.key.ip_ttl = ip[8]
    pkt.key.ip_proto = ip[9]
    memcpy(pkt.key.ip_src, ip + 12, 4)
    memcpy(pkt.key.ip_dst, ip + 16, 4)
    fragment = get16(ip + 6)
    pkt.ipv4_df = fragment >> 14 & 1
    if fragment & 0x1fff:
        pkt.key.ip_frag = FRAG_LATER
    elif fragment & 0x2000:
        pkt.key.ip_frag = FRAG_FIRST
    return read_l4(pkt, off + head)


cdef int read_ipv6(Packet* pkt, uint32_t off) noexcept nogil:
    cdef const uint8_t* ip = pkt.data + off
    if pkt.len_bytes - off < 40:
        return SHORT_IPV6
    if ip[0] >> 4 != 6:
        return BAD_IPV6
    pkt.l3_len_bytes = 40 + get16(ip + 4)
    if pkt.l3_len_bytes > pkt.len_bytes - off:
        return LONG_IPV6
    pkt.l3_off = off
    pkt.key.ip_tos = <uint8_t>(ip[0] << 4 | ip[1] >> 4)
    pkt.key.ip_ttl = ip[7]
    pkt.key.ip_proto = ip[6]
    memcpy(pkt.key.ip_src, ip + 8, 16)
    memcpy(pkt.key.ip_dst, ip + 24, 16)
    return read_extensions(pkt, off + 40)


cdef int read_extensions(Packet* pkt, uint32_t off) noexcept nogil:
    """Step over extension headers (RFC 8200, section 4) to the transport header."""
    cdef uint32_t end = pkt.l3_off + pkt.l3_len_bytes
    cdef uint32_t len_bytes
    cdef uint8_t kind = pkt.key.ip_proto
    while is_extension(kind):
        if end - off < 8:
            return SHORT_EXTENSION
        len_bytes = extension_len(kind, pkt.data[off + 1])
        if len_bytes > end - off:
            return SHORT_EXTENSION
        if kind == IP_FRAGMENT and read_fragment(pkt, get16(pkt.data + off + 2)):
            return OK
        kind = pkt.data[off]
        pkt.key.ip_proto = kind
        off += len_bytes
    return read_l4(pkt, off)


cdef inline bint is_extension(uint8_t kind) noexcept nogil:
    """Hop-by-hop, routing, fragment, authentication, destination options: as OVS has it."""
    return kind == 0 or kind == 43 or kind == IP_FRAGMENT or kind == 51 or kind == 60


cdef inline uint32_t extension_len(uint8_t kind, uint8_t stated) noexcept nogil:
    if kind == IP_FRAGMENT:
        return 8
    return (stated + 2) * 4 if kind == 51 else (stated + 1) * 8


cdef bint read_fragment(Packet* pkt, uint16_t field) noexcept nogil:
    """Note what the fragment header says; whether the transport header is elsewhere."""
    if field & 0xfff8:
        pkt.key.ip_frag = FRAG_LATER
        pkt.key.ip_proto = IP_FRAGMENT
        return True
    # a "fragment" that is the whole packet (RFC 6946) is none
    if field & 1:
        pkt.key.ip_frag = FRAG_FIRST
    return False


cdef int read_l4(Packet* pkt, uint32_t off) noexcept nogil:
    cdef uint8_t proto = pkt.key.ip_proto
    cdef bint is_icmp = proto == (IP_ICMP if pkt.key.eth_type == ETH_IPV4 else IP_ICMP6)
    cdef uint32_t need = 8
    if pkt.key.ip_frag == FRAG_LATER:
        return OK
    if proto == IP_TCP:
        need = 20
    elif proto == IP_SCTP:
        need = 12
    elif proto != IP_UDP and not is_icmp:
        return OK
    if pkt.l3_off + pkt.l3_len_bytes - off < need:
        return SHORT_L4
    pkt.l4_off = off
    if not is_icmp:
        pkt.key.tp_src = get16(pkt.data + off)
        pkt.key.tp_dst = get16(pkt.data + off + 2)
        if proto == IP_TCP:
            pkt.key.tcp_flags = get16(pkt.data + off + 12) & 0xfff
        return OK
    pkt.key.tp_src = pkt.data[off]
    pkt.key.tp_dst = pkt.data[off + 1]
    if is_echo(proto, pkt.data[off]):
        pkt.has_echo_id = 1
        pkt.echo_id = get16(pkt.data + off + 4)
    return read_nd(pkt) if proto == IP_ICMP6 else OK


cdef inline bint is_echo(uint8_t proto, uint8_t icmp_type) noexcept nogil:
    if proto == IP_ICMP:
        return icmp_type == ICMP_ECHO or icmp_type == ICMP_ECHO_REPLY
    return icmp_type == ICMP6_ECHO or icmp_type == ICMP6_ECHO_REPLY


cdef int read_nd(Packet* pkt) noexcept nogil:
    """Target and link-layer address of a solicitation or advertisement (RFC 4861, section 7.1)."""
    cdef const uint8_t* nd = pkt.data + pkt.l4_off
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef uint32_t at = 24
    cdef uint8_t wanted = 1 if pkt.key.tp_src == ICMP6_NS else 2
    if pkt.key.tp_src != ICMP6_NS and pkt.key.tp_src != ICMP6_NA:
        return OK
    if len_bytes < 24 or pkt.key.ip_ttl != 255 or pkt.key.tp_dst != 0 or pkt.key.ip_frag:
        return BAD_ND
    pkt.nd_flags = nd[4]
    memcpy(pkt.nd_target, nd + 8, 16)
    while at + 8 <= len_bytes:
        if nd[at + 1] == 0:
            return BAD_ND
        if nd[at] == wanted and nd[at + 1] == 1 and not pkt.nd_has_lladdr:
            memcpy(pkt.nd_lladdr, nd + at + 2, 6)
            pkt.nd_has_lladdr = 1
        at += nd[at + 1] * 8
    return OK if at == len_bytes else BAD_ND


# --- what people read

cdef dict key_view(const FlowKey* key):
    cdef FlowKey everything
    memset(&everything, 0xff, sizeof(FlowKey))
    found = {name: value for name, (value, _) in match_view(key, &everything).items()}
    if not key.vlan_tci:
        del found["vlan_tci"]
    del found["len_class"]
    return found


cdef dict match_view(const FlowKey* key, const FlowKey* mask):
    cdef dict found = {}
    note_integer(found, "in_port", key.in_port, mask.in_port)
    note_bytes(found, "eth_src", key.eth_src, mask.eth_src, 6)
    note_bytes(found, "eth_dst", key.eth_dst, mask.eth_dst, 6)
    note_integer(found, "vlan_tci", key.vlan_tci, mask.vlan_tci)
    note_integer(found, "eth_type", key.eth_type, mask.eth_type)
    note_integer(found, "len_class", key.len_class, mask.len_class)
    if key.eth_type == ETH_ARP:
        note_bytes(found, "arp_spa", key.ip_src, mask.ip_src, 4)
        note_bytes(found, "arp_tpa", key.ip_dst, mask.ip_dst, 4)
        note_integer(found, "arp_op", key.ip_proto, mask.ip_proto)
    elif key.eth_type == ETH_IPV4 or key.eth_type == ETH_IPV6:
        note_ip(found, key, mask)
    return found


cdef int note_ip(dict found, const FlowKey* key, const FlowKey* mask) except -1:
    cdef uint32_t len_bytes = 4 if key.eth_type == ETH_IPV4 else 16
    family = "ipv4" if key.eth_type == ETH_IPV4 else "ipv6"
    note_bytes(found, family + "_src", key.ip_src, mask.ip_src, len_bytes)
    note_bytes(found, family + "_dst", key.ip_dst, mask.ip_dst, len_bytes)
    note_integer(found, "ip_proto", key.ip_proto, mask.ip_proto)
    note_integer(found, "ip_tos", key.ip_tos, mask.ip_tos)
    note_integer(found, "ip_ttl", key.ip_ttl, mask.ip_ttl)
    note_integer(found, "ip_frag", key.ip_frag, mask.ip_frag)
    if key.ip_frag != FRAG_LATER:
        for name, value, bits in zip(
            transport_names(key), (key.tp_src, key.tp_dst), (mask.tp_src, mask.tp_dst),
            strict=False,
        ):
            note_integer(found, name, value, bits)
        if key.ip_proto == IP_TCP:
            note_integer(found, "tcp_flags", key.tcp_flags, mask.tcp_flags & 0xfff)
    return 0


cdef tuple transport_names(const FlowKey* key):
    if key.eth_type == ETH_IPV4 and key.ip_proto == IP_ICMP:
        return "icmp_type", "icmp_code"
    if key.eth_type == ETH_IPV6 and key.ip_proto == IP_ICMP6:
        return "icmpv6_type", "icmpv6_code"
    name = {IP_TCP: "tcp", IP_UDP: "udp", IP_SCTP: "sctp"}.get(key.ip_proto)
    return (f"{name}_src", f"{name}_dst") if name else ()


cdef int note_integer(dict found, str name, uint32_t value, uint32_t mask) except -1:
    if mask:
        found[name] = (value & mask, mask)
    return 0


cdef int note_bytes(
    dict found, str name, const uint8_t* value, const uint8_t* mask, uint32_t len_bytes,
) except -1:
    cdef bytes bits = mask[:len_bytes]
    if any(bits):
        masked = bytes(a & b for a, b in zip(value[:len_bytes], bits, strict=True))
        found[name] = (address_text(masked), address_text(bits))
    return 0


cdef str address_text(bytes packed):
    return packed.hex(":") if len(packed) == 6 else str(ip_address(packed))


def parse_key(data: bytes) -> dict[str, int | str]:
    cdef Packet pkt
    parse_or_raise(&pkt, data)
    found = key_view(&pkt.key)
    del found["in_port"]
    if pkt.key.eth_type == ETH_ARP:
        found["arp_sha"] = address_text(pkt.arp_sha[:6])
        found["arp_tha"] = address_text(pkt.arp_tha[:6])
    if found.get("icmpv6_type") in (ICMP6_NS, ICMP6_NA):
        found["nd_target"] = address_text(pkt.nd_target[:16])
        if pkt.nd_has_lladdr:
            found["nd_lladdr"] = address_text(pkt.nd_lladdr[:6])
    return found


cdef int parse_or_raise(Packet* pkt, const uint8_t[::1] data) except -1:
    cdef const uint8_t* start = &data[0] if data.shape[0] else NULL
    cdef int reason = parse(pkt, start, <uint32_t>data.shape[0], 0)
    if reason:
        raise ValueError(MALFORMED[reason])
    return 0


def rewrite(data: bytes, actions) -> bytes:
    cdef Packet pkt
    parse_or_raise(&pkt, data)
    for action in actions:
        apply(&pkt.key, action["action"], action.get("value"))
    cdef bytearray out = bytearray(len(data) + 4)
    cdef uint8_t[::1] room = out
    return bytes(out[:render(&pkt, &room[0], <uint32_t>len(out))])


cdef int apply(FlowKey* key, str name, object value) except -1:
    if name == "set_eth_src":
        copy_bytes(key.eth_src, bytes.fromhex(value.replace(":", "")), 6)
    elif name == "set_eth_dst":
        copy_bytes(key.eth_dst, bytes.fromhex(value.replace(":", "")), 6)
    elif name == "set_ip_src":
        copy_bytes(key.ip_src, ip_address(value).packed, 4 if key.eth_type == ETH_IPV4 else 16)
    elif name == "set_ip_dst":
        copy_bytes(key.ip_dst, ip_address(value).packed, 4 if key.eth_type == ETH_IPV4 else 16)
    elif name == "set_vlan":
        key.vlan_tci = <uint16_t>value | VLAN_PRESENT
    elif name == "pop_vlan":
        key.vlan_tci = 0
    elif name == "dec_ttl":
        key.ip_ttl -= key.ip_ttl > 0
    elif name == "set_tp_src":
        key.tp_src = value
    elif name == "set_tp_dst":
        key.tp_dst = value
    elif name not in ("output", "flood"):
        raise ValueError(f"{name}: no such action")
    return 0


cdef int copy_bytes(uint8_t* to, bytes value, int len_bytes) except -1:
    if len(value) != len_bytes:
        raise ValueError(f"{address_text(value)}: not of the packet's family")
    memcpy(to, <const uint8_t*>value, len_bytes)
    return 0


def checksums_ok(data: bytes) -> bool:
    cdef Packet pkt
    parse_or_raise(&pkt, data)
    if pkt.key.eth_type == ETH_IPV4:
        if fold(sum16(pkt.data + pkt.l3_off, (pkt.data[pkt.l3_off] & 15) * 4, 0)):
            return False
    return pkt.l4_off == 0 or pkt.key.ip_frag != FRAG_NO or transport_ok(&pkt)


cdef bint transport_ok(const Packet* pkt) noexcept nogil:
    cdef const uint8_t* l4 = pkt.data + pkt.l4_off
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef uint32_t address_bytes = 4 if pkt.key.eth_type == ETH_IPV4 else 16
    cdef uint32_t running = 0
    if pkt.key.ip_proto == IP_SCTP:
        running = crc32c(b"\0\0\0\0", 4, crc32c(l4, 8, 0xffffffff))
        return ~crc32c(l4 + 12, len_bytes - 12, running) == swapped(get32(l4 + 8))
    if pkt.key.ip_proto == IP_UDP and get16(l4 + 6) == 0:
        return address_bytes == 4
    if pkt.key.ip_proto != IP_ICMP:
        running = pseudo_sum(pkt.key.ip_src, pkt.key.ip_dst, address_bytes, pkt.key.ip_proto,
                             len_bytes)
    return fold(sum16(l4, len_bytes, running)) == 0


cdef inline uint32_t swapped(uint32_t value) noexcept nogil:
    """SCTP alone sends its checksum with the low byte first."""
    return value >> 24 | (value >> 8 & 0xff00) | (value & 0xff00) << 8 | value << 24
