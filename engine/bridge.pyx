"""A learning switch.

A frame (1) that the inbound filter accepts, (2) from an exterior port, teaches where its source
is; (3) an ARP request or a multicast neighbor solicitation for a known address is answered; (4) a
known destination gets the frame, (5) everything else goes to every other port, each where the
outbound filter accepts that.

Bridges joined by links are one segment: a MAC or an address known on one of them is known on
all, as if each had seen the traffic of the others. A segment is a tree; a bridge that is reached
a second time is a loop.

Unicast neighbor discovery is traffic like other traffic: whoever sends it knows the neighbor.
So unicast IPv6 needs no look at the protocol.
"""

from libc.string cimport memcmp, memcpy

from onehop.engine.cdefs cimport MAX_DEVICES, NONE, uint16_t, uint32_t
from onehop.engine.craft cimport arp_reply, nd_advert
from onehop.engine.filter cimport (
    GO_ON, enter_device, enter_port, is_flood_filtered, leave_device, may_flood,
)
from onehop.engine.known cimport ANY_VLAN, Entry, Subject, find, mac_subject, neighbor_subject
from onehop.engine.names cimport mac_tag, neighbor_tag
from onehop.engine.packet cimport (
    ETH_ARP, ETH_IPV6, ICMP6_NS, VLAN_PRESENT, Packet,
)
from onehop.engine.port cimport emit, leave
from onehop.engine.neighbor cimport is_nd, overhear
from onehop.engine.topology cimport DEVICE_BRIDGE, DEVICE_ROUTER, Device
from onehop.engine.verdict cimport (
    CONSUMED, DROP, FORWARD, LOOP, R_ARP, R_BAD_SOURCE, R_LOOP, R_NOWHERE, R_SAME_PORT, R_TOO_LONG,
)
from onehop.engine.walk cimport (
    S_ANSWERS, S_FLOODS, S_KNOWN_MAC, S_LEARNS, S_TAG_MAC, S_TAG_NEIGHBOR, S_UNKNOWN_MAC,
    add_flood, add_output, add_tag, decide, room, room_at, see_eth_dst, see_eth_src, see_eth_type,
    see_group_bit, see_vlan, settle, tell,
)

cdef enum Reached:         # of a host's ports, by a flood
    SOME
    EVERYBODY
    TOO_LONG


