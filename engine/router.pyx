"""A router, IPv4 and IPv6.

(1) ARP and neighbor discovery; (2) what is for the router itself; (3) the inbound filter; (4) the
route: longest destination, then source, then lowest weight, one of the equal ones by its score;
(5) the TTL; (6) the outbound filter; (7) the next hop's MAC; (8) the new MACs, and out.

Equal routes: each has a score for a connection, made of both their names, and the highest wins.
When one goes, the connections that it had won go to their second best; no other one moves.
Fragments are scored by their addresses alone, so that all of a packet go one way.
"""

from libc.string cimport memcmp, memcpy

from onehop.engine.balance cimport B_DONE, B_NO_MEMBER, B_NO_PORT, balance, balance_back
from onehop.engine.cdefs cimport NONE, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.craft cimport (
    HOST_UNREACHABLE, NO_ROUTE, PORT_UNREACHABLE, PROHIBITED, TOO_BIG, TTL_EXCEEDED,
    IcmpError, icmp_echo_reply, icmp_error, may_send_error,
)
from onehop.engine.filter cimport GO_ON, enter_device, leave_device, turn_back
from onehop.engine.floating cimport arrive, come_back, depart
from onehop.engine.known cimport Entry, mix
from onehop.engine.nat cimport N_IMPOSSIBLE, N_NO_PORT
from onehop.engine.neighbor cimport (
    ask, hear_arp, hear_nd, is_nd, neighbor, own_address,
)
from onehop.engine.octets cimport same_bits
from onehop.engine.packet cimport (
    ETH_ARP, ETH_IPV4, ETH_IPV6, FRAG_NO, ICMP6_ECHO, ICMP_ECHO, IP_ICMP, IP_ICMP6, IP_SCTP,
    IP_TCP, IP_UDP, VLAN_PRESENT, Packet,
)
from onehop.engine.port cimport emit, leave
from onehop.engine.reset cimport craft_tcp_reset
from onehop.engine.route cimport (
    ROUTE_BLACKHOLE, ROUTE_BROADCAST, ROUTE_LOCAL, ROUTE_NORMAL, ROUTE_POOL, ROUTE_REJECT, Node,
    Route, Trie,     trie_above, trie_descend,
)
from onehop.engine.serve cimport renews, serve
from onehop.engine.topology cimport Address, Device, Port
from onehop.engine.verdict cimport (
    AWAIT, CONSUMED, DROP, R_BLACKHOLE, R_BROADCAST, R_LOCAL, R_NOT_FOR_ROUTER, R_NOT_IP,
    R_NO_MEMBER, R_NO_NAT_PORT, R_NO_NEIGHBOR, R_NO_ROUTE, R_OVER_MTU, R_REJECT, R_TAGGED,
    R_TOO_LONG, R_TTL, R_UNFRAGMENTED, R_UNREACHABLE, R_UNROUTABLE, R_UNTRANSLATABLE,
)
from onehop.engine.walk cimport (
    CHANGED_DST, S_BALANCES, S_ECHOES, S_NEXT_HOP, S_RESETS, S_ROUTE, S_SENDS, S_WANTS, add_tag,
    decide, room, room_at, see_eth_dst, see_eth_type, see_frag, see_group_bit, see_ip_dst,
    see_ip_src, see_length, see_proto, see_tp_dst, see_tp_src, see_vlan, tell,
)

cdef enum:
    BGP = 179
    BFD_CONTROL = 3784     # RFC 5881, section 4
    BFD_ECHO = 3785


cdef int at_router(Walk* walk, idx_t router, idx_t in_port) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[in_port]
    see_vlan(walk, VLAN_PRESENT)
    if walk.pkt.key.vlan_tci & VLAN_PRESENT:
        return decide(walk, DROP, R_TAGGED)
    see_group_bit(walk)
    see_eth_type(walk)
    if walk.pkt.key.eth_dst[0] & 1:
        return at_group(walk, in_port)
    see_eth_dst(walk)
    if memcmp(walk.pkt.key.eth_dst, port.mac, 6) != 0:
        return decide(walk, DROP, R_NOT_FOR_ROUTER)
    if walk.pkt.key.eth_type == ETH_ARP:
        return hear_arp(walk, in_port)
    if walk.pkt.key.eth_type != ETH_IPV4 and walk.pkt.key.eth_type != ETH_IPV6:
        return decide(walk, DROP, R_NOT_IP)
    return route(walk, router, in_port)


