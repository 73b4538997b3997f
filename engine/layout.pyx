"""The memory of the compiled topology: filling, growing and freeing its arrays."""

from hashlib import blake2b

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, uint16_t
from onehop.engine.chain cimport address_set_clear, chain_clear
from onehop.engine.route cimport (
    ROUTE_NORMAL, Node, Route, trie_clear, trie_descend, trie_init, trie_set,
)
from onehop.engine.topology cimport Address, Allowed, Member

from onehop.engine import maglev


def hash_names(*names):
    """64 bits that are the same on every host."""
    text = "\0".join(names).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") or 1


cdef bint is_active(const Topo* topo, const Port* port) noexcept:
    if not port.used or not port.up:
        return False
    if port.peer != NONE:
        return True
    if port.host == NONE:
        return False
    return port.carrier and topo.hosts[port.host].used and topo.hosts[port.host].alive


cdef void clear_port(Port* port) noexcept:
    port.used = port.up = 0
    port.inbound_filter = port.outbound_filter = NONE
    port.device = port.peer = port.host = NONE
    port.key = 0
    port.mtu = port.limit = 0
    port.place = NONE
    port.n_addresses = 0


cdef void free_filters(Port* port) noexcept:
    free(port.egress_chains)
    free(port.ingress_chains)
    free(port.allowed)
    port.egress_chains = port.ingress_chains = NULL
    port.allowed = NULL
    port.n_groups = port.n_allowed = 0


cdef void free_named(Topo* topo) noexcept:
    cdef uint32_t i
    for i in range(topo.n_chains):
        chain_clear(&topo.chains[i])
    for i in range(topo.n_address_sets):
        address_set_clear(&topo.address_sets[i])
    for i in range(topo.n_port_sets):
        free(topo.port_sets[i].ports)
    free(topo.chains)
    free(topo.address_sets)
    free(topo.port_sets)


cdef int fill_allowed(Port* port, allowed) except -1:
    cdef Allowed* filled = NULL
    cdef uint32_t i, n = <uint32_t>len(allowed)
    if n:
        filled = <Allowed*>calloc(n, sizeof(Allowed))
        if filled == NULL:
            raise MemoryError
    for i in range(n):
        mac, ip, length = allowed[i]
        copy_bytes(filled[i].mac, mac, 6)
        copy_bytes(filled[i].ip, ip, 16)
        filled[i].family = 4 if len(ip) == 4 else 6
        filled[i].prefix_bits = length
    port.allowed, port.n_allowed = filled, n
    return 0


cdef void* copy_indices(list indices) except? NULL:
    cdef uint32_t* made
    cdef uint32_t i
    if not indices:
        return NULL
    made = <uint32_t*>malloc(len(indices) * sizeof(uint32_t))
    if made == NULL:
        raise MemoryError
    for i in range(<uint32_t>len(indices)):
        made[i] = indices[i]
    return made


cdef void free_device(Device* device) noexcept:
    free(device.ports)
    free(device.exterior)
    free(device.interior)
    free(device.hosts)
    trie_clear(&device.routes4)
    trie_clear(&device.routes6)
    trie_clear(&device.floating4)
    trie_clear(&device.floating6)
    trie_clear(&device.fixed4)
    trie_clear(&device.fixed6)
    trie_clear(&device.vips4)
    trie_clear(&device.vips6)
    trie_clear(&device.members4)
    trie_clear(&device.members6)


cdef int ensure_tries(Device* device) except -1:
    if device.routes4.nodes == NULL:
        trie_init(&device.routes4, 32)
    if device.routes6.nodes == NULL:
        trie_init(&device.routes6, 128)
    if device.floating4.nodes == NULL:
        trie_init(&device.floating4, 32)
        trie_init(&device.floating6, 128)
        trie_init(&device.fixed4, 32)
        trie_init(&device.fixed6, 128)
        trie_init(&device.vips4, 32)
        trie_init(&device.vips6, 128)
        trie_init(&device.members4, 32)
        trie_init(&device.members6, 128)
    return 0


cdef int fill_addresses(Port* port, addresses) except -1:
    cdef Address* filled = NULL
    cdef uint32_t i, n = <uint32_t>len(addresses)
    if n:
        filled = <Address*>calloc(n, sizeof(Address))
        if filled == NULL:
            raise MemoryError
    for i in range(n):
        ip, length = addresses[i]
        copy_bytes(filled[i].ip, ip, 16)
        filled[i].family = 4 if len(ip) == 4 else 6
        filled[i].prefix_bits = length
    free(port.addresses)
    port.addresses, port.n_addresses = filled, n
    return 0


