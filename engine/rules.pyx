"""Facts about rules -> the compiled rules of a chain."""

from libc.stdlib cimport calloc, malloc
from libc.string cimport memcpy

from onehop.engine.cdefs cimport uint8_t
from onehop.engine.chain cimport (
    C_DST, C_DST_GROUP, C_DST_MAC, C_DST_PORTS, C_ETHER_TYPE, C_FORWARD, C_FRAGMENT, C_ICMP_CODE,
    C_ICMP_TYPE, C_IN_GROUP, C_IN_PORTS, C_OUT_GROUP, C_OUT_PORTS, C_PROTOCOL, C_RETURN, C_SRC,
    C_SRC_GROUP, C_SRC_MAC, C_SRC_PORTS, C_TOS, C_TRAVERSED, C_VLAN, FRAGMENT_FIRST,
    FRAGMENT_LATER, FRAGMENT_NONE, Target, rules_free,
)

ACTIONS = (  # in the order of RuleAction
    "accept", "drop", "reject", "return", "jump", "snat", "dnat", "reverse_snat", "reverse_dnat",
)
THENS = ("accept", "continue", "return")  # in the order of Then
BITS = {
    "in_ports": C_IN_PORTS, "out_ports": C_OUT_PORTS, "in_port_group": C_IN_GROUP,
    "out_port_group": C_OUT_GROUP, "traversed_device": C_TRAVERSED, "ether_type": C_ETHER_TYPE,
    "vlan": C_VLAN, "protocol": C_PROTOCOL, "fragment": C_FRAGMENT, "tos": C_TOS,
    "source_mac": C_SRC_MAC, "destination_mac": C_DST_MAC, "source": C_SRC, "destination": C_DST,
    "source_group": C_SRC_GROUP, "destination_group": C_DST_GROUP, "icmp_type": C_ICMP_TYPE,
    "icmp_code": C_ICMP_CODE, "source_ports": C_SRC_PORTS, "destination_ports": C_DST_PORTS,
    "forward_flow": C_FORWARD, "return_flow": C_RETURN,
}
FRAGMENTS = {
    "first": FRAGMENT_FIRST, "later": FRAGMENT_LATER, "unfragmented": FRAGMENT_NONE,
}


cdef Rule* make_rules(facts, names) except? NULL:
    cdef uint32_t i, n = <uint32_t>len(facts)
    cdef Rule* rules
    if n == 0:
        return NULL
    rules = <Rule*>calloc(n, sizeof(Rule))
    if rules == NULL:
        raise MemoryError
    try:
        for i in range(n):
            fill_rule(&rules[i], facts[i], names)
    except BaseException:
        rules_free(rules, n)
        raise
    return rules


cdef int fill_rule(Rule* rule, fact, names) except -1:
    rule.action = ACTIONS.index(fact.action)
    rule.then = THENS.index(fact.then)
    if fact.jump:
        rule.jump = names.chain_index(fact.jump)
    for name, value in fact.conditions:
        rule.conditions |= <uint32_t>BITS[name]
        fill_condition(rule, BITS[name], value, names)
    for name in fact.inverted:
        rule.inverted |= <uint32_t>BITS[name]
    return fill_targets(rule, fact.targets)


cdef int fill_condition(Rule* rule, uint32_t bit, value, names) except -1:
    if bit & (C_IN_PORTS | C_OUT_PORTS | C_IN_GROUP | C_OUT_GROUP | C_TRAVERSED):
        return fill_where(rule, bit, value, names)
    if bit & (C_SRC | C_DST | C_SRC_MAC | C_DST_MAC | C_SRC_GROUP | C_DST_GROUP):
        return fill_address(rule, bit, value, names)
    if bit & (C_SRC_PORTS | C_DST_PORTS):
        return fill_ports(rule, bit, value)
    if bit == C_ETHER_TYPE:
        rule.values.ether_type = value
    elif bit == C_VLAN:
        rule.values.vlan = value
    elif bit == C_PROTOCOL:
        rule.values.protocol = value
    elif bit == C_FRAGMENT:
        rule.fragment = FRAGMENTS[value]
    elif bit == C_TOS:
        rule.tos = value
    elif bit == C_ICMP_TYPE:
        rule.values.icmp_type = value
    elif bit == C_ICMP_CODE:
        rule.values.icmp_code = value
    return 0


cdef int fill_where(Rule* rule, uint32_t bit, value, names) except -1:
    if bit == C_IN_GROUP:
        rule.in_group = names.port_set_index(value)
    elif bit == C_OUT_GROUP:
        rule.out_group = names.port_set_index(value)
    elif bit == C_TRAVERSED:
        rule.traversed = names.device_index(value)
    elif bit == C_IN_PORTS:
        rule.in_ports = make_indices(value, names.port_index, &rule.n_in_ports)
        rule.values.in_port = rule.in_ports[0]
    else:
        rule.out_ports = make_indices(value, names.port_index, &rule.n_out_ports)
        rule.values.out_port = rule.out_ports[0]
    return 0


cdef int fill_address(Rule* rule, uint32_t bit, value, names) except -1:
    if bit == C_SRC_GROUP:
        rule.src_group = names.address_set_index(value)
        return 0
    if bit == C_DST_GROUP:
        rule.dst_group = names.address_set_index(value)
        return 0
    if bit == C_SRC_MAC:
        return fill_mac(rule.values.src_mac, rule.src_mac_mask, value)
    if bit == C_DST_MAC:
        return fill_mac(rule.values.dst_mac, rule.dst_mac_mask, value)
    address, length = value
    if bit == C_SRC:
        memcpy(rule.values.src, <const uint8_t*>address, len(address))
        rule.src_bits, rule.src_family = length, 4 if len(address) == 4 else 6
    else:
        memcpy(rule.values.dst, <const uint8_t*>address, len(address))
        rule.dst_bits, rule.dst_family = length, 4 if len(address) == 4 else 6
    return 0


cdef int fill_mac(uint8_t* mac, uint8_t* mask, value) except -1:
    memcpy(mac, <const uint8_t*>value[0], 6)
    memcpy(mask, <const uint8_t*>value[1], 6)
    return 0


cdef int fill_ports(Rule* rule, uint32_t bit, value) except -1:
    if bit == C_SRC_PORTS:
        rule.values.src_port, rule.src_port_last = value
    else:
        rule.values.dst_port, rule.dst_port_last = value
    return 0


cdef int fill_targets(Rule* rule, targets) except -1:
    cdef Target* target
    if not targets:
        return 0
    rule.targets = <Target*>calloc(len(targets), sizeof(Target))
    if rule.targets == NULL:
        raise MemoryError
    for first, last, first_port, last_port in targets:
        target = &rule.targets[rule.n_targets]
        memcpy(target.first_ip, <const uint8_t*>first, len(first))
        memcpy(target.last_ip, <const uint8_t*>last, len(last))
        target.first_port, target.last_port = first_port, last_port
        target.family = 4 if len(first) == 4 else 6
        rule.n_targets += 1
    return 0


cdef idx_t* make_indices(names, index, uint32_t* n) except? NULL:
    cdef idx_t* made
    cdef uint32_t i
    found = sorted({index(name) for name in names})
    n[0] = <uint32_t>len(found)
    if not found:
        return NULL
    made = <idx_t*>malloc(len(found) * sizeof(idx_t))
    if made == NULL:
        n[0] = 0
        raise MemoryError
    for i in range(n[0]):
        made[i] = found[i]
    return made
