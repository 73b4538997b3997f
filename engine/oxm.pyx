"""Flow key and mask <-> OpenFlow match (OXM, OpenFlow 1.3 section 7.2.3).

1. `read_match` of what `put_match` wrote gives the same key and mask.
2. A field is written behind its prerequisites.
3. What OVS cannot mask bit by bit is matched whole: that makes a flow narrower, never wrong.
"""

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport uint16_t
from onehop.engine.octets cimport get16, get32, get64, is_zero, put16, put32
from onehop.engine.openflow cimport ONF
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, FRAG_LATER, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP, IP_UDP,
)

cdef enum:
    # class << 16 | field << 9, as in an OXM header without its mask bit and length
    OXM_IN_PORT = 0x80000000
    OXM_METADATA = 0x80000400
    OXM_ETH_DST = 0x80000600
    OXM_ETH_SRC = 0x80000800
    OXM_ETH_TYPE = 0x80000a00
    OXM_VLAN_VID = 0x80000c00
    OXM_VLAN_PCP = 0x80000e00
    OXM_IP_DSCP = 0x80001000
    OXM_IP_ECN = 0x80001200
    OXM_IP_PROTO = 0x80001400
    OXM_IPV4_SRC = 0x80001600
    OXM_IPV4_DST = 0x80001800
    OXM_TCP_SRC = 0x80001a00
    OXM_UDP_SRC = 0x80001e00
    OXM_SCTP_SRC = 0x80002200
    OXM_ICMP_TYPE = 0x80002600
    OXM_IPV6_SRC = 0x80003400
    OXM_IPV6_DST = 0x80003600
    OXM_ICMP6_TYPE = 0x80003a00
    NXM_REG0 = 0x00010000  # the limits' mark, and below it the length class
    NXM_IP_FRAG = 0x00013400
    NXM_IP_TTL = 0x00013a00
    NXM_TCP_FLAGS = 0x00014400
    OXM_ONF_TCP_FLAGS = 0xffff5400  # how OVS may say it instead, with ONF behind the header
    OXM_NEXT = 0x200       # from a field to the next: from a source port to the destination port
    OXM_HAS_MASK = 0x100
    FRAG_ANY_BIT = 1       # NXM_IP_FRAG's bits
    FRAG_LATER_BIT = 2

cdef enum:
    TCI_VID = 0x1fff       # with VLAN_PRESENT
    TCI_PCP = 0xe000


# --- what OVS can match

cdef bint normalise(FlowKey* key, FlowKey* mask) noexcept nogil:
    mask.in_port = 0xffffffff
    if mask.vlan_tci:
        mask.vlan_tci = TCI_VID | (TCI_PCP if mask.vlan_tci & TCI_PCP and key.vlan_tci else 0)
    if is_zero(<const uint8_t*>mask.ip_src, 32) and not (
        mask.tp_src | mask.tp_dst | mask.ip_proto | mask.ip_tos | mask.ip_ttl | mask.ip_frag
        | mask.tcp_flags
    ):
        hide(key, mask)
        return True
    mask.eth_type = 0xffff
    if key.eth_type == ETH_IPV4:
        memset(mask.ip_src + 4, 0, 12)
        memset(mask.ip_dst + 4, 0, 12)
    elif key.eth_type != ETH_IPV6:
        return False
    normalise_transport(key, mask)
    mask.ip_tos = (0xfc if mask.ip_tos & 0xfc else 0) | (3 if mask.ip_tos & 3 else 0)
    mask.ip_ttl = 0xff if mask.ip_ttl else 0
    mask.ip_frag = 3 if mask.ip_frag else 0
    hide(key, mask)
    return True


cdef void normalise_transport(const FlowKey* key, FlowKey* mask) noexcept nogil:
    cdef uint32_t base = transport_base(key)
    cdef uint16_t whole = 0xff if is_icmp(key) else 0xffff
    if mask.tp_src | mask.tp_dst | mask.ip_proto | mask.tcp_flags:
        mask.ip_proto = 0xff
    mask.tcp_flags = mask.tcp_flags & 0xfff if base == OXM_TCP_SRC else 0
    if base == 0:
        mask.tp_src = mask.tp_dst = 0
    elif is_icmp(key):
        mask.tp_src = whole if mask.tp_src else 0
        mask.tp_dst = whole if mask.tp_dst else 0


