# C functions only: see balance.pxd.
"""The load balancer of a router: VIPs, and the members of their pools."""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.cdefs cimport uint16_t, uint32_t, uint64_t
from onehop.engine.connections cimport is_icmp_error, packet_state_key, recall, remember
from onehop.engine.floating cimport ANSWERED, DIVERTED
from onehop.engine.known cimport mix
from onehop.engine.nat cimport (
    N_DONE, apply, begin_one, is_free, recall_both, translate_back, translate_quoted,
)
from onehop.engine.packet cimport ETH_IPV4, FRAG_LATER, IP_TCP, IP_UDP
from onehop.engine.route cimport Node, trie_descend
from onehop.engine.state cimport (
    AFFINITY, D_FORWARD, D_NONE, DNAT, REVERSE_DNAT, StateEntry, StateKey, state_tag,
)
from onehop.engine.topology cimport Device, Member, Members, Vip
from onehop.engine.walk cimport (
    add_tag, see_frag, see_ip_dst, see_ip_src, see_proto, see_tp_dst,
)

cdef enum:
    BALANCED = 2           # flag of such entries
    MOST_TRIES = 64        # slots looked at for one connection


cdef int balance(Walk* walk, idx_t router) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[router]
    cdef const Node* node
    cdef const Vip* vip
    if device.n_vips == 0:
        return B_PASSED
    node = node_of_destination(walk, device)
    if node == NULL:
        return B_PASSED
    if is_icmp_error(walk):
        if translate_quoted(walk, device.tag, DNAT, BALANCED) != N_DONE:
            return B_PASSED
        walk.is_diverted = DIVERTED
        return B_DONE
    vip = find_vip(walk, node)
    if vip == NULL:
        return B_PASSED
    add_tag(walk, vip.tag)
    add_tag(walk, walk.topo.members[vip.pool].tag)
    walk.is_diverted = DIVERTED
    return to_member(walk, device, vip)


cdef void balance_back(Walk* walk, idx_t router) noexcept nogil:
    """Only a member's packets can be answers; errors about one may be a router's."""
    cdef const Device* device = &walk.topo.devices[router]
    cdef const Node* node
    cdef uint32_t bits
    if device.n_vips == 0:
        return
    if is_icmp_error(walk):
        if translate_quoted(walk, device.tag, REVERSE_DNAT, BALANCED) == N_DONE:
            walk.is_diverted = ANSWERED
        return
    node = trie_descend(
        &device.members4 if is4(walk) else &device.members6, walk.pkt.key.ip_src, &bits)
    see_ip_src(walk, bits)
    if node.n_routes and node.len_bits == (32 if is4(walk) else 128):
        if translate_back(walk, device.tag, REVERSE_DNAT, BALANCED) == N_DONE:
            walk.is_diverted = ANSWERED
        else:
            walk.is_answering = serves(node, walk.pkt.key.tp_src)


cdef bint serves(const Node* member, uint16_t port) noexcept nogil:
    cdef uint32_t i
    for i in range(member.n_routes):
        if member.routes[i].port == port:
            return True
    return False


# --- the VIP

cdef const Node* node_of_destination(Walk* walk, const Device* device) noexcept nogil:
    cdef uint32_t bits
    cdef const Node* node = trie_descend(
        &device.vips4 if is4(walk) else &device.vips6, walk.pkt.key.ip_dst, &bits)
    see_ip_dst(walk, bits)
    if node.n_routes and node.len_bits == (32 if is4(walk) else 128):
        return node
    return NULL


cdef inline bint is4(const Walk* walk) noexcept nogil:
    return walk.pkt.key.eth_type == ETH_IPV4


cdef const Vip* find_vip(Walk* walk, const Node* node) noexcept nogil:
    """A later fragment has no port to tell by."""
    cdef const Vip* vip
    cdef uint32_t i
    see_proto(walk)
    if walk.pkt.key.ip_proto != IP_TCP and walk.pkt.key.ip_proto != IP_UDP:
        return NULL
    see_frag(walk)
    if walk.pkt.key.ip_frag == FRAG_LATER:
        return NULL
    see_tp_dst(walk)
    for i in range(node.n_routes):
        vip = &walk.topo.vips[node.routes[i].port]
        if vip.port == walk.pkt.key.tp_dst and vip.proto == walk.pkt.key.ip_proto:
            return vip
    return NULL


# --- the member

cdef int to_member(Walk* walk, const Device* device, const Vip* vip) noexcept nogil:
    cdef const Members* pool = &walk.topo.members[vip.pool]
    cdef const Member* member
    cdef StateKey key
    cdef StateEntry entry
    packet_state_key(walk, device.tag, DNAT, &key)
    if recall_both(walk, &key, D_FORWARD, BALANCED, &entry):       # (1)
        member = find_member(pool, &entry)
        if member != NULL and member.is_healthy:
            apply(walk, &entry)
            return B_DONE
    if walk.is_crafted:
        return B_PASSED
    if vip.affinity_s:                                              # (2)
        return with_affinity(walk, vip, pool, &key)
    return choose(walk, pool, &key, mix(state_tag(NULL, &key), walk.seed), &entry)


cdef int with_affinity(
    Walk* walk, const Vip* vip, const Members* pool, const StateKey* key,
) noexcept nogil:
    cdef StateEntry sticky, made, partner
    cdef const StateEntry* found
    cdef const Member* member
    cdef int done
    source_key(&sticky, key)
    found = recall(walk, &sticky.key, D_NONE)
    if found != NULL:
        member = find_member(pool, found)
        if member != NULL and member.is_healthy and member.is_open:
            fill(&made, key, member)
            return begin(walk, &made, &partner) if is_free(walk, &made, &partner) else B_NO_PORT
    done = choose(walk, pool, key, mix(state_tag(NULL, &sticky.key), walk.seed), &made)
    if done == B_DONE:
        memcpy(sticky.ip, made.ip, 16)
        sticky.port, sticky.extra = made.port, vip.affinity_s
        remember(walk, &sticky)
    return done


cdef void source_key(StateEntry* sticky, const StateKey* key) noexcept nogil:
    """Of all connections of one source to one VIP."""
    memset(sticky, 0, sizeof(StateEntry))
    sticky.key = key[0]
    sticky.key.kind = AFFINITY
    sticky.key.sport = 0


cdef int choose(
    Walk* walk, const Members* pool, const StateKey* key, uint64_t hashed, StateEntry* made,
) noexcept nogil:                                                   # (3)
    """The next slot's member if one has a connection that looks the same."""
    cdef StateEntry partner
    cdef uint32_t i
    if pool.n_slots == 0:
        return B_NO_MEMBER
    for i in range(MOST_TRIES):
        fill(made, key, &pool.members[pool.slots[(hashed + i) % pool.n_slots]])
        if is_free(walk, made, &partner):
            return begin(walk, made, &partner)
    return B_NO_PORT


cdef void fill(StateEntry* made, const StateKey* key, const Member* member) noexcept nogil:
    memset(made, 0, sizeof(StateEntry))
    made.key = key[0]
    memcpy(made.ip, member.ip, 16)
    made.port = member.port


cdef int begin(Walk* walk, StateEntry* made, StateEntry* partner) noexcept nogil:
    begin_one(walk, made, partner, BALANCED)
    return B_DONE


cdef const Member* find_member(const Members* pool, const StateEntry* entry) noexcept nogil:
    cdef uint32_t i
    for i in range(pool.n_members):
        if pool.members[i].port == entry.port and memcmp(pool.members[i].ip, entry.ip, 16) == 0:
            return &pool.members[i]
    return NULL
