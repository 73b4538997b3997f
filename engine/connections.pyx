"""What the walk asks about connections, and what its verdict says about them."""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.cdefs cimport MAX_CREATED, MAX_USED, tag_t, uint8_t, uint32_t
from onehop.engine.octets cimport get16
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, FRAG_LATER, ICMP6_ECHO, ICMP6_ECHO_REPLY, ICMP_ECHO, ICMP_ECHO_REPLY,
    IP_FRAGMENT, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP, IP_UDP,
)
from onehop.engine.state cimport (
    CONNECTION, D_FORWARD, D_NONE, D_RETURN, TCP_FIN, TCP_RST, TCP_VISITS,
    state_find_tagged, state_key_clear, state_key_swap, state_prefetch, state_tag, track_begin,
)
from onehop.engine.walk cimport (
    add_tag, miss, see_eth_type, see_frag, see_ip_dst, see_ip_src, see_proto, see_tcp_flags,
    see_tp_dst, see_tp_src,
)


cdef int connection(Walk* walk, uint64_t zone) noexcept nogil:
    cdef StateKey key, swapped
    cdef tag_t tag
    if is_icmp_error(walk):
        return related(walk, zone)
    if not packet_state_key(walk, zone, CONNECTION, &key):
        return D_NONE
    tag = state_tag(walk.state, &key)
    if recall_tagged(walk, &key, tag, D_FORWARD) != NULL:
        return D_FORWARD
    state_key_swap(&swapped, &key)
    if recall(walk, &swapped, D_RETURN) != NULL:
        return D_RETURN
    return begin_one(walk, &key, tag)


cdef int related(Walk* walk, uint64_t zone) noexcept nogil:
    """An error goes against the direction of the packet that it is about."""
    cdef StateKey key, swapped
    walk.out.cacheable = 0
    if not embedded_state_key(&walk.pkt, zone, CONNECTION, &key):
        return D_NONE
    if recall(walk, &key, D_FORWARD) != NULL:
        return D_RETURN
    state_key_swap(&swapped, &key)
    if recall(walk, &swapped, D_RETURN) != NULL:
        return D_FORWARD
    miss(walk)
    return D_NONE


cdef int begin_one(Walk* walk, const StateKey* key, tag_t tag) noexcept nogil:
    cdef StateEntry entry
    miss(walk)
    if key.proto == IP_TCP and walk.pkt.key.tcp_flags & (TCP_RST | TCP_FIN):
        return D_NONE
    memset(&entry, 0, sizeof(StateEntry))
    entry.key = key[0]
    entry.tag = tag
    remember(walk, &entry)
    return D_FORWARD


# --- keys

cdef bint packet_state_key(Walk* walk, uint64_t zone, int kind, StateKey* out) noexcept nogil:
    state_key_clear(out, zone, kind)
    see_eth_type(walk)
    if walk.pkt.key.eth_type != ETH_IPV4 and walk.pkt.key.eth_type != ETH_IPV6:
        return False
    out.family = 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6
    see_ip_src(walk, 32 if out.family == 4 else 128)
    see_ip_dst(walk, 32 if out.family == 4 else 128)
    see_proto(walk)
    see_frag(walk)
    if walk.pkt.key.ip_frag == FRAG_LATER:
        return False
    memcpy(out.src, walk.pkt.key.ip_src, 16)
    memcpy(out.dst, walk.pkt.key.ip_dst, 16)
    out.proto = walk.pkt.key.ip_proto
    if out.proto == icmp_of(out.family):
        return icmp_key(walk, out)
    return transport_key(walk, out)


cdef bint transport_key(Walk* walk, StateKey* out) noexcept nogil:
    if out.proto == IP_TCP:
        see_tcp_flags(walk, TCP_VISITS)
    elif out.proto != IP_UDP and out.proto != IP_SCTP:
        return True
    see_tp_src(walk)
    see_tp_dst(walk)
    out.sport, out.dport = walk.pkt.key.tp_src, walk.pkt.key.tp_dst
    return True


cdef bint icmp_key(Walk* walk, StateKey* out) noexcept nogil:
    """No flow can match an identifier, so every echo is looked at."""
    see_tp_src(walk)
    if not is_echo(out.family, walk.pkt.key.tp_src):
        return False
    walk.out.cacheable = 0
    if walk.pkt.data == NULL or not walk.pkt.has_echo_id:
        return False
    out.sport = out.dport = walk.pkt.echo_id
    return True


cdef inline uint8_t icmp_of(uint8_t family) noexcept nogil:
    return IP_ICMP if family == 4 else IP_ICMP6


cdef inline bint is_echo(uint8_t family, uint16_t icmp_type) noexcept nogil:
    if family == 4:
        return icmp_type == ICMP_ECHO or icmp_type == ICMP_ECHO_REPLY
    return icmp_type == ICMP6_ECHO or icmp_type == ICMP6_ECHO_REPLY


# --- errors

cdef bint is_icmp_error(Walk* walk) noexcept nogil:
    cdef const Packet* pkt = &walk.pkt
    if pkt.key.eth_type != ETH_IPV4 and pkt.key.eth_type != ETH_IPV6:
        return False
    see_eth_type(walk)
    see_proto(walk)
    if not is_icmp(pkt):
        return False
    see_frag(walk)
    see_tp_src(walk)
    return is_error(pkt)


