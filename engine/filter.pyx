"""Filters: whether a packet may enter or leave a port or a device."""

from onehop.engine.cdefs cimport NONE
from onehop.engine.chain cimport (
    DO_ACCEPT, DO_DNAT, DO_DROP, DO_JUMP, DO_REJECT, DO_RETURN, DO_REVERSE_DNAT, DO_REVERSE_SNAT,
    THEN_CONTINUE, THEN_RETURN, Chain, Rule, Values,
)
from onehop.engine.condition cimport fill_values, next_rule
from onehop.engine.craft cimport PROHIBITED, icmp_error, may_send_error
from onehop.engine.floating cimport is_spoken_for
from onehop.engine.guard cimport is_honest, may_receive, may_send
from onehop.engine.nat cimport (
    N_IMPOSSIBLE, N_NO_PORT, N_PASSED, translate_back, translate_destination, translate_error,
    translate_source,
)
from onehop.engine.packet cimport ETH_IPV4, ETH_IPV6, FRAG_NO, IP_TCP, Packet
from onehop.engine.port cimport emit
from onehop.engine.reset cimport craft_tcp_reset
from onehop.engine.state cimport REVERSE_DNAT, REVERSE_SNAT
from onehop.engine.topology cimport Device, Port
from onehop.engine.verdict cimport (
    CONSUMED, DROP, R_FILTERED, R_GUARDED, R_NO_NAT_PORT, R_REFUSED, R_SPOOFED, R_UNTRANSLATABLE,
)
from onehop.engine.walk cimport S_REFUSES, S_RULE, add_tag, decide, room, room_at, tell


