"""Longest-prefix match: a path-compressed binary trie.

Lookup: from the root, (1) at a node, the address's bit behind the node's prefix chooses the
child; (2) the child's prefix is compared with the address; (3) the first bit that differs, or a
child that is not there, ends the descent. The bits that were looked at are those up to there:
any address that agrees in them ends at the same node.
"""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, uint64_t
from onehop.engine.octets cimport get64, leading_zeros64


# --- bits

cdef inline uint32_t bit(const uint8_t* bits, uint32_t at) noexcept nogil:
    return bits[at >> 3] >> (7 - (at & 7)) & 1


cdef inline uint32_t common_bits(
    const uint8_t* a, const uint8_t* b, uint32_t begin, uint32_t end,
) noexcept nogil:
    """The first bit from `begin` on in which they differ, or `end`; of 16 bytes."""
    cdef uint32_t at = begin & ~63
    cdef uint64_t differs
    while at < end:
        differs = get64(a + (at >> 3)) ^ get64(b + (at >> 3))
        if at < begin:
            differs &= ~<uint64_t>0 >> (begin & 63)
        if differs:
            return min(at + leading_zeros64(differs), end)
        at += 64
    return end


cdef void copy_prefix(uint8_t* out, const uint8_t* bits, uint32_t len_bits) noexcept nogil:
    cdef uint32_t whole = len_bits >> 3
    memset(out, 0, 16)
    memcpy(out, bits, whole)
    if len_bits & 7:
        out[whole] = bits[whole] & <uint8_t>(0xff00 >> (len_bits & 7))


# --- lookup

cdef const Node* trie_descend(
    const Trie* trie, const uint8_t* address, uint32_t* consulted_bits,
) noexcept nogil:
    cdef const Node* node = &trie.nodes[trie.root]
    cdef const Node* child
    cdef uint32_t side, same
    consulted_bits[0] = node.len_bits
    while node.len_bits < trie.width_bits:
        side = bit(address, node.len_bits)
        if node.child[side] == NONE:
            if node.child[1 - side] != NONE:
                consulted_bits[0] = node.len_bits + 1
            break
        child = &trie.nodes[node.child[side]]
        same = common_bits(child.bits, address, node.len_bits, child.len_bits)
        if same < child.len_bits:
            consulted_bits[0] = same + 1
            break
        node = child
        consulted_bits[0] = node.len_bits
    while node.n_routes == 0 and node.parent != NONE:
        node = &trie.nodes[node.parent]
    return node


cdef const Node* trie_above(const Trie* trie, const Node* node) noexcept nogil:
    while node.parent != NONE:
        node = &trie.nodes[node.parent]
        if node.n_routes:
            return node
    return NULL


cdef tag_t trie_covering(const Trie* trie, const uint8_t* bits, uint8_t len_bits) noexcept nogil:
    cdef uint32_t consulted
    cdef const Node* node = trie_descend(trie, bits, &consulted)
    while node != NULL and (node.len_bits >= len_bits or node.n_routes == 0):
        node = trie_above(trie, node)
    return node.tag if node != NULL else 0


# --- changes

cdef int trie_init(Trie* trie, uint8_t width_bits) except -1:
    memset(trie, 0, sizeof(Trie))
    trie.free = NONE
    trie.width_bits = width_bits
    trie.root = new_node(trie, NULL, 0)
    return 0


cdef void trie_clear(Trie* trie) noexcept:
    cdef uint32_t i
    for i in range(trie.n_nodes):
        free(trie.nodes[i].routes)
    free(trie.nodes)
    memset(trie, 0, sizeof(Trie))


cdef int trie_set(
    Trie* trie, const uint8_t* bits, uint8_t len_bits, tag_t tag, const Route* routes, uint32_t n,
) except -1:
    cdef uint32_t at = find_exact(trie, bits, len_bits)
    cdef Route* copy
    if n == 0:
        if at != NONE:
            drop_routes(trie, at)
        return 0
    copy = <Route*>malloc(n * sizeof(Route))
    if copy == NULL:
        raise MemoryError
    memcpy(copy, routes, n * sizeof(Route))
    try:
        at = make_node(trie, bits, len_bits)
    except MemoryError:
        free(copy)
        raise
    free(trie.nodes[at].routes)
    trie.nodes[at].routes = copy
    trie.nodes[at].n_routes = n
    trie.nodes[at].tag = tag
    return 0