cdef inline bint is_icmp(const FlowKey* key) noexcept nogil:
    return key.ip_proto == (IP_ICMP if key.eth_type == ETH_IPV4 else IP_ICMP6)


cdef inline uint32_t transport_base(const FlowKey* key) noexcept nogil:
    """The field of tp_src; tp_dst's is the next. 0: there are no such fields."""
    if is_icmp(key):
        return OXM_ICMP_TYPE if key.eth_type == ETH_IPV4 else OXM_ICMP6_TYPE
    if key.ip_proto == IP_TCP:
        return OXM_TCP_SRC
    if key.ip_proto == IP_UDP:
        return OXM_UDP_SRC
    return OXM_SCTP_SRC if key.ip_proto == IP_SCTP else 0


# --- key -> OXM

cdef uint32_t put_match(
    uint8_t* out, const FlowKey* key, const FlowKey* mask, uint32_t ofport, uint16_t limits_mark,
) noexcept nogil:
    cdef uint8_t* at = out + 4
    cdef uint32_t len_bytes, padded
    at = put_whole(at, OXM_IN_PORT, ofport, 4)
    if mask.len_class:
        at = put_length(at, key, mask, limits_mark)
    at = put_bytes(at, OXM_ETH_DST, key.eth_dst, mask.eth_dst, 6)
    at = put_bytes(at, OXM_ETH_SRC, key.eth_src, mask.eth_src, 6)
    if mask.eth_type:
        at = put_whole(at, OXM_ETH_TYPE, key.eth_type, 2)
    if mask.vlan_tci:
        at = put_vlan(at, key, mask)
    if mask.eth_type and (key.eth_type == ETH_IPV4 or key.eth_type == ETH_IPV6):
        at = put_ip(at, key, mask)
    len_bytes = <uint32_t>(at - out)
    padded = (len_bytes + 7) & ~7u
    put16(out, 1)
    put16(out + 2, len_bytes)
    memset(at, 0, padded - len_bytes)
    return padded


cdef uint8_t* put_length(
    uint8_t* at, const FlowKey* key, const FlowKey* mask, uint16_t limits_mark,
) noexcept nogil:
    cdef uint8_t[8] both
    put32(both, <uint32_t>limits_mark << 16 | key.len_class)
    put32(both + 4, <uint32_t>0xffff0000u | mask.len_class)
    return put_bytes(at, NXM_REG0, both, both + 4, 4)


cdef uint8_t* put_vlan(uint8_t* at, const FlowKey* key, const FlowKey* mask) noexcept nogil:
    at = put_whole(at, OXM_VLAN_VID, key.vlan_tci & TCI_VID, 2)
    if mask.vlan_tci & TCI_PCP:
        at = put_whole(at, OXM_VLAN_PCP, key.vlan_tci >> 13, 1)
    return at


cdef uint8_t* put_ip(uint8_t* at, const FlowKey* key, const FlowKey* mask) noexcept nogil:
    if mask.ip_tos & 0xfc:
        at = put_whole(at, OXM_IP_DSCP, key.ip_tos >> 2, 1)
    if mask.ip_tos & 3:
        at = put_whole(at, OXM_IP_ECN, key.ip_tos & 3, 1)
    if mask.ip_proto:
        at = put_whole(at, OXM_IP_PROTO, key.ip_proto, 1)
    if key.eth_type == ETH_IPV4:
        at = put_bytes(at, OXM_IPV4_SRC, key.ip_src, mask.ip_src, 4)
        at = put_bytes(at, OXM_IPV4_DST, key.ip_dst, mask.ip_dst, 4)
    else:
        at = put_bytes(at, OXM_IPV6_SRC, key.ip_src, mask.ip_src, 16)
        at = put_bytes(at, OXM_IPV6_DST, key.ip_dst, mask.ip_dst, 16)
    if mask.tp_src:
        at = put_port(at, transport_base(key), key, key.tp_src, mask.tp_src)
    if mask.tp_dst:
        at = put_port(at, transport_base(key) + OXM_NEXT, key, key.tp_dst, mask.tp_dst)
    if mask.tcp_flags:
        at = put_port(at, NXM_TCP_FLAGS, key, key.tcp_flags, mask.tcp_flags)
    if mask.ip_frag:
        at = put_whole(at, NXM_IP_FRAG, frag_bits(key.ip_frag), 1)
    if mask.ip_ttl:
        at = put_whole(at, NXM_IP_TTL, key.ip_ttl, 1)
    return at