cdef int enter_port(Walk* walk, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef Place place = Place(index, NONE, port.tag)
    if not is_honest(walk, port):
        return stop(walk, R_SPOOFED)
    if not may_send(walk, port, &place):
        return stop(walk, R_GUARDED)
    return filtered(walk, port.inbound_filter, &place)


cdef int leave_port(Walk* walk, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef Place place = Place(walk.in_port, index, port.tag)
    cdef int kind = filtered(walk, port.outbound_filter, &place)
    if kind != GO_ON:
        return kind
    if not may_receive(walk, port, &place):
        return stop(walk, R_GUARDED)
    return GO_ON


cdef int enter_device(Walk* walk, idx_t index, idx_t in_port) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[index]
    cdef Place place = Place(in_port, NONE, device.tag)
    return filtered(walk, device.inbound_filter, &place)


cdef int leave_device(Walk* walk, idx_t index, idx_t out_port) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[index]
    cdef Place place = Place(walk.in_port, out_port, device.tag)
    return filtered(walk, device.outbound_filter, &place)


cdef bint may_flood(Walk* walk, idx_t bridge, idx_t port) noexcept nogil:
    cdef const Device* device = &walk.topo.devices[bridge]
    cdef const Port* to = &walk.topo.ports[port]
    cdef Place place = Place(walk.in_port, port, device.tag)
    if judged(walk, device.outbound_filter, &place) != F_ACCEPT:
        return False
    place.zone = to.tag
    return judged(walk, to.outbound_filter, &place) == F_ACCEPT and (
        may_receive(walk, to, &place))


cdef bint is_flood_filtered(Walk* walk, idx_t bridge, idx_t port) noexcept nogil:
    cdef const Port* to = &walk.topo.ports[port]
    return walk.topo.devices[bridge].outbound_filter != NONE or (
        to.outbound_filter != NONE or to.n_groups != 0)


cdef int filtered(Walk* walk, uint32_t chain, const Place* place) noexcept nogil:
    cdef int outcome
    if chain != NONE and walk.topo.chains[chain].translates and (
        translate_error(walk, zone_of(walk, place), place.out_port != NONE)
    ):
        return GO_ON
    outcome = judged(walk, chain, place)
    if outcome == F_ACCEPT:
        return GO_ON
    if outcome == F_REJECT and not walk.is_flooding:
        return turn_back(walk, place.in_port, R_REFUSED)
    if outcome == F_NO_PORT:
        return turn_back(walk, place.in_port, R_NO_NAT_PORT)
    if outcome == F_UNTRANSLATABLE:
        return stop(walk, R_UNTRANSLATABLE)
    return stop(walk, R_FILTERED)


cdef int stop(Walk* walk, int reason) noexcept nogil:
    """One copy of a flood less is no decision about the packet."""
    return DROP if walk.is_flooding else decide(walk, DROP, reason)


# --- chains

cdef inline int judged(Walk* walk, uint32_t chain, const Place* place) noexcept nogil:
    cdef int outcome
    if chain == NONE:
        return F_ACCEPT
    outcome = ask_chain(walk, chain, place, 0)
    return F_ACCEPT if outcome == F_BACK else outcome


cdef int ask_chain(
    Walk* walk, uint32_t index, const Place* place, uint32_t depth,
) noexcept nogil:
    cdef const Chain* chain = &walk.topo.chains[index]
    cdef const Rule* rule
    cdef Values values
    cdef uint32_t at = 0
    cdef int outcome
    add_tag(walk, chain.tag)
    if depth > MAX_DEPTH:
        return F_DROP
    fill_values(&values, walk, place)
    while at < chain.n_rules:
        at = next_rule(walk, chain, at, &values, place)
        if at == NONE:
            break
        rule = &chain.rules[at]
        at += 1
        note_rule(walk, index, at, rule, place)
        outcome = obey(walk, rule, place, depth)
        if outcome != GO_ON:
            return outcome
        fill_values(&values, walk, place)
    return F_BACK


cdef int obey(Walk* walk, const Rule* rule, const Place* place, uint32_t depth) noexcept nogil:
    """An Outcome, or GO_ON with the chain's next rule."""
    cdef int outcome
    if rule.action == DO_JUMP:
        outcome = ask_chain(walk, rule.jump, place, depth + 1)
        return GO_ON if outcome == F_BACK else outcome
    if rule.action == DO_ACCEPT:
        return F_ACCEPT
    if rule.action == DO_DROP:
        return F_DROP
    if rule.action == DO_REJECT:
        return F_REJECT
    if rule.action == DO_RETURN:
        return F_BACK
    return translate_by(walk, rule, place)


cdef int translate_by(Walk* walk, const Rule* rule, const Place* place) noexcept nogil:
    """An Outcome, or GO_ON: it was not to be translated, or goes on after that."""
    cdef int done = translated(walk, rule, place)
    if done == N_NO_PORT:
        return F_NO_PORT
    if done == N_IMPOSSIBLE:
        return F_UNTRANSLATABLE
    if done == N_PASSED or rule.then == THEN_CONTINUE:
        return GO_ON
    return F_BACK if rule.then == THEN_RETURN else F_ACCEPT


cdef inline idx_t device_of(const Walk* walk, const Place* place) noexcept nogil:
    return walk.topo.ports[
        place.in_port if place.in_port != NONE else place.out_port].device


cdef inline uint64_t zone_of(const Walk* walk, const Place* place) noexcept nogil:
    """Translations are the device's, whichever of its ports has the filter."""
    return walk.topo.devices[device_of(walk, place)].tag


cdef int translated(Walk* walk, const Rule* rule, const Place* place) noexcept nogil:
    cdef uint64_t zone = zone_of(walk, place)
    if rule.action == DO_REVERSE_SNAT:
        return translate_back(walk, zone, REVERSE_SNAT, 0)
    if rule.action == DO_REVERSE_DNAT:
        return translate_back(walk, zone, REVERSE_DNAT, 0)
    if rule.action == DO_DNAT:
        return translate_destination(walk, zone, rule.targets, rule.n_targets, 0)
    if is_spoken_for(walk, device_of(walk, place), place.out_port):
        return N_PASSED
    return translate_source(walk, zone, rule.targets, rule.n_targets, 0)


cdef void note_rule(
    Walk* walk, uint32_t chain, uint32_t number, const Rule* rule, const Place* place,
) noexcept nogil:
    """In bytes: the chain, the action."""
    cdef uint32_t[2] words
    words[0], words[1] = chain, rule.action
    tell(walk, S_RULE, NONE, place.out_port if place.out_port != NONE else place.in_port,
         number, <const uint8_t*>words, 8)


# --- refusals

cdef int turn_back(Walk* walk, idx_t in_port, int reason) noexcept nogil:
    cdef const Packet* pkt = &walk.pkt
    cdef int kind = CONSUMED
    walk.out.cacheable = 0
    if pkt.data == NULL or walk.is_crafted or in_port == NONE:
        return decide(walk, kind, reason)
    if pkt.key.eth_type == ETH_IPV4 or pkt.key.eth_type == ETH_IPV6:
        tell(walk, S_REFUSES, walk.topo.ports[in_port].device, in_port, 0, NULL, 0)
        kind = emit(walk, in_port, answer(walk, in_port))
    return decide(walk, kind, reason)


cdef uint32_t answer(Walk* walk, idx_t in_port) noexcept nogil:
    """A reset, or an ICMP error; from the one whom the sender wanted, or from the router."""
    cdef const Packet* pkt = &walk.came
    cdef const Port* port = &walk.topo.ports[in_port]
    cdef const uint8_t* ip = pkt.key.ip_dst
    cdef const uint8_t* mac = pkt.key.eth_dst
    cdef uint8_t family = 4 if pkt.key.eth_type == ETH_IPV4 else 6
    cdef uint32_t i
    if mac[0] & 1:
        return 0
    if pkt.key.ip_proto == IP_TCP and pkt.key.ip_frag == FRAG_NO:
        return craft_tcp_reset(room_at(walk), room(walk), pkt, mac)
    if not may_send_error(pkt):
        return 0
    for i in range(port.n_addresses):
        if port.addresses[i].family == family:
            ip, mac = port.addresses[i].ip, port.mac
            break
    return icmp_error(room_at(walk), room(walk), pkt, PROHIBITED, 0, ip, mac, pkt.key.eth_src)
