"""The memory of the compiled topology: filling, growing and freeing its arrays."""

from onehop.engine.cdefs cimport idx_t, tag_t, uint8_t, uint32_t
from onehop.engine.route cimport Trie
from onehop.engine.topology cimport Address, Device, Lease, Port, Topo

cdef void clear_port(Port* port) noexcept
cdef void free_filters(Port* port) noexcept
# What a fact says; None: nothing.
cdef int fill_lease(Lease** lease, fact) except -1
cdef void free_topo(Topo* topo) noexcept
# Prefixes, as (bytes, length), in place of what was there.
cdef int fill_addresses(Address** array, uint32_t* n, prefixes) except -1
cdef void* copy_indices(list indices) except? NULL
cdef int ensure_tries(Device* device) except -1
cdef int set_routes(
    Trie* trie, const uint8_t* bits, uint8_t length, tag_t tag, list facts,
) except -1
# Put `indices` in place of what was there; whether they differ.
cdef int replace_array(idx_t** array, uint32_t* n, list indices) except -1
# The array with one more than n, all zeros; its room doubles. n counts it.
cdef void* grown(void* array, uint32_t* n, size_t size) except NULL
# The bytes, and zeros behind them.
cdef void copy_bytes(uint8_t* out, bytes data, size_t room_bytes) noexcept
