"""One packet on its way: what it is now, what was looked at, what was decided.

1. What is read of the packet as it came is noted in the mask (`see_*`); what the network itself
   wrote into it since (MACs behind a router) is not, and neither is the TTL.
2. Every entry, found or missing, that was looked up is noted as a tag.
3. A crafted packet's walk notes neither: its verdict holds for this one packet anyway. Its
   actions go into its `Emitted`, and its bytes are made final when it leaves.
4. A step returns a VerdictKind. Rewrites become actions only where the packet leaves (`settle`).
"""

from onehop.engine.cdefs cimport (
    MAX_DEVICES, MAX_TAGS, NONE, idx_t, nsec_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from onehop.engine.packet cimport Packet
from onehop.engine.state cimport StateTable
from onehop.engine.topology cimport Topo
from onehop.engine.verdict cimport DROP, Action, Verdict

cdef enum:
    MAX_STEPS = 256

cdef enum StepCode:        # device and port are what it happened at; see explain.py for the words
    S_ENTERS = 0
    S_LEAVES
    S_OUTPUT
    S_FLOODS
    S_LEARNS               # bytes: MAC, value: VLAN
    S_KNOWN_MAC            # bytes: MAC
    S_UNKNOWN_MAC          # bytes: MAC
    S_ANSWERS              # bytes: address, value: family
    S_MEETS                # bytes: address, value: family
    S_ROUTE                # bytes: prefix, value: family << 8 | length
    S_BALANCES             # value: how many equal routes
    S_NEXT_HOP             # bytes: address, value: family
    S_WANTS                # bytes: address, value: family
    S_SENDS                # value: a craft.IcmpError
    S_ECHOES
    S_DECIDES              # value: a Reason
    S_TAG_MAC              # bytes: MAC, value: VLAN; the others by their tag
    S_TAG_NEIGHBOR         # bytes: address, value: family
    S_RESETS
    S_RULE                 # value: its number, from 1; bytes: the chain, the action
    S_REFUSES
    S_NEW_SOURCE           # bytes: address, value: family
    S_NEW_DESTINATION      # the same
    S_CONFIGURES           # bytes: address, value: a lease.Told << 8 | family

cdef struct Step:
    uint8_t code
    uint8_t is_crafted
    idx_t device
    idx_t port
    uint32_t value
    uint8_t bytes[16]

cdef struct Trace:
    uint32_t n_steps
    Step steps[MAX_STEPS]

cdef enum Change:          # what translations wrote
    CHANGED_SRC = 1
    CHANGED_DST = 2
    CHANGED_SPORT = 4
    CHANGED_DPORT = 8

cdef struct Walk:
    const Topo* topo
    const StateTable* state  # NULL: an empty one
    Verdict* out
    Trace* trace           # NULL: nobody wants to know
    Packet pkt             # as it is now
    Packet came            # as it was when it came into the device
    uint64_t seed
    nsec_t now
    Action* actions        # where they go
    uint16_t* n_actions
    uint8_t is_crafted
    uint8_t gives_up       # a next hop whose MAC is not known is unreachable
    uint8_t eth_rewritten  # the MACs are the network's own
    uint16_t echo_id       # as it came into the network
    uint8_t changed        # Changes
    uint8_t is_edited      # its bytes are a copy in Verdict.crafted, with changes of their own
    uint8_t is_diverted    # this router translated its destination by what it states itself
    uint8_t is_answering   # a member says it where it serves, in no connection that is known
    uint8_t is_settled     # the actions say so
    uint8_t is_flooding    # what a filter refuses is only one copy
    uint8_t n_passed       # devices
    uint8_t missed_at      # n_passed + 1 when a connection was last looked for in vain; 0: never
    idx_t passed[MAX_DEVICES]
    idx_t in_port          # by which the packet came into the device; NONE: it is the device's
    uint8_t n_routed       # routers: how often the TTL was counted down
    uint8_t n_counted      # how often the actions do so

cdef void begin(
    Walk* walk, const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out,
    nsec_t now, uint64_t seed,
) noexcept nogil
cdef void begin_crafted(Walk* inner, const Walk* walk, uint32_t slot) noexcept nogil

# --- what was looked at

cdef inline void see_eth_type(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.eth_type = 0xffff

cdef inline void see_vlan(Walk* walk, uint16_t bits) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.vlan_tci |= bits

cdef inline void see_group_bit(Walk* walk) noexcept nogil:
    if not walk.is_crafted and not walk.eth_rewritten:
        walk.out.mask.eth_dst[0] |= 1

cdef inline void see_proto(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.ip_proto = 0xff

cdef inline void see_frag(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.ip_frag = 0xff

cdef inline void see_tp_src(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.tp_src = 0xffff

cdef inline void see_tp_dst(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.tp_dst = 0xffff

cdef inline void see_tcp_flags(Walk* walk, uint16_t bits) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.tcp_flags |= bits

cdef inline void see_tos(Walk* walk) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.ip_tos = 0xff

cdef inline void see_tp_src_bits(Walk* walk, uint16_t bits) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.tp_src |= bits

cdef inline void see_tp_dst_bits(Walk* walk, uint16_t bits) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.tp_dst |= bits

cdef inline void see_length(Walk* walk, uint16_t bit) noexcept nogil:
    if not walk.is_crafted:
        walk.out.mask.len_class |= bit

cdef void see_eth_src_bits(Walk* walk, const uint8_t* bits) noexcept nogil
cdef void see_eth_dst_bits(Walk* walk, const uint8_t* bits) noexcept nogil
cdef void see_eth_src(Walk* walk) noexcept nogil
cdef void see_eth_dst(Walk* walk) noexcept nogil
cdef void see_bits(uint8_t* mask, uint32_t bits) noexcept nogil

# Of an address always the first bits are seen: if the last of them was, they all were.
cdef inline bint are_seen(const uint8_t* mask, uint32_t bits) noexcept nogil:
    return bits == 0 or mask[(bits - 1) >> 3] & 0x80 >> ((bits - 1) & 7)

cdef inline void see_ip_src(Walk* walk, uint32_t bits) noexcept nogil:
    if not are_seen(walk.out.mask.ip_src, bits) and not walk.is_crafted:
        see_bits(walk.out.mask.ip_src, bits)

cdef inline void see_ip_dst(Walk* walk, uint32_t bits) noexcept nogil:
    if not are_seen(walk.out.mask.ip_dst, bits) and not walk.is_crafted:
        see_bits(walk.out.mask.ip_dst, bits)

cdef inline void add_tag(Walk* walk, tag_t tag) noexcept nogil:
    cdef uint16_t i
    cdef Verdict* out = walk.out
    cdef uint64_t bit = <uint64_t>1 << (tag >> 58)
    if walk.is_crafted:
        return
    if out.tag_bits & bit:  # else it is a new one for certain
        for i in range(out.n_tags):
            if out.tags[i] == tag:
                return
    out.tag_bits |= bit
    if out.n_tags == MAX_TAGS:
        out.cacheable = 0
        return
    out.tags[out.n_tags] = tag
    out.n_tags += 1

# A connection was looked for, and is not known.
cdef inline void miss(Walk* walk) noexcept nogil:
    walk.missed_at = walk.n_passed + 1

# --- where a packet is crafted

cdef inline uint8_t* room_at(Walk* walk) noexcept nogil:
    return walk.out.crafted + walk.out.crafted_len

cdef inline uint32_t room(Walk* walk) noexcept nogil:
    return sizeof(walk.out.crafted) - walk.out.crafted_len

# --- what was decided

cdef int decide(Walk* walk, int kind, int reason) noexcept nogil
# The rewrites so far as actions; False where they do not fit.
cdef bint settle(Walk* walk) noexcept nogil
cdef bint add_output(Walk* walk, idx_t port) noexcept nogil
# host: only its ports; NONE: all.
cdef bint add_flood(Walk* walk, idx_t bridge, idx_t except_port, idx_t host) noexcept nogil

# --- what happened, in steps

cdef void record(
    Walk* walk, int code, idx_t device, idx_t port, uint32_t value, const uint8_t* bytes_,
    uint32_t len_bytes,
) noexcept nogil

cdef inline void tell(
    Walk* walk, int code, idx_t device, idx_t port, uint32_t value, const uint8_t* bytes_,
    uint32_t len_bytes,
) noexcept nogil:
    if walk.trace != NULL:
        record(walk, code, device, port, value, bytes_, len_bytes)
