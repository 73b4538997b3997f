"""Conditions of rules: the shapes' hashes first, then the candidates one by one."""

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, idx_t, uint8_t, uint16_t, uint64_t
from onehop.engine.chain cimport (
    C_DST, C_DST_GROUP, C_DST_MAC, C_DST_PORTS, C_ETHER_TYPE, C_FORWARD, C_FRAGMENT, C_ICMP_CODE,
    C_ICMP_TYPE, C_IN_GROUP, C_IN_PORTS, C_OUT_GROUP, C_OUT_PORTS, C_PROTOCOL, C_RETURN, C_SRC,
    C_SRC_GROUP, C_SRC_MAC, C_SRC_PORTS, C_TOS, C_TRAVERSED, C_VLAN, FRAGMENT_FIRST,
    FRAGMENT_LATER, STAGE_ADDRESSES, STAGE_L4, STAGE_PORTS, STAGE_TYPES, Rule,
    Shape, Slot, address_set_has, port_set_has, shape_seed, slot_find, stage_hash,
)
from onehop.engine.connections cimport connection
from onehop.engine.octets cimport same_bits
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, FRAG_FIRST, FRAG_LATER, FRAG_NO, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP,
    IP_UDP, FlowKey,
)
from onehop.engine.state cimport D_FORWARD, D_RETURN
from onehop.engine.walk cimport (
    add_tag, see_eth_dst_bits, see_eth_src_bits, see_eth_type, see_frag, see_ip_dst, see_ip_src,
    see_proto, see_tos, see_tp_dst, see_tp_dst_bits, see_tp_src, see_tp_src_bits, see_vlan,
)

cdef enum:
    WHOLE_VLAN = 0x1fff
    OF_IP = C_PROTOCOL | C_TOS | C_SRC | C_DST | C_SRC_GROUP | C_DST_GROUP


cdef void fill_values(Values* values, const Walk* walk, const Place* place) noexcept nogil:
    memset(values, 0, sizeof(Values))
    memcpy(values.src, walk.pkt.key.ip_src, 16)
    memcpy(values.dst, walk.pkt.key.ip_dst, 16)
    memcpy(values.src_mac, walk.pkt.key.eth_src, 6)
    memcpy(values.dst_mac, walk.pkt.key.eth_dst, 6)
    values.in_port, values.out_port = place.in_port, place.out_port
    values.ether_type = walk.pkt.key.eth_type
    values.vlan = walk.pkt.key.vlan_tci & WHOLE_VLAN
    values.protocol = walk.pkt.key.ip_proto
    values.src_port, values.dst_port = walk.pkt.key.tp_src, walk.pkt.key.tp_dst
    values.icmp_type = <uint8_t>walk.pkt.key.tp_src
    values.icmp_code = <uint8_t>walk.pkt.key.tp_dst


cdef uint32_t next_rule(
    Walk* walk, const Chain* chain, uint32_t start, const Values* values, const Place* place,
) noexcept nogil:
    cdef uint32_t i, rule, best = NONE
    cdef const Slot* slot
    for i in range(chain.n_shapes):
        if chain.shapes[i].first >= best:
            break
        if chain.shapes[i].last < start:
            continue
        slot = bucket(walk, chain, i, values)
        rule = slot.rule if slot != NULL else <uint32_t>NONE
        while rule < best:
            if rule >= start and meets(walk, &chain.rules[rule], place):
                best = rule
            else:
                rule = chain.rules[rule].next
    return best


cdef const Slot* bucket(
    Walk* walk, const Chain* chain, uint32_t index, const Values* values,
) noexcept nogil:
    """The rules of that shape that have the packet's values; NULL: none."""
    cdef const Shape* shape = &chain.shapes[index]
    cdef uint64_t hash_ = shape_seed(index)
    if shape.conditions & STAGE_PORTS:
        hash_ = stage_hash(hash_, shape, STAGE_PORTS, values)
        if slot_find(chain, hash_) == NULL:
            return NULL
    if shape.conditions & STAGE_TYPES:
        if not see_types(walk, shape):
            return NULL
        hash_ = stage_hash(hash_, shape, STAGE_TYPES, values)
        if slot_find(chain, hash_) == NULL:
            return NULL
    if shape.conditions & STAGE_ADDRESSES:
        if not see_addresses(walk, shape):
            return NULL
        hash_ = stage_hash(hash_, shape, STAGE_ADDRESSES, values)
        if slot_find(chain, hash_) == NULL:
            return NULL
    if shape.conditions & STAGE_L4:
        if not see_l4(walk, shape):
            return NULL
        hash_ = stage_hash(hash_, shape, STAGE_L4, values)
    return slot_find(chain, hash_)


