"""The memory of the compiled topology: filling, growing and freeing its arrays."""

from onehop.engine.cdefs cimport idx_t, tag_t, uint8_t, uint32_t
from onehop.engine.route cimport Trie
from onehop.engine.topology cimport Device, Members, Port, Topo

cdef bint is_active(const Topo* topo, const Port* port) noexcept
cdef void clear_port(Port* port) noexcept
cdef int fill_addresses(Port* port, addresses) except -1
cdef int fill_allowed(Port* port, allowed) except -1
cdef void* copy_indices(list indices) except? NULL
cdef void free_filters(Port* port) noexcept
# Chains, address sets and port sets.
cdef void free_named(Topo* topo) noexcept
cdef void free_device(Device* device) noexcept
cdef int ensure_tries(Device* device) except -1
# A pool's members, and whose its slots are.
cdef int fill_members(Members* pool, facts) except -1
# Indices at an address, as the ports of routes.
cdef int put_indices(Trie* trie, bytes address, list indices, tag_t tag) except -1
# Whether there is a route for exactly this address.
cdef bint trie_has(const Trie* trie, bytes address) noexcept
cdef int set_routes(
    Trie* trie, const uint8_t* bits, uint8_t length, tag_t tag, list facts,
) except -1
# Put `indices` in place of what was there; whether they differ.
cdef int replace_array(idx_t** array, uint32_t* n, list indices) except -1
# The array with room for one more than n; it doubles whenever n is a power of two.
cdef void* room_for(void* array, uint32_t n, size_t size) except NULL
# The bytes, and zeros behind them.
cdef void copy_bytes(uint8_t* out, bytes data, size_t room_bytes) noexcept