cdef int at_bridge(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    cdef bint teaches = walk.topo.ports[in_port].peer == NONE and not walk.is_crafted
    cdef int kind
    see_eth_type(walk)
    if teaches:
        see_eth_src(walk)
        if walk.pkt.key.eth_src[0] & 1:
            return decide(walk, DROP, R_BAD_SOURCE)
    kind = enter_device(walk, bridge, in_port)
    if kind != GO_ON:
        return kind
    if teaches:
        learn(walk, bridge, in_port)
    if walk.pkt.key.eth_type == ETH_ARP:
        walk.out.cacheable = 0
        if answer_arp(walk, bridge, in_port):
            return decide(walk, CONSUMED, R_ARP)
    see_group_bit(walk)
    if not walk.pkt.key.eth_dst[0] & 1:
        return to_mac(walk, bridge, in_port)
    if walk.pkt.key.eth_type == ETH_IPV6 and is_nd(walk):
        walk.out.cacheable = 0
        if answer_nd(walk, bridge, in_port):
            return decide(walk, CONSUMED, R_ARP)
    return flood(walk, bridge, in_port)


# --- learning

cdef void learn(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    """A stated MAC stays where it is stated."""
    cdef const uint8_t* mac = walk.pkt.key.eth_src
    cdef const Entry* entry
    if is_stated(walk, bridge, mac, NONE, 0):
        return
    entry = look_up_mac(walk, bridge, vlan_id(walk), mac)
    if entry != NULL and entry.port == in_port:
        return
    walk.out.learn_bridge = bridge
    walk.out.learn_port = in_port
    walk.out.learn_vlan = vlan_id(walk)
    memcpy(walk.out.learn_mac, mac, 6)
    tell(walk, S_LEARNS, bridge, in_port, walk.out.learn_vlan, mac, 6)


cdef bint is_stated(
    Walk* walk, idx_t bridge, const uint8_t* mac, idx_t came_by, uint32_t depth,
) noexcept nogil:
    """Whether a bridge of the segment states this MAC."""
    cdef const Device* device = &walk.topo.devices[bridge]
    cdef idx_t far
    cdef uint32_t i
    if look_up_mac(walk, bridge, ANY_VLAN, mac) != NULL:
        return True
    for i in range(device.n_interior):
        far = linked(walk, bridge, device.interior[i], came_by, depth)
        if far != NONE and is_stated(walk, walk.topo.ports[far].device, mac, far, depth + 1):
            return True
    return False


cdef inline uint16_t vlan_id(Walk* walk) noexcept nogil:
    see_vlan(walk, 0xfff)
    return walk.pkt.key.vlan_tci & 0xfff


cdef const Entry* look_up_mac(
    Walk* walk, idx_t bridge, uint16_t vlan, const uint8_t* mac,
) noexcept nogil:
    cdef Subject subject = mac_subject(bridge, vlan, mac)
    add_tag(walk, mac_tag(&walk.topo.devices[bridge], vlan, mac))
    tell(walk, S_TAG_MAC, bridge, NONE, vlan, mac, 6)
    return find(&walk.topo.known, &subject)


# --- a known destination

cdef int to_mac(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    cdef idx_t port
    cdef int kind
    see_eth_dst(walk)
    port = find_port(walk, bridge, NONE, 0)
    if port == NONE:
        tell(walk, S_UNKNOWN_MAC, bridge, NONE, 0, walk.pkt.key.eth_dst, 6)
        return flood(walk, bridge, in_port)
    tell(walk, S_KNOWN_MAC, bridge, port, 0, walk.pkt.key.eth_dst, 6)
    if port == in_port:
        add_tag(walk, walk.topo.ports[port].tag)
        return decide(walk, DROP, R_SAME_PORT)
    kind = leave_device(walk, bridge, port)
    return leave(walk, port) if kind == GO_ON else kind


cdef idx_t find_port(Walk* walk, idx_t bridge, idx_t came_by, uint32_t depth) noexcept nogil:
    """The port of `bridge` towards the destination MAC: its own, or a link towards it."""
    cdef const uint8_t* mac = walk.pkt.key.eth_dst
    cdef const Entry* entry = look_up_mac(walk, bridge, ANY_VLAN, mac)
    cdef const Device* device = &walk.topo.devices[bridge]
    cdef idx_t far
    cdef uint32_t i
    if entry != NULL:
        return entry.port
    if is_being_learned(walk, bridge, mac):
        return walk.out.learn_port
    entry = look_up_mac(walk, bridge, vlan_id(walk), mac)
    if entry != NULL:
        return entry.port
    for i in range(device.n_interior):
        far = linked(walk, bridge, device.interior[i], came_by, depth)
        if far != NONE and find_port(walk, walk.topo.ports[far].device, far, depth + 1) != NONE:
            return device.interior[i]
    return NONE


cdef bint is_being_learned(Walk* walk, idx_t bridge, const uint8_t* mac) noexcept nogil:
    return (
        walk.out.learn_bridge == bridge
        and walk.out.learn_vlan == vlan_id(walk)
        and memcmp(walk.out.learn_mac, mac, 6) == 0
    )


cdef idx_t linked(
    Walk* walk, idx_t bridge, idx_t port, idx_t came_by, uint32_t depth,
) noexcept nogil:
    """The far end of `port`, where that is another bridge of the segment; otherwise NONE."""
    cdef idx_t far = walk.topo.ports[port].peer
    if port == came_by or depth == MAX_DEVICES:
        return NONE
    if walk.topo.devices[walk.topo.ports[far].device].kind != DEVICE_BRIDGE:
        return NONE
    add_tag(walk, walk.topo.devices[bridge].flood_tag)
    add_tag(walk, walk.topo.ports[far].tag)
    return far if walk.topo.ports[far].active else NONE


# --- ARP and neighbor discovery

cdef bint answer_arp(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    """A gratuitous ARP (it asks for its own address) is no question."""
    cdef const Packet* pkt = &walk.pkt
    cdef const uint8_t* mac
    if pkt.key.ip_proto != 1 or memcmp(pkt.key.ip_src, pkt.key.ip_dst, 4) == 0:
        return False
    mac = answer_for(walk, bridge, 4, pkt.key.ip_dst)
    if mac == NULL:
        return False
    if pkt.data != NULL:
        emit(walk, in_port, arp_reply(room_at(walk), room(walk), pkt, mac))
    return True


cdef bint answer_nd(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    cdef const Packet* pkt = &walk.pkt
    cdef const uint8_t* mac
    if pkt.key.tp_src != ICMP6_NS:
        return False
    mac = answer_for(walk, bridge, 6, pkt.nd_target)
    if mac == NULL:
        return False
    if pkt.data != NULL:
        emit(walk, in_port, nd_advert(
            room_at(walk), room(walk), pkt, mac, is_router_mac(walk, bridge, mac)))
    return True


cdef const uint8_t* answer_for(
    Walk* walk, idx_t bridge, uint8_t family, const uint8_t* ip,
) noexcept nogil:
    """The MAC to answer with. Whoever asks for what it has itself gets no answer from us."""
    cdef const Entry* entry
    if walk.is_crafted or walk.pkt.key.vlan_tci & VLAN_PRESENT:
        return NULL
    entry = known_neighbor(walk, bridge, family, ip)
    if entry == NULL or memcmp(entry.mac, walk.pkt.key.eth_src, 6) == 0:
        return NULL
    tell(walk, S_ANSWERS, bridge, NONE, family, ip, 16)
    return entry.mac


cdef const Entry* known_neighbor(
    Walk* walk, idx_t bridge, uint8_t family, const uint8_t* ip,
) noexcept nogil:
    return find_neighbor(walk, bridge, family, ip, NONE, 0)


cdef const Entry* find_neighbor(
    Walk* walk, idx_t bridge, uint8_t family, const uint8_t* ip, idx_t came_by, uint32_t depth,
) noexcept nogil:
    """What is stated on any bridge of the segment comes before what is learned on a nearer one."""
    cdef Subject subject = neighbor_subject(bridge, family, ip)
    cdef const Entry* found = find(&walk.topo.known, &subject)
    cdef const Device* device = &walk.topo.devices[bridge]
    cdef const Entry* entry
    cdef idx_t far
    cdef uint32_t i
    add_tag(walk, neighbor_tag(walk.topo, bridge, ip))
    tell(walk, S_TAG_NEIGHBOR, bridge, NONE, family, ip, 16)
    for i in range(device.n_interior):
        if found != NULL and found.stated:
            return found
        far = linked(walk, bridge, device.interior[i], came_by, depth)
        if far != NONE:
            entry = find_neighbor(walk, walk.topo.ports[far].device, family, ip, far, depth + 1)
            if entry != NULL and (found == NULL or entry.stated):
                found = entry
    return found


cdef bint is_router_mac(Walk* walk, idx_t bridge, const uint8_t* mac) noexcept nogil:
    """Whether it is the MAC of a router port of the bridge."""
    cdef Subject subject = mac_subject(bridge, ANY_VLAN, mac)
    cdef const Entry* entry = find(&walk.topo.known, &subject)
    cdef idx_t peer = walk.topo.ports[entry.port].peer if entry != NULL else <idx_t>NONE
    return peer != NONE and (
        walk.topo.devices[walk.topo.ports[peer].device].kind == DEVICE_ROUTER)


# --- everybody

cdef int flood(Walk* walk, idx_t bridge, idx_t in_port) noexcept nogil:
    cdef idx_t seen[MAX_DEVICES]
    cdef uint32_t n_seen = 0
    cdef int kind
    walk.is_flooding = 1
    kind = flood_from(walk, bridge, in_port, seen, &n_seen)
    walk.is_flooding = 0
    if kind == LOOP:
        walk.n_actions[0] = 0
        return decide(walk, LOOP, R_LOOP)
    if kind == DROP or walk.n_actions[0]:
        return kind
    if not walk.out.cacheable:
        return decide(walk, CONSUMED, R_ARP)
    return decide(walk, DROP, R_NOWHERE)


cdef int flood_from(
    Walk* walk, idx_t bridge, idx_t in_port, idx_t* seen, uint32_t* n_seen,
) noexcept nogil:
    """FORWARD, LOOP, or DROP where the actions do not fit."""
    cdef const Device* device = &walk.topo.devices[bridge]
    cdef uint32_t i
    cdef int kind
    for i in range(n_seen[0]):
        if seen[i] == bridge:
            return LOOP
    if n_seen[0] == MAX_DEVICES:
        return LOOP
    seen[n_seen[0]] = bridge
    n_seen[0] += 1
    add_tag(walk, device.flood_tag)
    walk.in_port = in_port
    if not to_exterior(walk, device, bridge, in_port):
        return decide(walk, DROP, R_TOO_LONG)
    for i in range(device.n_interior):
        if device.interior[i] != in_port:
            walk.in_port = in_port
            kind = to_interior(walk, device.interior[i], seen, n_seen)
            if kind != FORWARD:
                return kind
    return FORWARD


cdef bint to_exterior(
    Walk* walk, const Device* device, idx_t bridge, idx_t in_port,
) noexcept nogil:
    """One action for all of them; none where nobody is there but who sent it."""
    cdef idx_t but = in_port if is_exterior(walk, in_port) else <idx_t>NONE
    cdef uint32_t first, i, n_all = 0
    cdef int reached
    if device.n_exterior == 0 or (device.n_exterior == 1 and device.exterior[0] == in_port):
        return True
    tell(walk, S_FLOODS, bridge, NONE, 0, NULL, 0)
    if not settle(walk):
        return False
    if not is_filtered(walk, device, bridge):
        return add_flood(walk, bridge, but, NONE)
    first = walk.n_actions[0]
    for i in range(device.n_hosts):
        reached = to_host(walk, device, bridge, device.hosts[i], but)
        if reached == TOO_LONG:
            return False
        n_all += reached == EVERYBODY
    if n_all == device.n_hosts:
        walk.n_actions[0] = <uint16_t>first
        return add_flood(walk, bridge, but, NONE)
    return True


cdef inline bint is_exterior(const Walk* walk, idx_t port) noexcept nogil:
    return port != NONE and walk.topo.ports[port].peer == NONE


cdef bint is_filtered(Walk* walk, const Device* device, idx_t bridge) noexcept nogil:
    cdef uint32_t i
    for i in range(device.n_exterior):
        if is_flood_filtered(walk, bridge, device.exterior[i]):
            return True
    return False


cdef int to_host(
    Walk* walk, const Device* device, idx_t bridge, idx_t host, idx_t but,
) noexcept nogil:
    """One copy where all of the host's ports accept; otherwise one for each that does."""
    cdef uint32_t i, n_ports = 0, n_accept = 0
    for i in range(device.n_exterior):
        if walk.topo.ports[device.exterior[i]].host == host and device.exterior[i] != but:
            n_ports += 1
            n_accept += may_flood(walk, bridge, device.exterior[i])
    if n_ports == n_accept:
        return EVERYBODY if not n_ports or add_flood(walk, bridge, but, host) else TOO_LONG
    for i in range(device.n_exterior if n_accept else 0):
        if walk.topo.ports[device.exterior[i]].host == host and device.exterior[i] != but:
            if may_flood(walk, bridge, device.exterior[i]):
                if not add_output(walk, device.exterior[i]):
                    return TOO_LONG
    return SOME


cdef int to_interior(
    Walk* walk, idx_t port, idx_t* seen, uint32_t* n_seen,
) noexcept nogil:
    """A router only listens: a frame to its MAC would not have been flooded."""
    cdef idx_t far = walk.topo.ports[port].peer
    cdef idx_t device = walk.topo.ports[far].device
    cdef int kind
    add_tag(walk, walk.topo.ports[far].tag)
    if not walk.topo.ports[far].active:
        return FORWARD
    if not may_flood(walk, walk.topo.ports[port].device, port):
        return FORWARD
    walk.in_port = far
    if enter_port(walk, far) != GO_ON:
        return FORWARD
    if walk.topo.devices[device].kind != DEVICE_BRIDGE:
        overhear(walk, far)
        return FORWARD
    if walk.n_passed == MAX_DEVICES:
        return LOOP
    walk.passed[walk.n_passed] = device
    walk.n_passed += 1
    kind = FORWARD
    if enter_device(walk, device, far) == GO_ON:
        kind = flood_from(walk, device, far, seen, n_seen)
    walk.n_passed -= 1
    return kind