cdef int at_group(Walk* walk, idx_t in_port) noexcept nogil:
    """A broadcast or multicast frame: nothing but ARP and neighbor discovery is for a router."""
    if walk.pkt.key.eth_type == ETH_ARP:
        return hear_arp(walk, in_port)
    if walk.pkt.key.eth_type == ETH_IPV6 and is_nd(walk):
        return hear_nd(walk, in_port)
    return decide(walk, DROP, R_NOT_FOR_ROUTER)


# --- the route

cdef int route(Walk* walk, idx_t router, idx_t in_port) noexcept nogil:
    cdef const Route* found
    cdef int kind, balanced
    if not arrive(walk, router):
        return decide(walk, DROP, R_TOO_LONG)
    balanced = balance(walk, router)
    if balanced == B_NO_MEMBER or balanced == B_NO_PORT:
        return turn_down(walk, in_port, balanced)
    found = find_route(walk, router)
    if is_local(found) and come_back(walk, router):
        found = find_route(walk, router)
    if is_local(found) and is_for_routers(walk, router):
        return deliver(walk, in_port)
    kind = GO_ON if balanced == B_DONE else enter_device(walk, router, in_port)
    if kind != GO_ON:
        return kind
    if walk.changed & CHANGED_DST:
        found = find_route(walk, router)
    if is_local(found):
        return deliver(walk, in_port)
    if is_unroutable(walk):
        if walk.pkt.key.eth_type == ETH_IPV6 and is_nd(walk):
            return hear_nd(walk, in_port)
        return decide(walk, DROP, R_UNROUTABLE)
    if found == NULL:
        return refuse(walk, in_port, NO_ROUTE, R_NO_ROUTE)
    if found.kind == ROUTE_BROADCAST:
        return decide(walk, DROP, R_BROADCAST)
    if found.kind == ROUTE_BLACKHOLE:
        return decide(walk, DROP, R_BLACKHOLE)
    if found.kind == ROUTE_REJECT:
        return refuse(walk, in_port, PROHIBITED, R_REJECT)
    if walk.pkt.data != NULL and walk.pkt.key.ip_ttl <= 1:
        return refuse(walk, in_port, TTL_EXCEEDED, R_TTL)
    return forward(walk, in_port, found)


cdef inline bint is_local(const Route* found) noexcept nogil:
    return found != NULL and (found.kind == ROUTE_LOCAL or found.kind == ROUTE_POOL)


cdef bint is_for_routers(Walk* walk, idx_t router) noexcept nogil:
    """Answered before any filter; unless it may be for whom the filter translates it to."""
    cdef uint32_t chain = walk.topo.devices[router].inbound_filter
    if chain == NONE or not walk.topo.chains[chain].translates:
        return True
    see_proto(walk)
    if walk.pkt.key.eth_type == ETH_IPV6 and is_nd(walk):
        return True
    if walk.pkt.key.ip_proto == IP_ICMP or walk.pkt.key.ip_proto == IP_ICMP6:
        see_tp_src(walk)
        see_frag(walk)
    return is_echo_request(&walk.pkt)


cdef inline uint8_t family_of(const Walk* walk) noexcept nogil:
    return 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6


cdef bint is_unroutable(Walk* walk) noexcept nogil:
    """Also from a link-local address: RFC 4291, section 2.5.6."""
    cdef bint is_v4 = walk.pkt.key.eth_type == ETH_IPV4
    cdef const Trie* trie = &walk.topo.unroutable4 if is_v4 else &walk.topo.unroutable6
    cdef const Node* node
    cdef uint32_t bits, same
    cdef uint8_t[2] link_local
    if not is_v4:
        link_local[0], link_local[1] = 0xfe, 0x80
        same = same_bits(walk.pkt.key.ip_src, link_local, 10)
        see_ip_src(walk, min(same + 1, 10))
        if same == 10:
            return True
    node = trie_descend(trie, walk.pkt.key.ip_dst, &bits)
    see_ip_dst(walk, bits)
    return node.n_routes > 0


