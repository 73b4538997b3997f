"""The virtual topology compiled: what the walk and the translation to a host's actions read.

1. `update` and `set_host_alive` are the only writers.
2. Names, indices and the memory are in names.pxd; each kind of fact is written into its place by
   policies.pyx, services.pyx, prefixes.pyx or topology.pyx.
"""

from onehop.engine.cdefs cimport NONE, idx_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.chain cimport AddressSet, Chain, PortSet
from onehop.engine.known cimport Known
from onehop.engine.route cimport Trie

cdef enum DeviceKind:
    DEVICE_NONE = 0
    DEVICE_BRIDGE = 1
    DEVICE_ROUTER = 2

cdef struct Address:       # with its subnet
    uint8_t ip[16]
    uint8_t family         # 4 or 6
    uint8_t prefix_bits

cdef struct Host:
    uint8_t used           # stated
    uint8_t alive
    uint8_t tunnel_family  # 4 or 6
    uint8_t tunnel_ip[16]

cdef struct Lease:         # what the machine behind a port is told about itself
    uint8_t has_mac
    uint8_t mac[6]         # the only one that is answered
    uint8_t ip[16]
    uint8_t prefix_bits
    uint8_t has_gateway
    uint8_t gateway[16]
    uint8_t server[16]     # DHCPv4: the server identifier
    uint8_t server_mac[6]  # of the bridge itself
    uint16_t mtu           # 0: what fits the underlay
    uint16_t option_bytes
    uint8_t* options       # further ones, ready to be sent

cdef struct Port:
    uint8_t used           # stated
    uint8_t up             # its admin state and its device's
    uint8_t carrier        # no PortStatus says that it is down
    uint8_t active         # up, and the other side is there: a live host with carrier, or a peer
    uint8_t mac[6]         # a router port's own
    idx_t device
    idx_t peer             # NONE unless interior
    idx_t host             # NONE unless exterior
    uint32_t key           # names it in a tunnel; 0: none assigned
    uint32_t place         # whose neighbors are on its link, see known.pxd
    tag_t tag
    uint16_t mtu           # 0: any length
    uint16_t limit         # its bit in a length class; 0: none
    uint32_t n_addresses
    Address* addresses     # a router port's own
    uint32_t n_state_hosts
    idx_t* state_hosts     # of the ports in its stateful groups
    uint32_t inbound_filter   # a chain; NONE: accepts everything
    uint32_t outbound_filter
    uint32_t n_groups      # security groups
    uint32_t* egress_chains   # of each
    uint32_t* ingress_chains
    uint32_t n_allowed     # what it may send from; 0: anything
    Address* allowed
    uint8_t* allowed_macs  # six bytes of each
    Lease* lease4          # NULL: none
    Lease* lease6

cdef struct Device:
    uint8_t kind           # a DeviceKind
    uint32_t key           # a bridge's: names it in a flood between hosts; 0: none assigned
    tag_t tag
    tag_t flood_tag        # a bridge's: its set of ports
    tag_t no_route_tag     # a router's
    uint32_t inbound_filter   # a chain; NONE: accepts everything
    uint32_t outbound_filter
    uint32_t n_ports
    idx_t* ports           # all, in order of their names
    uint32_t n_exterior
    idx_t* exterior        # a bridge's active exterior ports
    uint32_t n_hosts
    idx_t* hosts           # the live hosts that have such ports
    uint32_t n_interior
    idx_t* interior        # its active interior ports
    Trie routes4
    Trie routes6
    uint32_t n_floating    # a router's floating IPs
    Trie floating4         # their addresses; the route's gateway is the fixed address
    Trie floating6
    Trie fixed4            # the other way
    Trie fixed6
    uint32_t n_vips        # a router's
    Trie vips4             # their addresses; the routes' ports are indices of VIPs
    Trie vips6
    Trie members4          # the addresses of members of their pools
    Trie members6

cdef struct Vip:
    tag_t tag
    uint32_t pool          # index of its members
    uint32_t affinity_s    # 0: none
    uint16_t port
    uint8_t proto

cdef struct Member:        # of a pool
    uint8_t ip[16]
    uint16_t port
    uint8_t is_open        # takes new connections
    uint8_t is_healthy     # keeps those it has

cdef struct Members:       # a pool
    tag_t tag
    uint32_t n_members
    Member* members
    uint32_t n_slots       # 0: nobody takes new connections
    uint16_t* slots        # whose each is

cdef struct Block:         # ports that a host may translate sources to
    idx_t host
    uint8_t family         # 4 or 6
    uint8_t ip[16]
    uint16_t first_port
    uint16_t last_port

cdef struct Topo:
    Port* ports
    Device* devices
    Host* hosts
    uint32_t n_ports
    uint32_t n_devices
    uint32_t n_hosts
    Chain* chains          # of users, and two of each security group
    AddressSet* address_sets  # address groups, and the members of security groups
    PortSet* port_sets     # port groups
    uint32_t n_chains
    uint32_t n_address_sets
    uint32_t n_port_sets
    uint16_t limits[16]    # the lengths that flows tell apart, see limits.py
    uint16_t n_limits
    uint16_t limits_mark   # names the list
    uint16_t underlay_mtu  # the longest IP packet that carries a tunnelled one
    uint32_t n_vips
    Vip* vips
    uint32_t n_pools
    Members* members       # by pool
    uint32_t n_blocks
    Block* blocks          # by host
    Known known
    Trie unroutable4       # destinations that no router forwards to
    Trie unroutable6

# How long a frame is: bit i says that its packet is longer than limit i.
cdef inline uint16_t length_class(const Topo* topo, uint32_t frame_bytes) noexcept nogil:
    cdef uint16_t i
    cdef uint16_t bits = 0
    for i in range(topo.n_limits):
        if frame_bytes > <uint32_t>topo.limits[i] + 14:
            bits |= <uint16_t>(1 << i)
    return bits

cdef class Topology:
    cdef Topo* topo        # the same for the life of the object
    cdef readonly object names  # a names.Names: its .pxd needs what is above
    cdef object _facts     # what is stated, and what follows from it
    cdef object _sharing   # whose flow state is whose
    cdef object _policies, _services, _prefixes  # write facts of their own kinds
    cdef bint _limits_stale
    cdef int _fill_port(self, idx_t index, fact) except -1
    cdef int _review_port(self, idx_t index, set tags, set touched) except -1
    cdef int _touch(self, idx_t index, set touched) except -1
    cdef int _sort_in(self, idx_t index, list exterior, list interior, set hosts) except -1
