"""Who is who: the index of each name in the compiled topology, its tag, and the way back.

1. An index belongs to its name for ever; a removed thing stays as an entry that is not `used`.
2. The arrays move when they grow: hold indices, not pointers, across calls that may add a name.
3. It owns the memory of the compiled topology.
"""

from onehop.engine.cdefs cimport idx_t, tag_t, uint8_t, uint16_t, uint32_t
from onehop.engine.known cimport Subject
from onehop.engine.topology cimport Device, Topo

cdef tag_t mac_tag(const Device* bridge, uint16_t vlan, const uint8_t* mac) noexcept nogil
# `ip` has 16 bytes, zeros behind an IPv4 address.
cdef tag_t neighbor_tag(const Topo* topo, uint32_t place, const uint8_t* ip) noexcept nogil

cdef class Names:
    cdef Topo* topo        # the same for the life of the object
    cdef readonly list ports, devices, hosts, chains  # by index
    cdef dict _ports, _devices, _hosts, _chains, _address_sets, _port_sets, _vips, _pools
    cdef dict _tags        # tag -> what it is of
    cdef tag_t _entry_tag(self, const Subject* about) noexcept
    cdef str _subject_name(self, const Subject* about)
    cdef str place_name(self, uint32_t place)