cdef const Route* find_route(Walk* walk, idx_t router) noexcept nogil:
    """A prefix whose routes are all for other sources, or inactive, is as good as none."""
    cdef const Device* device = &walk.topo.devices[router]
    cdef bint is_v4 = walk.pkt.key.eth_type == ETH_IPV4
    cdef const Trie* trie = &device.routes4 if is_v4 else &device.routes6
    cdef const Route* found = NULL
    cdef const Node* node
    cdef uint32_t bits
    node = trie_descend(trie, walk.pkt.key.ip_dst, &bits)
    see_ip_dst(walk, bits)
    while node != NULL and found == NULL:
        found = choose(walk, router, node)
        node = trie_above(trie, node)
    if found == NULL:
        add_tag(walk, device.no_route_tag)
    return found


cdef const Route* choose(Walk* walk, idx_t router, const Node* node) noexcept nogil:
    """The best usable route of a prefix."""
    cdef uint32_t i, j
    if node.n_routes == 0:
        return NULL
    add_tag(walk, node.tag)
    for i in range(node.n_routes):
        if is_usable(walk, router, &node.routes[i]):
            break
    else:
        return NULL
    tell(walk, S_ROUTE, router, NONE, <uint32_t>family_of(walk) << 8 | node.len_bits, node.bits,
         16)
    for j in range(i + 1, node.n_routes):
        if not is_equal(&node.routes[i], &node.routes[j]):
            break
        if is_usable(walk, router, &node.routes[j]):
            return share_out(walk, router, &node.routes[i], node.n_routes - i)
    return &node.routes[i]


cdef bint is_usable(Walk* walk, idx_t router, const Route* route) noexcept nogil:
    cdef uint32_t same
    if route.source_bits:
        same = same_bits(walk.pkt.key.ip_src, route.source, route.source_bits)
        see_ip_src(walk, min(same + 1, <uint32_t>route.source_bits))
        if same < route.source_bits:
            return False
    if route.kind != ROUTE_NORMAL:
        return True
    return walk.topo.ports[route.port].active and walk.topo.ports[route.port].device == router


cdef bint is_equal(const Route* a, const Route* b) noexcept nogil:
    return (
        a.kind == ROUTE_NORMAL and b.kind == ROUTE_NORMAL and a.weight == b.weight
        and a.source_bits == b.source_bits
        and memcmp(a.source, b.source, 16) == 0
    ) or a == b


cdef const Route* share_out(
    Walk* walk, idx_t router, const Route* routes, uint32_t n,
) noexcept nogil:
    """Rendezvous hashing: the highest score wins."""
    cdef uint64_t connection = connection_hash(walk), score, highest = 0
    cdef const Route* best = NULL
    cdef uint32_t i, n_equal = 0
    for i in range(n):
        if not is_equal(&routes[0], &routes[i]):
            break
        if is_usable(walk, router, &routes[i]):
            n_equal += 1
            score = mix(connection, routes[i].seed ^ walk.seed)
            if best == NULL or score > highest:
                best, highest = &routes[i], score
    tell(walk, S_BALANCES, router, NONE, n_equal, NULL, 0)
    return best


cdef uint64_t connection_hash(Walk* walk) noexcept nogil:
    cdef uint64_t words[4]
    cdef uint64_t rest = 0
    memcpy(words, walk.pkt.key.ip_src, 16)
    memcpy(&words[2], walk.pkt.key.ip_dst, 16)
    see_ip_src(walk, 32 if walk.pkt.key.eth_type == ETH_IPV4 else 128)
    see_ip_dst(walk, 32 if walk.pkt.key.eth_type == ETH_IPV4 else 128)
    see_frag(walk)
    if walk.pkt.key.ip_frag == FRAG_NO:
        rest = transport_word(walk)
    return mix(mix(words[0], words[1]), mix(words[2], mix(words[3], rest)))


