"""Chains of rules, compiled: the index over the rules, and the sets that rules name."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from onehop.engine.cdefs cimport NONE
from onehop.engine.route cimport (
    ROUTE_LOCAL, Node, Route, trie_above, trie_clear, trie_descend, trie_init, trie_set,
)

cdef uint32_t[4] STAGES = [STAGE_PORTS, STAGE_TYPES, STAGE_ADDRESSES, STAGE_L4]
cdef uint8_t[5] HASHED_BITS4 = [32, 24, 16, 8, 0]
cdef uint8_t[6] HASHED_BITS6 = [128, 64, 56, 48, 32, 0]


cdef int chain_fill(Chain* chain, Rule* rules, uint32_t n_rules) except -1:
    chain_clear(chain)
    chain.rules, chain.n_rules, chain.used = rules, n_rules, 1
    cdef uint32_t slots = 64
    while slots < 2 * N_STAGES * n_rules:
        slots *= 2
    chain.slots = <Slot*>calloc(slots, sizeof(Slot))
    chain.shapes = <Shape*>calloc(n_rules + 1, sizeof(Shape))
    chain.present = <uint64_t*>calloc(slots // 32, sizeof(uint64_t))
    if chain.slots == NULL or chain.shapes == NULL or chain.present == NULL:
        raise MemoryError
    chain.mask = slots - 1
    index_rules(chain)
    return 0


cdef void index_rules(Chain* chain) noexcept:
    """From the last to the first, so that a bucket begins with its first rule."""
    cdef uint32_t i, shape
    cdef Shape wanted
    for i in range(chain.n_rules):
        wanted = shape_of(&chain.rules[i])
        shape = shape_index(chain, &wanted)
        chain.shapes[shape].last = i
    for i in range(chain.n_rules, 0, -1):
        wanted = shape_of(&chain.rules[i - 1])
        put_rule(chain, shape_index(chain, &wanted), i - 1)


cdef Shape shape_of(const Rule* rule) noexcept:
    """What of the rule can be hashed."""
    cdef Shape shape
    cdef uint32_t plain = rule.conditions & ~rule.inverted
    memset(&shape, 0, sizeof(Shape))
    shape.conditions = plain & (STAGE_TYPES | STAGE_ADDRESSES | C_ICMP_TYPE | C_ICMP_CODE)
    if plain & C_IN_PORTS and rule.n_in_ports == 1:
        shape.conditions |= C_IN_PORTS
    if plain & C_OUT_PORTS and rule.n_out_ports == 1:
        shape.conditions |= C_OUT_PORTS
    if plain & C_SRC_PORTS and rule.values.src_port == rule.src_port_last:
        shape.conditions |= C_SRC_PORTS
    if plain & C_DST_PORTS and rule.values.dst_port == rule.dst_port_last:
        shape.conditions |= C_DST_PORTS
    if plain & C_SRC:
        shape.src_bits = hashed_bits(rule.src_family, rule.src_bits)
    if plain & C_DST:
        shape.dst_bits = hashed_bits(rule.dst_family, rule.dst_bits)
    if plain & C_SRC_MAC:
        memcpy(shape.src_mac_mask, rule.src_mac_mask, 6)
    if plain & C_DST_MAC:
        memcpy(shape.dst_mac_mask, rule.dst_mac_mask, 6)
    return shape


cdef uint8_t hashed_bits(uint8_t family, uint8_t len_bits) noexcept:
    """The most bits to hash that a prefix has."""
    cdef uint32_t i = 0
    cdef const uint8_t* steps = HASHED_BITS6
    if family == 4:
        steps = HASHED_BITS4
    while steps[i] > len_bits:
        i += 1
    return steps[i]


cdef uint32_t shape_index(Chain* chain, const Shape* wanted) noexcept:
    cdef uint32_t i
    for i in range(chain.n_shapes):
        if is_same(&chain.shapes[i], wanted):
            return i
    i = chain.n_shapes
    chain.shapes[i] = wanted[0]
    chain.shapes[i].first = chain.shapes[i].last = NONE
    chain.n_shapes += 1
    return i


cdef bint is_same(const Shape* a, const Shape* b) noexcept:
    return (
        a.conditions == b.conditions and a.src_bits == b.src_bits and a.dst_bits == b.dst_bits
        and memcmp(a.src_mac_mask, b.src_mac_mask, 6) == 0
        and memcmp(a.dst_mac_mask, b.dst_mac_mask, 6) == 0
    )


cdef void put_rule(Chain* chain, uint32_t shape, uint32_t rule) noexcept:
    """A slot for each stage; in the last, the rule."""
    cdef uint64_t hash_ = shape_seed(shape)
    cdef Slot* slot = slot_for(chain, hash_)
    cdef uint32_t stage
    for stage in range(N_STAGES):
        if chain.shapes[shape].conditions & STAGES[stage]:
            hash_ = stage_hash(
                hash_, &chain.shapes[shape], STAGES[stage], &chain.rules[rule].values)
            slot = slot_for(chain, hash_)
    chain.rules[rule].next = slot.rule
    slot.rule = rule
    chain.shapes[shape].first = rule


cdef Slot* slot_for(Chain* chain, uint64_t hash_) noexcept:
    cdef uint32_t bit
    cdef uint32_t at = <uint32_t>hash_ & chain.mask
    while chain.slots[at].hash and chain.slots[at].hash != hash_:
        at = (at + 1) & chain.mask
    if chain.slots[at].hash == 0:
        chain.slots[at] = Slot(hash_, NONE)
        bit = present_bit(chain, hash_)
        chain.present[bit >> 6] |= <uint64_t>1 << (bit & 63)
    return &chain.slots[at]


# --- what the rules name

cdef int address_set_fill(AddressSet* found, prefixes) except -1:
    """Each prefix: the address's bytes, and its length."""
    cdef Route member
    cdef uint8_t ip[16]
    address_set_clear(found)
    trie_init(&found.v4, 32)
    trie_init(&found.v6, 128)
    memset(&member, 0, sizeof(Route))
    member.kind = ROUTE_LOCAL
    member.port = NONE
    for address, length in prefixes:
        memset(ip, 0, 16)
        memcpy(ip, <const uint8_t*>address, len(address))
        trie_set(&found.v4 if len(address) == 4 else &found.v6, ip, length, 0, &member, 1)
    return 0