cdef inline uint8_t frag_bits(uint8_t ip_frag) noexcept nogil:
    return FRAG_ANY_BIT | FRAG_LATER_BIT if ip_frag == FRAG_LATER else ip_frag


cdef inline uint8_t* put_port(
    uint8_t* at, uint32_t field, const FlowKey* key, uint16_t value, uint16_t mask,
) noexcept nogil:
    cdef uint8_t[4] both
    if is_icmp(key):
        return put_whole(at, field, value, 1)
    put16(both, value)
    put16(both + 2, mask)
    return put_bytes(at, field, both, both + 2, 2)


cdef inline uint8_t* put_whole(
    uint8_t* at, uint32_t field, uint32_t value, uint32_t len_bytes,
) noexcept nogil:
    cdef uint32_t i
    put32(at, field | len_bytes)
    for i in range(len_bytes):
        at[4 + i] = <uint8_t>(value >> 8 * (len_bytes - 1 - i))
    return at + 4 + len_bytes


cdef inline uint8_t* put_bytes(
    uint8_t* at, uint32_t field, const uint8_t* value, const uint8_t* mask, uint32_t len_bytes,
) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t every = 0xff
    if is_zero(mask, len_bytes):
        return at
    for i in range(len_bytes):
        every &= mask[i]
    put32(at, field | (len_bytes if every == 0xff else OXM_HAS_MASK | 2 * len_bytes))
    memcpy(at + 4, value, len_bytes)
    if every == 0xff:
        return at + 4 + len_bytes
    memcpy(at + 4 + len_bytes, mask, len_bytes)
    return at + 4 + 2 * len_bytes


# --- OXM -> key

cdef bint read_match(Match* match, const uint8_t* oxm, uint32_t len_bytes) noexcept nogil:
    cdef uint32_t at = 0
    cdef uint32_t body
    memset(match, 0, sizeof(Match))
    while at + 4 <= len_bytes:
        body = oxm[at + 3]
        if at + 4 + body > len_bytes or not read_field(match, get32(oxm + at), oxm + at + 4):
            return False
        at += 4 + body
    return at == len_bytes


cdef bint read_field(Match* match, uint32_t head, const uint8_t* body) noexcept nogil:
    cdef uint32_t field = head & 0xfffffe00u
    cdef uint32_t len_bytes = head & 0xff
    cdef const uint8_t* bits = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
    if field == OXM_ONF_TCP_FLAGS and len_bytes >= 4 and get32(body) == ONF:
        return read_field(match, NXM_TCP_FLAGS | head & OXM_HAS_MASK | len_bytes - 4, body + 4)
    if head & OXM_HAS_MASK:
        len_bytes //= 2
        bits = body + len_bytes
    if field == OXM_IN_PORT and len_bytes == 4:
        match.ofport = get32(body)
        match.mask.in_port = 0xffffffff
        return True
    if field == NXM_TCP_FLAGS and len_bytes == 2:
        match.key.tcp_flags = get16(body) & 0xfff
        match.mask.tcp_flags = get16(bits) & 0xfff
        return True
    if field == OXM_METADATA and len_bytes == 8:
        match.metadata = get64(body)
        return True
    if field == NXM_REG0 and len_bytes == 4:
        return read_length(match, get32(body), get32(bits))
    if field == OXM_VLAN_VID or field == OXM_VLAN_PCP:
        return read_vlan(match, field, body, bits, len_bytes)
    if field >= OXM_TCP_SRC and field <= OXM_ICMP_TYPE + OXM_NEXT:
        return read_transport(match, field - OXM_TCP_SRC, body, bits, len_bytes)
    if field == OXM_ICMP6_TYPE or field == OXM_ICMP6_TYPE + OXM_NEXT:
        return read_transport(match, field - OXM_ICMP6_TYPE, body, bits, len_bytes)
    return read_bytes(match, field, body, bits, len_bytes) or (
        len_bytes == (2 if field == OXM_ETH_TYPE else 1) and read_small(match, field, body, bits)
    )


