"""The memory of the compiled topology: filling, growing and freeing its arrays."""

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, uint16_t
from onehop.engine.chain cimport address_set_clear, chain_clear
from onehop.engine.route cimport Route, trie_clear, trie_init, trie_set


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
    free(port.allowed_macs)
    port.egress_chains = port.ingress_chains = NULL
    port.allowed = NULL
    port.allowed_macs = NULL
    port.n_groups = port.n_allowed = 0


cdef int fill_lease(Lease** lease, fact) except -1:
    cdef Lease* made
    free_lease(lease)
    if fact is None:
        return 0
    made = <Lease*>calloc(1, sizeof(Lease))
    if made == NULL:
        raise MemoryError
    lease[0] = made
    made.has_mac = len(fact.mac) > 0
    copy_bytes(made.mac, fact.mac, 6)
    copy_bytes(made.ip, fact.address, 16)
    made.prefix_bits = fact.prefix_bits
    made.has_gateway = len(fact.gateway) > 0
    copy_bytes(made.gateway, fact.gateway, 16)
    copy_bytes(made.server, fact.server, 16)
    copy_bytes(made.server_mac, fact.server_mac, 6)
    made.mtu = fact.mtu
    made.options = <uint8_t*>malloc(len(fact.options) + 1)
    if made.options == NULL:
        raise MemoryError
    copy_bytes(made.options, fact.options, len(fact.options))
    made.option_bytes = <uint16_t>len(fact.options)
    return 0


cdef void free_lease(Lease** lease) noexcept:
    if lease[0] != NULL:
        free(lease[0].options)
    free(lease[0])
    lease[0] = NULL


cdef void free_topo(Topo* topo) noexcept:
    cdef uint32_t i
    for i in range(topo.n_ports):
        free(topo.ports[i].addresses)
        free(topo.ports[i].state_hosts)
        free_filters(&topo.ports[i])
        free_lease(&topo.ports[i].lease4)
        free_lease(&topo.ports[i].lease6)
    for i in range(topo.n_devices):
        free_device(&topo.devices[i])
    for i in range(topo.n_pools):
        free(topo.members[i].members)
        free(topo.members[i].slots)
    free_named(topo)
    free(topo.ports)
    free(topo.devices)
    free(topo.hosts)
    free(topo.blocks)
    free(topo.vips)
    free(topo.members)
    trie_clear(&topo.unroutable4)
    trie_clear(&topo.unroutable6)
    free(topo.known.slots)
    free(topo)


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


cdef int fill_addresses(Address** array, uint32_t* n, prefixes) except -1:
    cdef Address* filled = <Address*>calloc(len(prefixes) + 1, sizeof(Address))
    cdef uint32_t i
    if filled == NULL:
        raise MemoryError
    for i, (ip, length) in enumerate(prefixes):
        copy_bytes(filled[i].ip, ip, 16)
        filled[i].family = 4 if len(ip) == 4 else 6
        filled[i].prefix_bits = length
    free(array[0])
    array[0], n[0] = filled, <uint32_t>len(prefixes)
    return 0


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


cdef void copy_bytes(uint8_t* out, bytes data, size_t room_bytes) noexcept:
    """The bytes, and zeros behind them."""
    memset(out, 0, room_bytes)
    memcpy(out, <const uint8_t*>data, min(<size_t>len(data), room_bytes))


cdef void* grown(void* array, uint32_t* n, size_t size) except NULL:
    cdef void* moved = array
    if n[0] == 0 or n[0] >= 8 and n[0] & (n[0] - 1) == 0:
        moved = realloc(array, max(2 * n[0], 8) * size)
    if moved == NULL:
        raise MemoryError
    memset(<char*>moved + n[0] * size, 0, size)
    n[0] += 1
    return moved