cdef uint64_t transport_word(Walk* walk) noexcept nogil:
    cdef uint8_t proto = walk.pkt.key.ip_proto
    see_proto(walk)
    if proto != IP_TCP and proto != IP_UDP and proto != IP_SCTP:
        return proto
    see_tp_src(walk)
    see_tp_dst(walk)
    return (
        <uint64_t>proto << 32 | <uint32_t>walk.pkt.key.tp_src << 16 | walk.pkt.key.tp_dst)


# --- onwards

cdef int forward(Walk* walk, idx_t in_port, const Route* route) noexcept nogil:
    cdef const Port* egress = &walk.topo.ports[route.port]
    cdef const uint8_t* next_hop = walk.pkt.key.ip_dst
    cdef const Entry* entry
    cdef int kind
    balance_back(walk, egress.device)
    kind = leave_device(walk, egress.device, route.port)
    if kind != GO_ON:
        return kind
    kind = depart(walk, egress.device, route.port)
    if kind == N_NO_PORT:
        return turn_back(walk, in_port, R_NO_NAT_PORT)
    if kind == N_IMPOSSIBLE:
        return decide(walk, DROP, R_UNTRANSLATABLE)
    if route.has_gateway:
        next_hop = &route.gateway[0]
    else:
        see_ip_dst(walk, 32 if walk.pkt.key.eth_type == ETH_IPV4 else 128)
    tell(walk, S_NEXT_HOP, egress.device, route.port, family_of(walk), next_hop, 16)
    add_tag(walk, egress.tag)
    if is_too_long(walk, egress):
        return refuse_length(walk, in_port, egress.mtu)
    entry = neighbor(walk, egress, family_of(walk), next_hop)
    if entry == NULL:
        return want(walk, in_port, route.port, next_hop)
    memcpy(walk.pkt.key.eth_src, egress.mac, 6)
    memcpy(walk.pkt.key.eth_dst, entry.mac, 6)
    walk.eth_rewritten = 1
    walk.is_settled = 0
    walk.pkt.key.ip_ttl -= 1
    walk.n_routed += 1
    return leave(walk, route.port)


cdef bint is_too_long(Walk* walk, const Port* egress) noexcept nogil:
    """A flow is only for packets that are short enough: of others the controller sees each."""
    if egress.mtu == 0:
        return False
    see_length(walk, egress.limit)
    if egress.limit and not walk.pkt.key.len_class & egress.limit:
        return False
    walk.out.cacheable = 0
    return walk.pkt.l3_len_bytes > egress.mtu


cdef int refuse_length(Walk* walk, idx_t in_port, uint16_t mtu) noexcept nogil:
    """RFC 1191, section 4; RFC 8201. What may be fragmented is dropped."""
    if walk.pkt.key.eth_type == ETH_IPV4 and not walk.pkt.ipv4_df:
        return decide(walk, CONSUMED, R_UNFRAGMENTED)
    return refuse_with(walk, in_port, TOO_BIG, R_OVER_MTU, mtu)


cdef int want(Walk* walk, idx_t in_port, idx_t egress, const uint8_t* next_hop) noexcept nogil:
    """The next hop's MAC is unknown: hold the packet and ask, or give up."""
    if walk.gives_up:
        return refuse(walk, in_port, HOST_UNREACHABLE, R_UNREACHABLE)
    walk.out.await_port = egress
    walk.out.await_family = family_of(walk)
    memcpy(walk.out.await_ip, next_hop, 16)
    tell(walk, S_WANTS, walk.topo.ports[egress].device, egress, family_of(walk), next_hop, 16)
    if walk.pkt.data != NULL:
        ask(walk, egress, family_of(walk), next_hop)
    return decide(walk, AWAIT, R_NO_NEIGHBOR)


# --- answers