cdef bint read_length(Match* match, uint32_t value, uint32_t mask) noexcept nogil:
    match.limits_mark = <uint16_t>(value >> 16)
    match.key.len_class = <uint16_t>value
    match.mask.len_class = <uint16_t>mask
    return mask >> 16 == 0xffff


cdef bint read_bytes(
    Match* match, uint32_t field, const uint8_t* body, const uint8_t* bits, uint32_t len_bytes,
) noexcept nogil:
    if field == OXM_ETH_DST and len_bytes == 6:
        return keep(match.key.eth_dst, match.mask.eth_dst, body, bits, 6)
    if field == OXM_ETH_SRC and len_bytes == 6:
        return keep(match.key.eth_src, match.mask.eth_src, body, bits, 6)
    if (field == OXM_IPV4_SRC and len_bytes == 4) or (field == OXM_IPV6_SRC and len_bytes == 16):
        return keep(match.key.ip_src, match.mask.ip_src, body, bits, len_bytes)
    if (field == OXM_IPV4_DST and len_bytes == 4) or (field == OXM_IPV6_DST and len_bytes == 16):
        return keep(match.key.ip_dst, match.mask.ip_dst, body, bits, len_bytes)
    return False


cdef inline bint keep(
    uint8_t* key, uint8_t* mask, const uint8_t* body, const uint8_t* bits, uint32_t len_bytes,
) noexcept nogil:
    memcpy(key, body, len_bytes)
    memcpy(mask, bits, len_bytes)
    return True


cdef bint read_small(
    Match* match, uint32_t field, const uint8_t* body, const uint8_t* bits,
) noexcept nogil:
    """The fields of one or two bytes, which OVS gives whole."""
    if field == OXM_ETH_TYPE:
        match.key.eth_type = get16(body)
        match.mask.eth_type = 0xffff
    elif field == OXM_IP_PROTO:
        match.key.ip_proto = body[0]
        match.mask.ip_proto = 0xff
    elif field == OXM_IP_DSCP:
        match.key.ip_tos |= <uint8_t>(body[0] << 2)
        match.mask.ip_tos |= 0xfc
    elif field == OXM_IP_ECN:
        match.key.ip_tos |= body[0] & 3
        match.mask.ip_tos |= 3
    elif field == NXM_IP_TTL:
        match.key.ip_ttl = body[0]
        match.mask.ip_ttl = 0xff
    elif field == NXM_IP_FRAG and bits[0] & 3 == 3:
        match.key.ip_frag = FRAG_LATER if body[0] & FRAG_LATER_BIT else body[0] & FRAG_ANY_BIT
        match.mask.ip_frag = 3
    else:
        return False
    return True


cdef bint read_vlan(
    Match* match, uint32_t field, const uint8_t* body, const uint8_t* bits, uint32_t len_bytes,
) noexcept nogil:
    if field == OXM_VLAN_PCP and len_bytes == 1:
        match.key.vlan_tci |= <uint16_t>(body[0] << 13)
        match.mask.vlan_tci |= TCI_PCP
    elif field == OXM_VLAN_VID and len_bytes == 2:
        match.key.vlan_tci |= get16(body) & TCI_VID
        match.mask.vlan_tci |= get16(bits) & TCI_VID
    else:
        return False
    return True


cdef bint read_transport(
    Match* match, uint32_t which, const uint8_t* body, const uint8_t* bits, uint32_t len_bytes,
) noexcept nogil:
    """A port, or an ICMP type or code: the even fields are sources."""
    cdef uint16_t value = body[0] if len_bytes == 1 else get16(body)
    cdef uint16_t mask = bits[0] if len_bytes == 1 else get16(bits)
    if len_bytes == 0 or len_bytes > 2:
        return False
    if which & OXM_NEXT:
        match.key.tp_dst = value
        match.mask.tp_dst = mask
    else:
        match.key.tp_src = value
        match.mask.tp_src = mask
    return True
