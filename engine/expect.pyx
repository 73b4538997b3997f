"""Answers that are expected: the flow for one is there before it comes."""

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, idx_t, uint32_t
from onehop.engine.headers cimport act, fill_answer
from onehop.engine.hot cimport N_EXPECTED, hot_encode, hot_install
from onehop.engine.octets cimport get16, put16
from onehop.engine.packet cimport ETH_IPV4, ETH_IPV6, FRAG_NO, Packet
from onehop.engine.simulate cimport simulate
from onehop.engine.state cimport CONNECTION, T_ESTABLISHED, StateEntry, state_key_clear
from onehop.engine.state_codec cimport (
    HEAD_BYTES, ITEM_ANSWER, ITEM_MAX, Item, item_bytes, item_read, item_write, message_append,
)
from onehop.engine.translate cimport ofport_of
from onehop.engine.verdict cimport A_OUTPUT, FORWARD, Verdict

cdef enum:
    MAC_BYTES = 12         # of both


# --- where the packet came in

cdef int expect_answer(Hot* hot, nsec_t now) except -1 nogil:
    cdef const Verdict* verdict = &hot.verdict
    cdef FlowKey answer
    cdef idx_t host
    if verdict.kind != FORWARD or verdict.n_created == 0 or not verdict.cacheable:
        return 0
    if verdict.sent_bytes or verdict.key.ip_frag != FRAG_NO or not turn_around(&answer, verdict):
        return 0
    host = hot.topo.ports[answer.in_port].host
    if host == hot.local.host:
        return expect(hot, &answer, now)
    if host < hot.keeper.n_messages:
        return tell(hot, host, &answer)
    return 0


cdef bint turn_around(FlowKey* answer, const Verdict* verdict) noexcept nogil:
    """Only one who sends something back is waited for: False where it goes to several."""
    cdef FlowKey key = verdict.key
    cdef idx_t port = NONE
    cdef uint32_t i
    for i in range(verdict.n_actions):
        if port != NONE:
            return False
        if verdict.actions[i].kind == A_OUTPUT:
            port = verdict.actions[i].value
        elif not act(&verdict.actions[i], &key):
            return False
    fill_answer(answer, &key, port)
    return port != NONE


cdef int tell(Hot* hot, idx_t host, const FlowKey* answer) except -1 nogil:
    cdef uint8_t[ITEM_MAX + MAC_BYTES] item
    cdef StateEntry entry
    cdef uint32_t len_bytes
    memset(&entry, 0, sizeof(StateEntry))
    state_key_clear(&entry.key, hot.topo.ports[answer.in_port].tag, CONNECTION)
    entry.key.family = 4 if answer.eth_type == ETH_IPV4 else 6
    entry.key.proto, entry.key.sport, entry.key.dport = (
        answer.ip_proto, answer.tp_src, answer.tp_dst)
    memcpy(entry.key.src, answer.ip_src, 16)
    memcpy(entry.key.dst, answer.ip_dst, 16)
    entry.state, entry.flags, entry.port = T_ESTABLISHED, answer.ip_tos, answer.vlan_tci
    len_bytes = item_write(item, ITEM_ANSWER, &entry, 0)
    memcpy(item + len_bytes, answer.eth_dst, 6)
    memcpy(item + len_bytes + 6, answer.eth_src, 6)
    len_bytes += MAC_BYTES
    put16(item, len_bytes - 2)
    return message_append(&hot.keeper.messages[host], item, len_bytes, 1)


# --- where its answer comes in

cdef int expect(Hot* hot, const FlowKey* key, nsec_t now) except -1 nogil:
    cdef Packet pkt
    cdef uint32_t ofport = ofport_of(&hot.local, key.in_port)
    if ofport == 0 or hot.flows.count >= hot.flows.max_flows // 2:
        return 0
    memset(&pkt, 0, sizeof(Packet))
    pkt.key = key[0]
    simulate(hot.topo, hot.keeper.table, &pkt, &hot.again, now, hot.seed)
    if hot.again.kind != FORWARD or not hot.again.cacheable:
        return 0
    hot.counts[<int>N_EXPECTED] += 1
    hot_encode(hot, &hot.again, ofport)
    return hot_install(hot, &hot.again, ofport, now)


cdef uint64_t expected_next(
    Expected* out, const uint8_t* message, uint64_t len_bytes, uint64_t at,
) noexcept nogil:
    cdef uint64_t item
    at = at or HEAD_BYTES
    while at + 2 <= len_bytes:
        item = at + 2
        at = item + get16(message + at)
        if at > len_bytes:
            break
        if message[item] == ITEM_ANSWER and read(out, message + item, <uint32_t>(at - item)):
            return at
    return 0


cdef bint read(Expected* out, const uint8_t* at, uint32_t len_bytes) noexcept nogil:
    cdef Item item
    cdef FlowKey* key = &out.key
    if not item_read(&item, at, len_bytes, True):
        return False
    at += item_bytes(item.entry.key.family)
    if len_bytes < item_bytes(item.entry.key.family) + MAC_BYTES:
        return False
    memset(key, 0, sizeof(FlowKey))
    out.port = item.entry.key.zone
    key.eth_type = ETH_IPV4 if item.entry.key.family == 4 else ETH_IPV6
    key.ip_proto, key.ip_tos = item.entry.key.proto, item.entry.flags
    key.vlan_tci = item.entry.port
    key.tp_src, key.tp_dst, key.ip_ttl = item.entry.key.sport, item.entry.key.dport, 64
    memcpy(key.ip_src, item.entry.key.src, 16)
    memcpy(key.ip_dst, item.entry.key.dst, 16)
    memcpy(key.eth_dst, at, 6)
    memcpy(key.eth_src, at + 6, 6)
    return True