cdef bint see_types(Walk* walk, const Shape* shape) noexcept nogil:
    see_eth_type(walk)
    if shape.conditions & C_VLAN:
        see_vlan(walk, WHOLE_VLAN)
    if shape.conditions & C_PROTOCOL:
        if not is_ip(walk):
            return False
        see_proto(walk)
    return True


cdef bint see_addresses(Walk* walk, const Shape* shape) noexcept nogil:
    if shape.conditions & C_SRC_MAC:
        see_eth_src_bits(walk, shape.src_mac_mask)
    if shape.conditions & C_DST_MAC:
        see_eth_dst_bits(walk, shape.dst_mac_mask)
    if not shape.conditions & (C_SRC | C_DST):
        return True
    if not is_ip(walk):
        return False
    if shape.conditions & C_SRC:
        see_ip_src(walk, shape.src_bits)
    if shape.conditions & C_DST:
        see_ip_dst(walk, shape.dst_bits)
    return True


cdef bint see_l4(Walk* walk, const Shape* shape) noexcept nogil:
    if not has_l4(walk, shape.conditions & (C_SRC_PORTS | C_DST_PORTS) != 0):
        return False
    if shape.conditions & (C_SRC_PORTS | C_ICMP_TYPE):
        see_tp_src(walk)
    if shape.conditions & (C_DST_PORTS | C_ICMP_CODE):
        see_tp_dst(walk)
    return True


cdef inline bint is_ip(Walk* walk) noexcept nogil:
    see_eth_type(walk)
    return walk.pkt.key.eth_type == ETH_IPV4 or walk.pkt.key.eth_type == ETH_IPV6


cdef inline bint has_l4(Walk* walk, bint ports) noexcept nogil:
    """Whether the packet has ports; or, where not those are meant, an ICMP type and code."""
    cdef uint8_t proto = walk.pkt.key.ip_proto
    if not is_ip(walk):
        return False
    see_proto(walk)
    if ports and proto != IP_TCP and proto != IP_UDP and proto != IP_SCTP:
        return False
    if not ports and proto != (IP_ICMP if walk.pkt.key.eth_type == ETH_IPV4 else IP_ICMP6):
        return False
    see_frag(walk)
    return walk.pkt.key.ip_frag != FRAG_LATER


# --- one rule

cdef bint meets(Walk* walk, const Rule* rule, const Place* place) noexcept nogil:
    """Cheap and unmasked conditions first, connections last."""
    cdef uint32_t c = rule.conditions
    if c & (C_IN_PORTS | C_OUT_PORTS | C_IN_GROUP | C_OUT_GROUP | C_TRAVERSED):
        if not meets_where(walk, rule, place):
            return False
    if c & (C_ETHER_TYPE | C_VLAN | C_PROTOCOL | C_FRAGMENT | C_TOS):
        if not meets_types(walk, rule):
            return False
    if c & (C_SRC_MAC | C_DST_MAC) and not meets_macs(walk, rule):
        return False
    if c & (C_SRC | C_DST | C_SRC_GROUP | C_DST_GROUP) and not meets_addresses(walk, rule):
        return False
    if c & STAGE_L4 and not meets_l4(walk, rule):
        return False
    return not c & (C_FORWARD | C_RETURN) or meets_flow(walk, rule, place)


cdef inline bint agrees(const Rule* rule, uint32_t condition, bint is_met) noexcept nogil:
    """Whether the condition is not stated, or is met as it is stated, inverted or not."""
    if not rule.conditions & condition:
        return True
    return is_met != (rule.inverted & condition != 0)


