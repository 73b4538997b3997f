"""One packet on its way: masks, tags, actions."""

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport MAX_ACTIONS
from onehop.engine.packet cimport ETH_IPV4, FlowKey
from onehop.engine.topology cimport length_class
from onehop.engine.verdict cimport (
    A_DEC_TTL, A_FLOOD, A_OUTPUT, A_SET_ETH_DST, A_SET_ETH_SRC, A_SET_IP_DST, A_SET_IP_SRC,
    A_SET_TP_DST, A_SET_TP_SRC, R_TOO_LONG,
)


cdef void begin(
    Walk* walk, const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out,
    nsec_t now, uint64_t seed,
) noexcept nogil:
    walk.topo, walk.state, walk.out, walk.trace = topo, state, out, NULL
    walk.pkt = pkt[0]
    walk.echo_id = pkt.echo_id
    walk.seed, walk.now = seed, now
    walk.actions, walk.n_actions = out.actions, &out.n_actions
    walk.is_crafted = walk.gives_up = 0
    reset(walk)
    if pkt.data != NULL:
        walk.pkt.key.len_class = length_class(topo, pkt.len_bytes)
    clear_verdict(out, &walk.pkt.key)


cdef void begin_crafted(Walk* inner, const Walk* walk, uint32_t slot) noexcept nogil:
    """The walk of a packet that `walk` has crafted; its bytes are parsed into inner.pkt."""
    inner.topo, inner.state, inner.out, inner.trace = walk.topo, walk.state, walk.out, walk.trace
    inner.seed, inner.now = walk.seed, walk.now
    inner.actions = walk.out.emitted[slot].actions
    inner.n_actions = &walk.out.emitted[slot].n_actions
    inner.n_actions[0] = 0
    inner.is_crafted = 1
    inner.gives_up = walk.gives_up
    inner.pkt.key.len_class = length_class(walk.topo, inner.pkt.len_bytes)
    reset(inner)


cdef void reset(Walk* walk) noexcept nogil:
    walk.eth_rewritten = walk.is_settled = walk.is_flooding = 0
    walk.changed = walk.is_edited = walk.is_diverted = walk.is_answering = 0
    walk.n_passed = walk.n_routed = walk.n_counted = walk.missed_at = 0
    walk.in_port = NONE


cdef void clear_verdict(Verdict* out, const FlowKey* key) noexcept nogil:
    """Not one memset: most of a verdict is room for actions and crafted bytes."""
    out.kind = DROP
    out.reason = 0
    out.cacheable = 1
    out.n_actions = out.n_tags = out.n_emitted = out.n_neighbors = 0
    out.n_created = out.n_used = out.is_overfull = out.is_early = 0
    out.crafted_len = out.sent_bytes = 0
    out.tag_bits = 0
    out.learn_bridge = out.learn_port = out.await_port = NONE
    out.key = key[0]
    memset(&out.mask, 0, sizeof(FlowKey))
    out.mask.in_port = 0xffffffff


# --- what was looked at

cdef void see_eth_src(Walk* walk) noexcept nogil:
    if not walk.is_crafted and not walk.eth_rewritten:
        memset(walk.out.mask.eth_src, 0xff, 6)


cdef void see_eth_dst(Walk* walk) noexcept nogil:
    if not walk.is_crafted and not walk.eth_rewritten:
        memset(walk.out.mask.eth_dst, 0xff, 6)


cdef void see_eth_src_bits(Walk* walk, const uint8_t* bits) noexcept nogil:
    cdef uint32_t i
    if not walk.is_crafted and not walk.eth_rewritten:
        for i in range(6):
            walk.out.mask.eth_src[i] |= bits[i]


cdef void see_eth_dst_bits(Walk* walk, const uint8_t* bits) noexcept nogil:
    cdef uint32_t i
    if not walk.is_crafted and not walk.eth_rewritten:
        for i in range(6):
            walk.out.mask.eth_dst[i] |= bits[i]


