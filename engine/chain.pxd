"""Chains of rules, compiled: which rule is the next that a packet meets.

1. Rules of one shape (the same conditions, on as many bits) are found by hashing what the packet
   has there; only conditions that cannot be hashed are looked at rule by rule. So the cost grows
   with the number of shapes, not of rules.
2. A shape is hashed in stages, and a stage in which no rule has the packet's values ends it: what
   the later stages would look at does not come into the mask.
3. A prefix is hashed by as many of its bits as `HASHED_BITS` has; so shapes stay few. What the
   hash says is only a hint: every condition of a candidate is looked at again.
4. That no rule has the packet's values is told by a bit of the hash, mostly; else by the slots.
5. Data only: what a packet meets is decided in filter.pyx.
"""

from libc.string cimport memcpy

from onehop.engine.cdefs cimport idx_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.route cimport Trie

cdef enum RuleAction:
    DO_ACCEPT = 0
    DO_DROP
    DO_REJECT
    DO_RETURN
    DO_JUMP
    DO_SNAT
    DO_DNAT
    DO_REVERSE_SNAT
    DO_REVERSE_DNAT

cdef enum Then:            # after a translation
    THEN_ACCEPT = 0
    THEN_CONTINUE
    THEN_RETURN

cdef enum Condition:       # in the order in which they are looked at
    C_IN_PORTS = 1 << 0
    C_OUT_PORTS = 1 << 1
    C_IN_GROUP = 1 << 2
    C_OUT_GROUP = 1 << 3
    C_TRAVERSED = 1 << 4
    C_ETHER_TYPE = 1 << 5
    C_VLAN = 1 << 6
    C_PROTOCOL = 1 << 7
    C_FRAGMENT = 1 << 8
    C_TOS = 1 << 9
    C_SRC_MAC = 1 << 10
    C_DST_MAC = 1 << 11
    C_SRC = 1 << 12
    C_DST = 1 << 13
    C_SRC_GROUP = 1 << 14
    C_DST_GROUP = 1 << 15
    C_ICMP_TYPE = 1 << 16
    C_ICMP_CODE = 1 << 17
    C_SRC_PORTS = 1 << 18
    C_DST_PORTS = 1 << 19
    C_FORWARD = 1 << 20
    C_RETURN = 1 << 21

cdef enum FragmentPolicy:
    FRAGMENT_FIRST = 1
    FRAGMENT_LATER
    FRAGMENT_NONE          # unfragmented

cdef enum Stage:
    N_STAGES = 4
    STAGE_PORTS = C_IN_PORTS | C_OUT_PORTS
    STAGE_TYPES = C_ETHER_TYPE | C_VLAN | C_PROTOCOL
    STAGE_ADDRESSES = C_SRC_MAC | C_DST_MAC | C_SRC | C_DST
    STAGE_L4 = C_ICMP_TYPE | C_ICMP_CODE | C_SRC_PORTS | C_DST_PORTS

cdef struct Target:        # of a translation
    uint8_t first_ip[16]
    uint8_t last_ip[16]
    uint16_t first_port    # 0: none stated
    uint16_t last_port
    uint8_t family

cdef struct Values:        # what is hashed, of a rule or of a packet
    uint8_t src[16]
    uint8_t dst[16]
    uint8_t src_mac[6]
    uint8_t dst_mac[6]
    idx_t in_port
    idx_t out_port
    uint16_t ether_type
    uint16_t vlan          # 0, or VLAN_PRESENT and the id
    uint16_t src_port
    uint16_t dst_port
    uint8_t protocol
    uint8_t icmp_type
    uint8_t icmp_code
    uint8_t _pad[5]

cdef struct Rule:
    uint8_t action         # a RuleAction
    uint8_t then           # a Then
    uint32_t jump          # index of the chain to go on with
    uint32_t conditions    # those it has, by Condition
    uint32_t inverted
    uint32_t next          # the next rule with the same hash; NONE: none
    Values values          # each where the condition is stated
    uint8_t src_bits       # of the prefixes
    uint8_t dst_bits
    uint8_t src_family     # 4 or 6
    uint8_t dst_family
    uint8_t tos
    uint8_t fragment       # a FragmentPolicy
    uint8_t src_mac_mask[6]
    uint8_t dst_mac_mask[6]
    uint16_t src_port_last  # with values.src_port: a range
    uint16_t dst_port_last
    uint32_t src_group     # indices of address sets
    uint32_t dst_group
    uint32_t in_group      # indices of port sets
    uint32_t out_group
    idx_t traversed        # a device
    uint32_t n_in_ports
    idx_t* in_ports
    uint32_t n_out_ports
    idx_t* out_ports
    uint32_t n_targets
    Target* targets

cdef struct Shape:
    uint32_t conditions    # those that are hashed
    uint8_t src_bits
    uint8_t dst_bits
    uint8_t src_mac_mask[6]
    uint8_t dst_mac_mask[6]
    uint16_t _pad
    uint32_t first         # of its rules
    uint32_t last

cdef struct Slot:
    uint64_t hash          # 0: free
    uint32_t rule          # the first one; NONE: only a stage that is not the last

cdef struct Chain:
    uint8_t used           # stated; otherwise it has no rules
    uint8_t translates     # it, or a chain that it jumps to
    uint8_t uses_out_port  # a condition here or in a chain jumped to; set by who asks
    tag_t tag
    uint32_t n_rules
    Rule* rules
    uint32_t n_shapes
    Shape* shapes          # by their first rules
    Slot* slots
    uint32_t mask          # number of slots - 1
    uint64_t* present      # two bits a slot: those of the hashes that have one are set