cdef bint meets_where(Walk* walk, const Rule* rule, const Place* place) noexcept nogil:
    cdef bint in_list = port_set_has(rule.in_ports, rule.n_in_ports, place.in_port)
    cdef bint out_list = port_set_has(rule.out_ports, rule.n_out_ports, place.out_port)
    if not agrees(rule, C_IN_PORTS, in_list) or not agrees(rule, C_OUT_PORTS, out_list):
        return False
    if rule.conditions & C_IN_GROUP:
        if not agrees(rule, C_IN_GROUP, is_in_group(walk, rule.in_group, place.in_port)):
            return False
    if rule.conditions & C_OUT_GROUP:
        if not agrees(rule, C_OUT_GROUP, is_in_group(walk, rule.out_group, place.out_port)):
            return False
    return agrees(rule, C_TRAVERSED, has_passed(walk, rule.traversed))


cdef bint is_in_group(Walk* walk, uint32_t group, idx_t port) noexcept nogil:
    add_tag(walk, walk.topo.port_sets[group].tag)
    return port_set_has(
        walk.topo.port_sets[group].ports, walk.topo.port_sets[group].n_ports, port)


cdef bint has_passed(const Walk* walk, idx_t device) noexcept nogil:
    cdef uint32_t i
    for i in range(walk.n_passed):
        if walk.passed[i] == device:
            return True
    return False


cdef bint meets_types(Walk* walk, const Rule* rule) noexcept nogil:
    if rule.conditions & C_ETHER_TYPE:
        see_eth_type(walk)
        if not agrees(rule, C_ETHER_TYPE, walk.pkt.key.eth_type == rule.values.ether_type):
            return False
    if rule.conditions & C_VLAN:
        see_vlan(walk, WHOLE_VLAN)
        if not agrees(rule, C_VLAN, walk.pkt.key.vlan_tci & WHOLE_VLAN == rule.values.vlan):
            return False
    if rule.conditions & C_PROTOCOL and not agrees(rule, C_PROTOCOL, has_protocol(walk, rule)):
        return False
    if rule.conditions & C_FRAGMENT and not agrees(rule, C_FRAGMENT, is_fragment(walk, rule)):
        return False
    return not rule.conditions & C_TOS or agrees(rule, C_TOS, has_tos(walk, rule))


cdef bint has_protocol(Walk* walk, const Rule* rule) noexcept nogil:
    if not is_ip(walk):
        return False
    see_proto(walk)
    return walk.pkt.key.ip_proto == rule.values.protocol


cdef bint has_tos(Walk* walk, const Rule* rule) noexcept nogil:
    if not is_ip(walk):
        return False
    see_tos(walk)
    return walk.pkt.key.ip_tos == rule.tos


cdef bint is_fragment(Walk* walk, const Rule* rule) noexcept nogil:
    cdef uint8_t frag = FRAG_NO
    if is_ip(walk):
        see_frag(walk)
        frag = walk.pkt.key.ip_frag
    if rule.fragment == FRAGMENT_FIRST:
        return frag == FRAG_FIRST
    return frag == (FRAG_LATER if rule.fragment == FRAGMENT_LATER else FRAG_NO)


cdef bint meets_macs(Walk* walk, const Rule* rule) noexcept nogil:
    cdef const FlowKey* key = &walk.pkt.key
    cdef bint is_met
    if rule.conditions & C_SRC_MAC:
        see_eth_src_bits(walk, rule.src_mac_mask)
        is_met = is_mac(key.eth_src, rule.values.src_mac, rule.src_mac_mask)
        if not agrees(rule, C_SRC_MAC, is_met):
            return False
    if rule.conditions & C_DST_MAC:
        see_eth_dst_bits(walk, rule.dst_mac_mask)
        return agrees(
            rule, C_DST_MAC, is_mac(key.eth_dst, rule.values.dst_mac, rule.dst_mac_mask))
    return True


cdef bint is_mac(const uint8_t* mac, const uint8_t* wanted, const uint8_t* mask) noexcept nogil:
    cdef uint32_t i
    for i in range(6):
        if mac[i] & mask[i] != wanted[i] & mask[i]:
            return False
    return True