cdef void see_bits(uint8_t* mask, uint32_t bits) noexcept nogil:
    cdef uint32_t whole = bits >> 3
    memset(mask, 0xff, whole)
    if bits & 7:
        mask[whole] |= <uint8_t>(0xff00 >> (bits & 7))


# --- what was decided

cdef int decide(Walk* walk, int kind, int reason) noexcept nogil:
    if not walk.is_crafted:
        walk.out.reason = <uint16_t>reason
    tell(walk, S_DECIDES, NONE, NONE, <uint32_t>reason, NULL, 0)
    return kind


cdef bint settle(Walk* walk) noexcept nogil:
    """What the network wrote is set even if this packet had it: others may not."""
    if walk.is_crafted or walk.is_settled or not (walk.eth_rewritten or walk.changed):
        return True
    while walk.n_counted < walk.n_routed:
        if not add_action(walk, A_DEC_TTL, 0, NONE):
            return False
        walk.n_counted += 1
    walk.is_settled = add_new_macs(walk) and add_translations(walk)
    return walk.is_settled


cdef bint add_new_macs(Walk* walk) noexcept nogil:
    return not walk.eth_rewritten or (
        add_set_mac(walk, A_SET_ETH_SRC, walk.pkt.key.eth_src)
        and add_set_mac(walk, A_SET_ETH_DST, walk.pkt.key.eth_dst)
    )


cdef bint add_translations(Walk* walk) noexcept nogil:
    cdef const FlowKey* key = &walk.pkt.key
    cdef uint8_t changed = walk.changed
    if changed & CHANGED_SRC and not add_set_ip(walk, A_SET_IP_SRC, key.ip_src):
        return False
    if changed & CHANGED_DST and not add_set_ip(walk, A_SET_IP_DST, key.ip_dst):
        return False
    if changed & CHANGED_SPORT and not add_action(walk, A_SET_TP_SRC, key.tp_src, NONE):
        return False
    return not changed & CHANGED_DPORT or add_action(walk, A_SET_TP_DST, key.tp_dst, NONE)


cdef bint add_set_ip(Walk* walk, int kind, const uint8_t* ip) noexcept nogil:
    if not add_action(walk, kind, 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6, NONE):
        return False
    memcpy(walk.actions[walk.n_actions[0] - 1].ip, ip, 16)
    return True


cdef bint add_set_mac(Walk* walk, int kind, const uint8_t* mac) noexcept nogil:
    if not add_action(walk, kind, 0, NONE):
        return False
    memcpy(walk.actions[walk.n_actions[0] - 1].mac, mac, 6)
    return True


cdef bint add_output(Walk* walk, idx_t port) noexcept nogil:
    return add_action(walk, A_OUTPUT, port, NONE)


cdef bint add_flood(Walk* walk, idx_t bridge, idx_t except_port, idx_t host) noexcept nogil:
    if not add_action(walk, A_FLOOD, bridge, except_port):
        return False
    walk.actions[walk.n_actions[0] - 1].host = host
    return True


cdef bint add_action(Walk* walk, int kind, uint32_t value, idx_t except_port) noexcept nogil:
    cdef Action* action
    if walk.n_actions[0] == MAX_ACTIONS:
        walk.out.cacheable = 0
        decide(walk, DROP, R_TOO_LONG)
        return False
    action = &walk.actions[walk.n_actions[0]]
    memset(action, 0, sizeof(Action))
    action.kind = <uint8_t>kind
    action.value = value
    action.except_port = except_port
    action.host = NONE
    walk.n_actions[0] += 1
    return True


# --- what happened, in steps

cdef void record(
    Walk* walk, int code, idx_t device, idx_t port, uint32_t value, const uint8_t* bytes_,
    uint32_t len_bytes,
) noexcept nogil:
    cdef Step* step
    if walk.trace.n_steps == MAX_STEPS:
        return
    step = &walk.trace.steps[walk.trace.n_steps]
    memset(step, 0, sizeof(Step))
    step.code = <uint8_t>code
    step.is_crafted = walk.is_crafted
    step.device, step.port, step.value = device, port, value
    if len_bytes:
        memcpy(step.bytes, bytes_, len_bytes)
    walk.trace.n_steps += 1