cdef void address_set_clear(AddressSet* found) noexcept:
    trie_clear(&found.v4)
    trie_clear(&found.v6)


cdef bint address_set_has(
    const AddressSet* found, uint8_t family, const uint8_t* ip, uint32_t* consulted_bits,
) noexcept nogil:
    cdef const Trie* trie = &found.v4 if family == 4 else &found.v6
    cdef const Node* node
    consulted_bits[0] = 0
    if trie.nodes == NULL:
        return False
    node = trie_descend(trie, ip, consulted_bits)
    return node.n_routes > 0 or trie_above(trie, node) != NULL


cdef bint port_set_has(const idx_t* ports, uint32_t n_ports, idx_t port) noexcept nogil:
    cdef uint32_t low = 0, high = n_ports, middle
    while low < high:
        middle = (low + high) >> 1
        if ports[middle] < port:
            low = middle + 1
        else:
            high = middle
    return low < n_ports and ports[low] == port


# --- memory

cdef void chain_clear(Chain* chain) noexcept:
    rules_free(chain.rules, chain.n_rules)
    free(chain.shapes)
    free(chain.slots)
    free(chain.present)
    chain.rules, chain.shapes, chain.slots, chain.present = NULL, NULL, NULL, NULL
    chain.n_rules = chain.n_shapes = 0
    chain.used = 0


cdef void rules_free(Rule* rules, uint32_t n_rules) noexcept:
    cdef uint32_t i
    if rules == NULL:
        return
    for i in range(n_rules):
        free(rules[i].in_ports)
        free(rules[i].out_ports)
        free(rules[i].targets)
    free(rules)
