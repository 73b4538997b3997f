"""Longest-prefix match: a path-compressed binary trie per router and family.

1. A node's prefix covers its children's; a node without routes has two children (or is the root).
2. A node's routes are in order of preference: longest source; local, then broadcast, then others;
   lowest weight. Equal ones adjoin.
3. A lookup tells how many leading bits of the destination and the source it took to decide.
"""

from onehop.engine.cdefs cimport idx_t, tag_t, uint8_t, uint32_t, uint64_t

cdef enum RouteKind:
    ROUTE_NORMAL = 0
    ROUTE_BLACKHOLE = 1
    ROUTE_REJECT = 2
    ROUTE_LOCAL = 3
    ROUTE_BROADCAST = 4    # a subnet's first and last address
    ROUTE_UNROUTABLE = 5   # built in: loopback, multicast, link-local, ...
    ROUTE_POOL = 6         # local, and answered for on the links of its subnet

cdef struct Route:
    uint8_t kind
    uint8_t source_bits    # 0: any source
    uint8_t has_gateway
    uint32_t weight
    idx_t port             # the next hop's; NONE unless ROUTE_NORMAL
    uint64_t seed          # of the name of next-hop port and gateway: the same on every host
    uint8_t source[16]
    uint8_t gateway[16]

cdef struct Node:
    uint8_t bits[16]       # the prefix, zeros behind it
    uint8_t len_bits
    uint32_t parent
    uint32_t child[2]      # NONE: none
    uint32_t n_routes
    Route* routes
    tag_t tag              # of (router, prefix)

cdef struct Trie:
    Node* nodes
    uint32_t n_nodes
    uint32_t room
    uint32_t free          # a chain through Node.parent
    uint32_t root
    uint8_t width_bits     # 32 or 128

cdef int trie_init(Trie* trie, uint8_t width_bits) except -1
cdef void trie_clear(Trie* trie) noexcept
# Replace the routes at a prefix; n_routes 0 removes it. The trie copies them.
cdef int trie_set(
    Trie* trie, const uint8_t* bits, uint8_t len_bits, tag_t tag, const Route* routes, uint32_t n,
) except -1
# The deepest node on the way to `address`, and how many of its bits told so.
cdef const Node* trie_descend(
    const Trie* trie, const uint8_t* address, uint32_t* consulted_bits,
) noexcept nogil
# The node with routes that is next above, or NULL.
cdef const Node* trie_above(const Trie* trie, const Node* node) noexcept nogil
# The tag of the longest prefix with routes that covers this one strictly, or 0.
cdef tag_t trie_covering(const Trie* trie, const uint8_t* bits, uint8_t len_bits) noexcept nogil