cdef int deliver(Walk* walk, idx_t in_port) noexcept nogil:
    """For the router itself: echo requests are answered, and nobody listens at its ports."""
    cdef const Port* port = &walk.topo.ports[in_port]
    cdef const Packet* pkt = &walk.came
    cdef int kind = CONSUMED
    walk.out.cacheable = 0
    if pkt.key.eth_type == ETH_IPV6 and is_nd(walk):
        return hear_nd(walk, in_port)
    if pkt.data == NULL or walk.is_crafted:
        return decide(walk, kind, R_LOCAL)
    if renews(walk):
        return serve(walk, walk.out.key.in_port)
    if is_echo_request(pkt):
        tell(walk, S_ECHOES, port.device, in_port, 0, NULL, 0)
        kind = emit(walk, in_port, icmp_echo_reply(room_at(walk), room(walk), pkt, port.mac))
    elif may_send_error(pkt) and not is_routing(pkt):
        kind = turn_away(walk, in_port)
    return decide(walk, kind, R_LOCAL)


cdef int turn_down(Walk* walk, idx_t in_port, int why) noexcept nogil:
    """A VIP refuses a connection."""
    cdef int kind = CONSUMED
    walk.out.cacheable = 0
    if walk.pkt.data != NULL and not walk.is_crafted and may_send_error(&walk.came):
        kind = turn_away(walk, in_port)
    return decide(walk, kind, R_NO_MEMBER if why == B_NO_MEMBER else R_NO_NAT_PORT)


cdef int turn_away(Walk* walk, idx_t in_port) noexcept nogil:
    """Say, as the address that was spoken to, that nobody listens (RFC 1122, 4.1.3.1)."""
    cdef const Port* port = &walk.topo.ports[in_port]
    cdef const Packet* pkt = &walk.came
    cdef uint32_t len_bytes = 0
    if pkt.key.ip_proto == IP_TCP:
        len_bytes = craft_tcp_reset(room_at(walk), room(walk), pkt, port.mac)
    elif pkt.key.ip_proto == IP_UDP:
        len_bytes = icmp_error(
            room_at(walk), room(walk), pkt, PORT_UNREACHABLE, 0, pkt.key.ip_dst, port.mac,
            pkt.key.eth_src)
    if len_bytes:
        tell(walk, S_RESETS if pkt.key.ip_proto == IP_TCP else S_SENDS, port.device, in_port,
             <uint32_t>PORT_UNREACHABLE, NULL, 0)
    return emit(walk, in_port, len_bytes)


cdef bint is_routing(const Packet* pkt) noexcept nogil:
    """BGP or BFD: an uplink's FRR listens there, and a packet may come by before its flow."""
    if pkt.key.ip_proto == IP_TCP:
        return pkt.key.tp_src == BGP or pkt.key.tp_dst == BGP
    return pkt.key.ip_proto == IP_UDP and (
        pkt.key.tp_dst == BFD_CONTROL or pkt.key.tp_dst == BFD_ECHO)


cdef bint is_echo_request(const Packet* pkt) noexcept nogil:
    if pkt.key.ip_frag != FRAG_NO:
        return False
    if pkt.key.eth_type == ETH_IPV4:
        return pkt.key.ip_proto == IP_ICMP and pkt.key.tp_src == ICMP_ECHO
    return pkt.key.ip_proto == IP_ICMP6 and pkt.key.tp_src == ICMP6_ECHO


cdef int refuse(Walk* walk, idx_t in_port, IcmpError error, int reason) noexcept nogil:
    return refuse_with(walk, in_port, error, reason, 0)


cdef int refuse_with(
    Walk* walk, idx_t in_port, IcmpError error, int reason, uint16_t mtu,
) noexcept nogil:
    """Drop the packet and tell its sender why, where that is allowed."""
    cdef const Port* port = &walk.topo.ports[in_port]
    cdef const Packet* pkt = &walk.came
    cdef const Address* own = own_address(port, family_of(walk), pkt.key.ip_src)
    cdef int kind = CONSUMED
    walk.out.cacheable = 0
    if pkt.data != NULL and own != NULL and not walk.is_crafted and may_send_error(pkt):
        tell(walk, S_SENDS, port.device, in_port, <uint32_t>error, NULL, 0)
        kind = emit(walk, in_port, icmp_error(
            room_at(walk), room(walk), pkt, error, mtu, own.ip, port.mac, pkt.key.eth_src))
    return decide(walk, kind, reason)