cdef bint trie_has(const Trie* trie, bytes address) noexcept:
    cdef uint8_t bits[16]
    cdef uint32_t consulted = 0
    cdef const Node* node
    copy_bytes(bits, address, 16)
    node = trie_descend(trie, bits, &consulted)
    return node.n_routes > 0 and node.len_bits == trie.width_bits


cdef int put_indices(Trie* trie, bytes address, list indices, tag_t tag) except -1:
    cdef uint8_t bits[16]
    copy_bytes(bits, address, 16)
    facts = [(ROUTE_NORMAL, 0, b"", 0, index, b"", 0) for index in indices]
    return set_routes(trie, bits, <uint8_t>(len(address) * 8), tag, facts)


cdef int fill_members(Members* pool, facts) except -1:
    """Those that take new connections share the slots."""
    cdef uint32_t i, n = <uint32_t>len(facts)
    cdef Member* members = <Member*>calloc(n + 1, sizeof(Member))
    cdef uint16_t* slots
    open_ones = [(f"{fact.address.hex()} {fact.port}", fact.weight, place)
                 for place, fact in enumerate(facts) if fact.is_open and fact.is_healthy]
    shares = maglev.table([(name, weight) for name, weight, _ in open_ones])
    slots = <uint16_t*>calloc(len(shares) + 1, sizeof(uint16_t))
    if members == NULL or slots == NULL:
        free(members)
        free(slots)
        raise MemoryError
    for i in range(n):
        copy_bytes(members[i].ip, facts[i].address, 16)
        members[i].port = facts[i].port
        members[i].is_open, members[i].is_healthy = facts[i].is_open, facts[i].is_healthy
    for i, place in enumerate(shares):
        slots[i] = open_ones[place][2]
    free(pool.members)
    free(pool.slots)
    pool.members, pool.n_members = members, n
    pool.slots, pool.n_slots = slots, <uint32_t>len(shares)
    return 0


cdef int set_routes(
    Trie* trie, const uint8_t* bits, uint8_t length, tag_t tag, list facts,
) except -1:
    cdef uint32_t i, n = <uint32_t>len(facts)
    cdef Route* routes = <Route*>calloc(n + 1, sizeof(Route))
    if routes == NULL:
        raise MemoryError
    try:
        for i in range(n):
            fill_route(&routes[i], facts[i])
        trie_set(trie, bits, length, tag, routes, n)
    finally:
        free(routes)
    return 0


cdef int fill_route(Route* route, fact) except -1:
    kind, source_bits, source, weight, port, gateway, seed = fact
    route.kind = kind
    route.source_bits = source_bits
    route.weight = weight
    route.port = port
    route.has_gateway = len(gateway) > 0
    route.seed = seed
    copy_bytes(route.source, source, 16)
    copy_bytes(route.gateway, gateway, 16)
    return 0


cdef int replace_array(idx_t** array, uint32_t* n, list indices) except -1:
    """Put `indices` in place of what was there; whether they differ."""
    cdef uint32_t i, new_n = <uint32_t>len(indices)
    cdef idx_t* made
    if new_n == n[0]:
        for i in range(new_n):
            if array[0][i] != <idx_t>indices[i]:
                break
        else:
            return 0
    made = <idx_t*>malloc((new_n + 1) * sizeof(idx_t))
    if made == NULL:
        raise MemoryError
    for i in range(new_n):
        made[i] = indices[i]
    free(array[0])
    array[0], n[0] = made, new_n
    return 1


cdef void* room_for(void* array, uint32_t n, size_t size) except NULL:
    """The array with room for one more than n; it doubles whenever n is a power of two."""
    cdef void* moved = array
    if n & (n - 1) == 0:
        moved = realloc(array, max(2 * n, 8) * size) if n == 0 or n >= 8 else array
    if moved == NULL:
        raise MemoryError
    return moved


cdef void copy_bytes(uint8_t* out, bytes data, size_t room_bytes) noexcept:
    """The bytes, and zeros behind them."""
    memset(out, 0, room_bytes)
    memcpy(out, <const uint8_t*>data, min(<size_t>len(data), room_bytes))
