# C functions only: see floating.pxd.
"""Floating IPs of a router: stateless, one to one, both ways."""

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, uint32_t
from onehop.engine.chain cimport Target
from onehop.engine.connections cimport is_icmp_error
from onehop.engine.nat cimport (
    N_DONE, N_IMPOSSIBLE, N_PASSED, set_destination_ip, set_source_ip, translate_back,
    translate_source,
)
from onehop.engine.neighbor cimport is_on_link
from onehop.engine.packet cimport ETH_IPV4
from onehop.engine.quoted cimport quoted_key, set_quoted_address
from onehop.engine.route cimport ROUTE_POOL, Node, Trie, trie_above, trie_descend
from onehop.engine.state cimport REVERSE_SNAT, StateKey
from onehop.engine.topology cimport DEVICE_ROUTER, Device, Port
from onehop.engine.walk cimport see_ip_dst, see_ip_src

cdef enum:
    HAIRPIN = 1            # flag of such entries


# --- (1), (4)

cdef bint arrive(Walk* walk, idx_t router) noexcept nogil:
    cdef const uint8_t* fixed
    cdef StateKey quoted
    if walk.topo.devices[router].n_floating == 0:
        return True
    fixed = destination_of(walk, router)
    if fixed == NULL:
        return True
    walk.is_diverted = DIVERTED
    if is_icmp_error(walk) and quotes(walk, &quoted):
        if look_up(walk, router, quoted.dst, False) == fixed and (
            not set_quoted_address(walk, fixed, True)
        ):
            return False
    set_destination_ip(walk, fixed)
    return True


cdef bint come_back(Walk* walk, idx_t router) noexcept nogil:
    if walk.topo.devices[router].n_floating == 0 and walk.topo.devices[router].n_vips == 0:
        return False
    if translate_back(walk, walk.topo.devices[router].tag, REVERSE_SNAT, HAIRPIN) != N_DONE:
        return False
    walk.is_diverted = CAME_BACK
    return True


# --- (2), (3)

cdef int depart(Walk* walk, idx_t router, idx_t port) noexcept nogil:
    cdef const uint8_t* floating
    if walk.topo.devices[router].n_floating == 0 and not walk.is_diverted:
        return N_PASSED
    if is_icmp_error(walk) and not depart_quoted(walk, router, port):
        return N_IMPOSSIBLE
    floating = source_of(walk, router)
    if floating != NULL:
        if walk.is_diverted or is_outside(walk, port, floating):
            set_source_ip(walk, floating)
        return N_DONE
    if walk.is_diverted == DIVERTED and is_at_home(walk, port):
        return hairpin(walk, router, port)
    return N_PASSED


cdef bint depart_quoted(Walk* walk, idx_t router, idx_t port) noexcept nogil:
    """The machine that the quoted packet went to, whoever says so."""
    cdef StateKey quoted
    cdef const uint8_t* floating
    if not quotes(walk, &quoted):
        return True
    floating = look_up(walk, router, quoted.src, True)
    if floating == NULL or not (walk.is_diverted or is_outside(walk, port, floating)):
        return True
    return set_quoted_address(walk, floating, False)


cdef int hairpin(Walk* walk, idx_t router, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef uint8_t family = family_of(walk)
    cdef Target own
    cdef uint32_t i
    memset(&own, 0, sizeof(Target))
    for i in range(port.n_addresses):
        if port.addresses[i].family == family:
            own.family = family
            memcpy(own.first_ip, port.addresses[i].ip, 16)
            memcpy(own.last_ip, port.addresses[i].ip, 16)
            break
    return translate_source(walk, walk.topo.devices[router].tag, &own, 1, HAIRPIN)


cdef bint is_at_home(Walk* walk, idx_t index) noexcept nogil:
    """Whether the source is in the port's subnet, where its answer would not come by here."""
    see_ip_src(walk, 32 if family_of(walk) == 4 else 128)
    return is_on_link(&walk.topo.ports[index], family_of(walk), walk.pkt.key.ip_src)


cdef bint is_outside(const Walk* walk, idx_t index, const uint8_t* floating) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    if port.peer == NONE:
        return True
    if walk.topo.devices[walk.topo.ports[port.peer].device].kind == DEVICE_ROUTER:
        return True
    return is_on_link(port, family_of(walk), floating)


# --- others' questions

cdef bint is_spoken_for(Walk* walk, idx_t router, idx_t out_port) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[router]
    cdef const uint8_t* floating
    if walk.is_diverted == ANSWERED:
        return True
    if device.kind != DEVICE_ROUTER or device.n_floating == 0:
        return False
    floating = source_of(walk, router)
    if floating != NULL:
        return out_port != NONE and (walk.is_diverted or is_outside(walk, out_port, floating))
    return look_up(walk, router, walk.pkt.key.ip_src, False) != NULL


cdef bint is_floating(Walk* walk, idx_t index, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef const Device* device = &walk.topo.devices[port.device]
    cdef uint32_t bits
    if device.n_vips:
        if exactly(&device.vips4 if family == 4 else &device.vips6, ip, &bits) != NULL:
            return True
    if is_pooled(device, family, ip):
        return True
    if device.n_floating == 0:
        return False
    return exactly(&device.floating4 if family == 4 else &device.floating6, ip, &bits) != NULL


cdef bint is_pooled(const Device* device, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef uint32_t bits
    cdef const Trie* trie = &device.routes4 if family == 4 else &device.routes6
    cdef const Node* node = trie_descend(trie, ip, &bits)
    if node.n_routes == 0:
        node = trie_above(trie, node)
    return node != NULL and node.n_routes > 0 and node.routes[0].kind == ROUTE_POOL


# --- to look up

cdef const uint8_t* destination_of(Walk* walk, idx_t router) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[router]
    cdef uint32_t bits
    cdef const uint8_t* found = exactly(
        &device.floating4 if family_of(walk) == 4 else &device.floating6,
        walk.pkt.key.ip_dst, &bits)
    see_ip_dst(walk, bits)
    return found


cdef const uint8_t* source_of(Walk* walk, idx_t router) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[router]
    cdef uint32_t bits
    cdef const uint8_t* found = exactly(
        &device.fixed4 if family_of(walk) == 4 else &device.fixed6, walk.pkt.key.ip_src, &bits)
    see_ip_src(walk, bits)
    return found


cdef const uint8_t* look_up(
    Walk* walk, idx_t router, const uint8_t* ip, bint is_fixed,
) noexcept nogil:
    """Of an address that is noted in the mask, or is none of the packet's own."""
    cdef const Device* device = &walk.topo.devices[router]
    cdef uint32_t bits
    see_ip_src(walk, 32 if family_of(walk) == 4 else 128)
    if is_fixed:
        return exactly(&device.fixed4 if family_of(walk) == 4 else &device.fixed6, ip, &bits)
    return exactly(&device.floating4 if family_of(walk) == 4 else &device.floating6, ip, &bits)


cdef const uint8_t* exactly(
    const Trie* trie, const uint8_t* ip, uint32_t* bits,
) noexcept nogil:
    cdef const Node* node = trie_descend(trie, ip, bits)
    if node.n_routes == 0 or node.len_bits != trie.width_bits:
        return NULL
    return node.routes[0].gateway


cdef inline uint8_t family_of(const Walk* walk) noexcept nogil:
    return 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6


cdef bint quotes(Walk* walk, StateKey* quoted) noexcept nogil:
    """The quoted packet's answer: its source is where the quoted one went."""
    walk.out.cacheable = 0
    return quoted_key(&walk.pkt, 0, REVERSE_SNAT, quoted)