cdef bint meets_addresses(Walk* walk, const Rule* rule) noexcept nogil:
    if rule.conditions & C_SRC and not agrees(rule, C_SRC, is_within(
            walk, rule.values.src, rule.src_bits, rule.src_family, True)):
        return False
    if rule.conditions & C_DST and not agrees(rule, C_DST, is_within(
            walk, rule.values.dst, rule.dst_bits, rule.dst_family, False)):
        return False
    if rule.conditions & C_SRC_GROUP:
        if not agrees(rule, C_SRC_GROUP, is_member(walk, rule.src_group, True)):
            return False
    if rule.conditions & C_DST_GROUP:
        return agrees(rule, C_DST_GROUP, is_member(walk, rule.dst_group, False))
    return True


cdef bint is_within(
    Walk* walk, const uint8_t* prefix, uint32_t len_bits, uint8_t family, bint source,
) noexcept nogil:
    cdef const uint8_t* ip = an_address(walk, source)
    cdef uint32_t same
    see_eth_type(walk)
    if walk.pkt.key.eth_type != (ETH_IPV4 if family == 4 else ETH_IPV6):
        return False
    same = same_bits(ip, prefix, len_bits)
    see_ip(walk, min(same + 1, len_bits), source)
    return same == len_bits


cdef bint is_member(Walk* walk, uint32_t group, bint source) noexcept nogil:
    cdef const uint8_t* ip = an_address(walk, source)
    cdef uint32_t bits
    cdef bint found
    add_tag(walk, walk.topo.address_sets[group].tag)
    if not is_ip(walk):
        return False
    found = address_set_has(
        &walk.topo.address_sets[group], 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6, ip, &bits)
    see_ip(walk, bits, source)
    return found


cdef inline const uint8_t* an_address(const Walk* walk, bint source) noexcept nogil:
    if source:
        return walk.pkt.key.ip_src
    return walk.pkt.key.ip_dst


cdef inline void see_ip(Walk* walk, uint32_t bits, bint source) noexcept nogil:
    if source:
        see_ip_src(walk, bits)
    else:
        see_ip_dst(walk, bits)


cdef bint meets_l4(Walk* walk, const Rule* rule) noexcept nogil:
    cdef const Values* values = &rule.values
    cdef uint32_t c = rule.conditions
    if c & (C_SRC_PORTS | C_DST_PORTS) and not has_l4(walk, True):
        return False
    if c & C_SRC_PORTS:
        see_tp_src_bits(walk, telling(
            walk.pkt.key.tp_src, values.src_port, rule.src_port_last))
        if not agrees(rule, C_SRC_PORTS, values.src_port <= walk.pkt.key.tp_src
                      and walk.pkt.key.tp_src <= rule.src_port_last):
            return False
    if c & C_DST_PORTS:
        see_tp_dst_bits(walk, telling(
            walk.pkt.key.tp_dst, values.dst_port, rule.dst_port_last))
        if not agrees(rule, C_DST_PORTS, values.dst_port <= walk.pkt.key.tp_dst
                      and walk.pkt.key.tp_dst <= rule.dst_port_last):
            return False
    return not c & (C_ICMP_TYPE | C_ICMP_CODE) or meets_icmp(walk, rule)


cdef bint meets_icmp(Walk* walk, const Rule* rule) noexcept nogil:
    if not has_l4(walk, False):
        return False
    if rule.conditions & C_ICMP_TYPE:
        see_tp_src(walk)
        if not agrees(rule, C_ICMP_TYPE, walk.pkt.key.tp_src == rule.values.icmp_type):
            return False
    if rule.conditions & C_ICMP_CODE:
        see_tp_dst(walk)
        return agrees(rule, C_ICMP_CODE, walk.pkt.key.tp_dst == rule.values.icmp_code)
    return True


cdef uint16_t telling(uint32_t port, uint32_t first, uint32_t last) noexcept nogil:
    """The bits of `port` that tell whether it is within the range, from the highest on."""
    cdef uint32_t rest = 0xffff
    cdef uint32_t low
    while rest:
        low = port & ~rest
        if low + rest < first or low > last or (low >= first and low + rest <= last):
            break
        rest >>= 1
    return <uint16_t>~rest


cdef bint meets_flow(Walk* walk, const Rule* rule, const Place* place) noexcept nogil:
    cdef int direction = connection(walk, place.zone)
    return agrees(rule, C_FORWARD, direction == D_FORWARD) and agrees(
        rule, C_RETURN, direction == D_RETURN)