cdef uint32_t find_exact(const Trie* trie, const uint8_t* bits, uint32_t len_bits) noexcept:
    cdef uint32_t at = trie.root
    cdef const Node* node = &trie.nodes[at]
    while node.len_bits < len_bits:
        at = node.child[bit(bits, node.len_bits)]
        if at == NONE:
            return NONE
        node = &trie.nodes[at]
    if node.len_bits == len_bits and common_bits(node.bits, bits, 0, len_bits) == len_bits:
        return at
    return NONE


cdef uint32_t make_node(Trie* trie, const uint8_t* bits, uint32_t len_bits) except? NONE:
    """The node of this prefix, new where there is none."""
    cdef uint32_t above = trie.root, below, same, fork
    cdef uint32_t made = find_exact(trie, bits, len_bits)
    if made != NONE:
        return made
    reserve(trie, 2)
    while True:
        below = trie.nodes[above].child[bit(bits, trie.nodes[above].len_bits)]
        if below == NONE:
            made = new_node(trie, bits, len_bits)
            adopt_node(trie, above, made)
            return made
        same = common_bits(
            trie.nodes[below].bits, bits, 0, min(len_bits, trie.nodes[below].len_bits))
        if same < trie.nodes[below].len_bits:
            break
        above = below
    made = new_node(trie, bits, len_bits)
    fork = made if same == len_bits else new_node(trie, bits, same)
    adopt_node(trie, above, fork)
    adopt_node(trie, fork, below)
    if fork != made:
        adopt_node(trie, fork, made)
    return made


cdef void adopt_node(Trie* trie, uint32_t above, uint32_t below) noexcept:
    cdef Node* parent = &trie.nodes[above]
    parent.child[bit(trie.nodes[below].bits, parent.len_bits)] = below
    trie.nodes[below].parent = above


cdef int reserve(Trie* trie, uint32_t n) except -1:
    """Room for n more nodes, so that no change stops half way."""
    cdef Node* moved
    cdef uint32_t room
    if trie.n_nodes + n <= trie.room:
        return 0
    room = trie.room * 2 if trie.room else 16
    moved = <Node*>realloc(trie.nodes, room * sizeof(Node))
    if moved == NULL:
        raise MemoryError
    trie.nodes = moved
    trie.room = room
    return 0


cdef uint32_t new_node(Trie* trie, const uint8_t* bits, uint32_t len_bits) except? NONE:
    cdef uint32_t at = trie.free
    cdef Node* node
    if at != NONE:
        trie.free = trie.nodes[at].parent
    else:
        reserve(trie, 1)
        at = trie.n_nodes
        trie.n_nodes += 1
    node = &trie.nodes[at]
    memset(node, 0, sizeof(Node))
    if len_bits:
        copy_prefix(node.bits, bits, len_bits)
    node.len_bits = <uint8_t>len_bits
    node.parent = node.child[0] = node.child[1] = NONE
    return at


cdef void drop_routes(Trie* trie, uint32_t at) noexcept:
    free(trie.nodes[at].routes)
    trie.nodes[at].routes = NULL
    trie.nodes[at].n_routes = 0
    splice(trie, at)


cdef void splice(Trie* trie, uint32_t at) noexcept:
    """Take out a node that neither holds routes nor forks (invariant 1), and then its parent."""
    cdef Node* node = &trie.nodes[at]
    cdef uint32_t parent = node.parent, only
    if parent == NONE or node.n_routes or (node.child[0] != NONE and node.child[1] != NONE):
        return
    only = node.child[0] if node.child[0] != NONE else node.child[1]
    if only != NONE:
        adopt_node(trie, parent, only)
    else:
        trie.nodes[parent].child[bit(node.bits, trie.nodes[parent].len_bits)] = NONE
    node.parent = trie.free
    trie.free = at
    splice(trie, parent)
