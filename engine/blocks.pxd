"""The source ports that a packet may be translated to: its host's leased blocks, as far as a
rule's targets have them.

1. The host is the one where the packet came into the network: it alone uses its blocks, so hosts
   need not agree about each connection.
2. A pool is counted, not listed: the n-th of its ports is found by looking through its parts.
"""

from onehop.engine.cdefs cimport idx_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.chain cimport Target
from onehop.engine.state cimport StateEntry
from onehop.engine.topology cimport Block, Topo
from onehop.engine.walk cimport Walk

cdef struct Pool:
    const Block* blocks
    uint32_t n_blocks
    const Target* targets
    uint32_t n_targets
    uint8_t family
    uint64_t n_ports       # of all its addresses

# Whether the host leases the port that the entry's connection is translated to.
cdef bint leases(const Topo* topo, idx_t host, const StateEntry* entry) noexcept nogil
# Who does; NONE: nobody.
cdef idx_t lessee_of(const Topo* topo, const StateEntry* entry) noexcept nogil
cdef Pool pool_of(
    const Walk* walk, const Target* targets, uint32_t n, uint8_t family,
) noexcept nogil
cdef void pool_at(const Pool* pool, uint64_t index, uint8_t* ip, uint16_t* port) noexcept nogil