cdef inline bint is_icmp(const Packet* pkt) noexcept nogil:
    return pkt.key.ip_proto == icmp_of(4 if pkt.key.eth_type == ETH_IPV4 else 6)


cdef inline bint is_error(const Packet* pkt) noexcept nogil:
    """RFC 792, RFC 4443: about another packet."""
    cdef uint16_t kind = pkt.key.tp_src
    if pkt.key.ip_frag == FRAG_LATER or not is_icmp(pkt):
        return False
    if pkt.key.eth_type == ETH_IPV6:
        return kind >= 1 and kind < 128
    return kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12


cdef bint embedded_state_key(
    const Packet* pkt, uint64_t zone, int kind, StateKey* out,
) noexcept nogil:
    cdef uint32_t at = pkt.l4_off + 8
    cdef uint32_t end = pkt.l3_off + pkt.l3_len_bytes
    cdef uint32_t l4
    state_key_clear(out, zone, kind)
    if pkt.data == NULL or pkt.l4_off == 0 or not is_error(pkt):
        return False
    if pkt.key.eth_type == ETH_IPV4:
        l4 = read_embedded4(pkt.data, at, end, out)
    else:
        l4 = read_embedded6(pkt.data, at, end, out)
    return l4 != 0 and read_embedded_ports(pkt.data + l4, end - l4, out)


cdef uint32_t read_embedded4(
    const uint8_t* data, uint32_t at, uint32_t end, StateKey* out,
) noexcept nogil:
    """Where its transport header is; 0: nowhere."""
    cdef uint32_t head
    if at + 20 > end or data[at] >> 4 != 4:
        return 0
    head = (data[at] & 15) * 4
    if head < 20 or at + head > end or get16(data + at + 6) & 0x1fff:
        return 0
    out.family, out.proto = 4, data[at + 9]
    memcpy(out.src, data + at + 12, 4)
    memcpy(out.dst, data + at + 16, 4)
    return at + head


cdef uint32_t read_embedded6(
    const uint8_t* data, uint32_t at, uint32_t end, StateKey* out,
) noexcept nogil:
    """The same; extension headers are not stepped over, except a first fragment's."""
    if at + 40 > end or data[at] >> 4 != 6:
        return 0
    out.family, out.proto = 6, data[at + 6]
    memcpy(out.src, data + at + 8, 16)
    memcpy(out.dst, data + at + 24, 16)
    if out.proto != IP_FRAGMENT:
        return at + 40
    if at + 48 > end or get16(data + at + 42) & 0xfff8:
        return 0
    out.proto = data[at + 40]
    return at + 48


cdef bint read_embedded_ports(const uint8_t* l4, uint32_t room, StateKey* out) noexcept nogil:
    if out.proto == icmp_of(out.family):
        if room < 8 or not is_echo(out.family, l4[0]):
            return False
        out.sport = out.dport = get16(l4 + 4)
        return True
    if out.proto == IP_TCP or out.proto == IP_UDP or out.proto == IP_SCTP:
        if room < 4:
            return False
        out.sport, out.dport = get16(l4), get16(l4 + 2)
    return True


# --- entries

cdef const StateEntry* recall(Walk* walk, const StateKey* key, int direction) noexcept nogil:
    return recall_tagged(walk, key, state_tag(walk.state, key), direction)


cdef const StateEntry* recall_tagged(
    Walk* walk, const StateKey* key, tag_t tag, int direction,
) noexcept nogil:
    cdef const StateEntry* found = pending(walk, key)
    add_tag(walk, tag)
    if found == NULL:
        found = state_find_tagged(walk.state, key, tag, walk.now)
        if found != NULL and not walk.is_crafted:
            use(walk, key, direction)
    return found


cdef const StateEntry* pending(const Walk* walk, const StateKey* key) noexcept nogil:
    cdef uint32_t i
    for i in range(walk.out.n_created):
        if memcmp(&walk.out.created[i].key, key, sizeof(StateKey)) == 0:
            return &walk.out.created[i]
    return NULL


cdef void use(Walk* walk, const StateKey* key, int direction) noexcept nogil:
    cdef uint32_t i
    for i in range(walk.out.n_used):
        if memcmp(&walk.out.used[i].key, key, sizeof(StateKey)) == 0:
            return
    if walk.out.n_used == MAX_USED:
        walk.out.cacheable = 0
        return
    walk.out.used[walk.out.n_used].key = key[0]
    walk.out.used[walk.out.n_used].direction = <uint8_t>direction
    walk.out.n_used += 1


cdef bint remember(Walk* walk, const StateEntry* entry) noexcept nogil:
    cdef StateEntry* created
    if walk.is_crafted:
        return True
    if walk.out.n_created == MAX_CREATED:
        walk.out.is_overfull |= not walk.is_flooding
        return False
    created = &walk.out.created[walk.out.n_created]
    created[0] = entry[0]
    created.tag = entry.tag or state_tag(walk.state, &entry.key)
    if walk.state != NULL:
        state_prefetch(walk.state, created.tag)
    if created.state == 0:
        created.state = track_begin(entry.key.proto, walk.pkt.key.tcp_flags)
    walk.out.n_created += 1
    return True
