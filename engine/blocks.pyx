# C functions only: see blocks.pxd.
"""The source ports that a packet may be translated to."""

from libc.string cimport memcmp, memcpy

from onehop.engine.cdefs cimport NONE, idx_t
from onehop.engine.topology cimport Topo

cdef enum:                 # of a target that states none: RFC 6056 leaves the others alone
    FIRST_PORT = 1024
    LAST_PORT = 65535


cdef Pool pool_of(
    const Walk* walk, const Target* targets, uint32_t n, uint8_t family,
) noexcept nogil:
    cdef Pool pool
    cdef uint32_t b, t
    pool.targets, pool.n_targets, pool.family, pool.n_ports = targets, n, family, 0
    pool.blocks, pool.n_blocks = walk.topo.blocks, 0
    if walk.out.key.in_port < walk.topo.n_ports:
        narrow(&pool, walk.topo, walk.topo.ports[walk.out.key.in_port].host)
    for b in range(pool.n_blocks):
        for t in range(n):
            pool.n_ports += shared(&pool, b, t)
    return pool


cdef bint leases(const Topo* topo, idx_t host, const StateEntry* entry) noexcept nogil:
    cdef Pool pool
    cdef uint32_t b
    pool.n_blocks = 0
    narrow(&pool, topo, host)
    for b in range(pool.n_blocks):
        if holds(&pool.blocks[b], entry):
            return True
    return False


cdef idx_t lessee_of(const Topo* topo, const StateEntry* entry) noexcept nogil:
    cdef uint32_t b
    for b in range(topo.n_blocks):
        if holds(&topo.blocks[b], entry):
            return topo.blocks[b].host
    return NONE


cdef inline bint holds(const Block* block, const StateEntry* entry) noexcept nogil:
    return (
        block.family == entry.key.family and block.first_port <= entry.port
        and entry.port <= block.last_port and memcmp(block.ip, entry.ip, 16) == 0)


cdef void narrow(Pool* pool, const Topo* topo, idx_t host) noexcept nogil:
    """Blocks are in order of their hosts."""
    cdef uint32_t low = 0, high = topo.n_blocks, middle
    while low < high:
        middle = (low + high) // 2
        if topo.blocks[middle].host < host:
            low = middle + 1
        else:
            high = middle
    pool.blocks = topo.blocks + low
    while low + pool.n_blocks < topo.n_blocks and topo.blocks[low + pool.n_blocks].host == host:
        pool.n_blocks += 1


cdef uint32_t shared(const Pool* pool, uint32_t block, uint32_t target) noexcept nogil:
    """How many ports of the block the target has."""
    cdef const Block* part = &pool.blocks[block]
    cdef const Target* whole = &pool.targets[target]
    cdef uint32_t first, last
    if part.family != pool.family or whole.family != pool.family:
        return 0
    if memcmp(part.ip, whole.first_ip, 16) < 0 or memcmp(part.ip, whole.last_ip, 16) > 0:
        return 0
    first = max(part.first_port, first_of(whole))
    last = min(part.last_port, last_of(whole))
    return last - first + 1 if first <= last else 0


cdef inline uint16_t first_of(const Target* target) noexcept nogil:
    return target.first_port if target.first_port else FIRST_PORT


cdef inline uint16_t last_of(const Target* target) noexcept nogil:
    return target.last_port if target.first_port else LAST_PORT


cdef void pool_at(const Pool* pool, uint64_t index, uint8_t* ip, uint16_t* port) noexcept nogil:
    cdef uint32_t b, t, n
    for b in range(pool.n_blocks):
        for t in range(pool.n_targets):
            n = shared(pool, b, t)
            if index < n:
                memcpy(ip, pool.blocks[b].ip, 16)
                port[0] = <uint16_t>(
                    max(pool.blocks[b].first_port, first_of(&pool.targets[t])) + index)
                return
            index -= n