cdef struct AddressSet:    # an address group, or the members of a security group
    tag_t tag
    Trie v4                # a prefix that is a member has a route
    Trie v6

cdef struct PortSet:
    tag_t tag
    uint32_t n_ports
    idx_t* ports           # in order

# Take the rules (their order is theirs) and index them; they are the chain's from now on.
cdef int chain_fill(Chain* chain, Rule* rules, uint32_t n_rules) except -1
cdef void chain_clear(Chain* chain) noexcept
cdef void rules_free(Rule* rules, uint32_t n_rules) noexcept

# --- hashes

cdef extern from *:
    """
    #define IS_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
    """
    bint IS_BIG_ENDIAN

cdef inline uint64_t fold(uint64_t before, uint64_t word) noexcept nogil:
    """One multiplication: a packet is hashed for each shape, up to four times."""
    cdef uint64_t x = before ^ word
    x = (x ^ (x >> 32)) * 0xff51afd7ed558ccdULL
    return x ^ (x >> 29)

cdef inline uint64_t first_bits(uint64_t word, uint32_t n) noexcept nogil:
    """Whole bytes of it, as they stand in memory."""
    cdef uint64_t ones = ~<uint64_t>0
    if n == 0:
        return 0
    return word & (ones << (64 - n) if IS_BIG_ENDIAN else ones >> (64 - n))

cdef inline uint64_t prefix_hash(
    uint64_t before, const uint8_t* ip, uint8_t len_bits,
) noexcept nogil:
    """Only whole bytes are ever hashed, and those of an address are all there."""
    cdef uint64_t words[2]
    memcpy(words, ip, 16)
    if len_bits <= 64:
        return fold(before, first_bits(words[0], len_bits))
    return fold(fold(before, words[0]), first_bits(words[1], len_bits - 64))

cdef inline uint64_t mac_word(const uint8_t* mac, const uint8_t* mask) noexcept nogil:
    cdef uint64_t word = 0, bits = 0
    memcpy(&word, mac, 6)
    memcpy(&bits, mask, 6)
    return word & bits

cdef inline uint64_t addresses_hash(
    uint64_t before, const Shape* shape, uint32_t has, const Values* values,
) noexcept nogil:
    cdef uint64_t hash_ = before
    if has & C_SRC_MAC:
        hash_ = fold(hash_, mac_word(values.src_mac, shape.src_mac_mask))
    if has & C_DST_MAC:
        hash_ = fold(hash_, mac_word(values.dst_mac, shape.dst_mac_mask) + 1)
    if has & C_SRC:
        hash_ = prefix_hash(hash_, values.src, shape.src_bits)
    if has & C_DST:
        hash_ = prefix_hash(hash_ + 1, values.dst, shape.dst_bits)
    return hash_ | 1

cdef inline uint64_t stage_hash(
    uint64_t before, const Shape* shape, uint32_t stage, const Values* values,
) noexcept nogil:
    """Of the values that the shape has in a stage (a bit set above), after those before."""
    cdef uint32_t has = shape.conditions & stage
    cdef uint64_t word = 0
    if stage == STAGE_ADDRESSES:
        return addresses_hash(before, shape, has, values)
    if has & C_IN_PORTS:
        word = values.in_port
    if has & C_OUT_PORTS:
        word |= <uint64_t>values.out_port << 32
    if has & C_ETHER_TYPE:
        word |= values.ether_type
    if has & C_VLAN:
        word |= <uint64_t>values.vlan << 16
    if has & C_PROTOCOL:
        word |= <uint64_t>values.protocol << 32
    if has & C_SRC_PORTS:
        word |= values.src_port
    if has & C_DST_PORTS:
        word |= <uint64_t>values.dst_port << 16
    if has & C_ICMP_TYPE:
        word |= <uint64_t>values.icmp_type << 32
    if has & C_ICMP_CODE:
        word |= <uint64_t>values.icmp_code << 40
    return fold(before, word) | 1

cdef inline uint64_t shape_seed(uint32_t shape) noexcept nogil:
    return 0x9e3779b97f4a7c15ULL * (shape + 1)

cdef inline const Slot* slot_find(const Chain* chain, uint64_t hash_) noexcept nogil:
    """NULL: there is none. Mostly that is so, and a bit tells, in memory that is near."""
    cdef uint32_t at = present_bit(chain, hash_)
    if not chain.present[at >> 6] >> (at & 63) & 1:
        return NULL
    at = <uint32_t>hash_ & chain.mask
    while chain.slots[at].hash:
        if chain.slots[at].hash == hash_:
            return &chain.slots[at]
        at = (at + 1) & chain.mask
    return NULL

cdef inline uint32_t present_bit(const Chain* chain, uint64_t hash_) noexcept nogil:
    return <uint32_t>(hash_ >> 32) & (2 * chain.mask + 1)

cdef int address_set_fill(AddressSet* found, prefixes) except -1
cdef void address_set_clear(AddressSet* found) noexcept
# Whether the address is in it; how many of its bits told so.
cdef bint address_set_has(
    const AddressSet* found, uint8_t family, const uint8_t* ip, uint32_t* consulted_bits,
) noexcept nogil
cdef bint port_set_has(const idx_t* ports, uint32_t n_ports, idx_t port) noexcept nogil
