"""Verdicts -> the switch: what is installed, changed, deleted and sent, as bytes in `out`."""

from libc.stdlib cimport free
from libc.string cimport memcmp, memset

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport NONE, idx_t
from onehop.engine.flows cimport (
    Flow, flows_add, flows_by_cookie, flows_cookie, flows_find, flows_remove,
    flows_set, flows_tagged,
)
from onehop.engine.keep cimport keep, keep_alive, keep_telling
from onehop.engine.openflow cimport (
    FLOW_PRIORITY, OFPFC_ADD, OFPFC_DELETE_STRICT, OFPFC_MODIFY_STRICT, OFPP_CONTROLLER,
    put_ask, put_delete, put_flow_mod, put_packet_out,
)
from onehop.engine.oxm cimport Match, is_within, normalise, read_match
from onehop.engine.packet cimport FlowKey, Packet
from onehop.engine.simulate cimport simulate
from onehop.engine.state cimport StateEntry, is_state_tag, state_by_tag, state_expire
from onehop.engine.state_codec cimport message_merge
from onehop.engine.tagged cimport Tagged, tagged_prefetch
from onehop.engine.translate cimport ofport_of, translate
from onehop.engine.verdict cimport DROP, FORWARD, R_STATE_FULL, Emitted

cdef enum:
    APPLY_HEAD_BYTES = 8
    EVERY_BIT = -1
    ON_ITS_WAY_NS = 1000000000


# --- packets

cdef int hot_obey(
    Hot* hot, uint32_t in_ofport, const uint8_t* data, uint32_t len_bytes, nsec_t now,
) except -1 nogil:
    cdef Verdict* verdict = &hot.verdict
    tagged_prefetch(&hot.flows.tagged, verdict.tags, verdict.n_tags)
    if verdict.kind == FORWARD and not keep(&hot.keeper, hot.topo, verdict, now):
        refuse(verdict)
    review_created(hot, now)
    hot.counts[<int>N_DROPPED + verdict.kind] += 1
    if verdict.kind != FORWARD and verdict.reason < N_REASONS:
        hot.reasons[verdict.reason] += 1
    hot_emit(hot)
    if verdict.kind != FORWARD and verdict.kind != DROP:
        return 0
    hot_encode(hot, verdict, in_ofport)
    if verdict.cacheable and in_ofport:
        hot_install(hot, verdict, in_ofport, now)
    if verdict.sent_bytes:
        data, len_bytes = verdict.crafted + verdict.sent_off, verdict.sent_bytes
    if verdict.kind == FORWARD and hot.actions.len_bytes:
        send(hot, in_ofport or <uint32_t>OFPP_CONTROLLER, data, len_bytes)
    return 0


cdef void refuse(Verdict* verdict) noexcept nogil:
    """There is no room for the connection that it would open."""
    verdict.kind, verdict.reason = DROP, R_STATE_FULL
    verdict.cacheable = 0
    verdict.n_actions = verdict.n_created = verdict.n_used = 0


cdef int review_created(Hot* hot, nsec_t now) except -1 nogil:
    """What was dropped for want of the connection passes from now on."""
    cdef uint32_t i
    for i in range(hot.verdict.n_created):
        hot_review_tag(hot, hot.verdict.created[i].tag, now)
    return 0


cdef int hot_emit(Hot* hot) except -1 nogil:
    cdef uint32_t i
    cdef const Emitted* emitted
    for i in range(hot.verdict.n_emitted):
        emitted = &hot.verdict.emitted[i]
        hot.actions.len_bytes = 0
        translate(&hot.actions, hot.topo, &hot.local, emitted.actions, emitted.n_actions, 0,
                  &hot.verdict.key)
        if hot.actions.len_bytes:
            send(hot, OFPP_CONTROLLER, hot.verdict.crafted + emitted.off, emitted.len_bytes)
    return 0


cdef int hot_encode(Hot* hot, const Verdict* verdict, uint32_t in_ofport) except -1 nogil:
    hot.actions.len_bytes = 0
    if verdict.kind == FORWARD:
        translate(&hot.actions, hot.topo, &hot.local, verdict.actions, verdict.n_actions,
                  in_ofport, &verdict.key)
    elif verdict.is_early:  # until the switch has heard of the connection, the agent forwards
        put_ask(&hot.actions)
    return 0


cdef int send(
    Hot* hot, uint32_t in_ofport, const uint8_t* data, uint32_t len_bytes,
) except -1 nogil:
    cdef bint sent = put_packet_out(&hot.out, in_ofport, hot.actions.data,
                                    <uint32_t>hot.actions.len_bytes, data, len_bytes)
    hot.counts[<int>N_PACKET_OUTS if sent else <int>N_TOO_LONG] += 1
    return 0


cdef int hot_install(
    Hot* hot, const Verdict* verdict, uint32_t in_ofport, nsec_t now,
) except -1 nogil:
    cdef FlowKey key = verdict.key
    cdef FlowKey mask = verdict.mask
    cdef uint32_t flow
    if not normalise(&key, &mask):
        return 0
    flow = flows_find(&hot.flows, &key, &mask)
    if flow != NONE:
        hot.counts[<int>N_DUPLICATES] += 1
        if does_already(hot, flow):
            return install_again(hot, flow, now)
        return change(hot, flow, verdict)
    flow = flows_add(&hot.flows, &key, &mask, in_ofport, 0, now)
    if flow == NONE:
        hot.counts[<int>N_FULL] += 1
        return 0
    remember(hot, flow, verdict)
    hot.counts[<int>N_INSTALLED] += 1
    return put_flow(hot, flow, OFPFC_ADD)


cdef int install_again(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil:
    """It is on its way to the switch; or somebody has deleted it there, if that is long ago."""
    if now - hot.flows.slots[flow].used_at < ON_ITS_WAY_NS:
        return 0
    hot.flows.slots[flow].used_at = now
    return put_flow(hot, flow, OFPFC_ADD)


# --- flows

cdef int remember(Hot* hot, uint32_t flow, const Verdict* verdict) except -1 nogil:
    return flows_set(&hot.flows, flow, hot.actions.data, <uint32_t>hot.actions.len_bytes,
                     verdict.tags, verdict.n_tags)


cdef int change(Hot* hot, uint32_t flow, const Verdict* verdict) except -1 nogil:
    """The flow has hot.actions and the verdict's tags from now on."""
    cdef bint same = does_already(hot, flow)
    remember(hot, flow, verdict)
    if same:
        return 0
    hot.counts[<int>N_MODIFIED] += 1
    return put_flow(hot, flow, OFPFC_MODIFY_STRICT)


cdef inline bint does_already(const Hot* hot, uint32_t flow) noexcept nogil:
    cdef const Flow* slot = &hot.flows.slots[flow]
    if slot.action_bytes != hot.actions.len_bytes:
        return False
    return slot.action_bytes == 0 or memcmp(
        slot.actions, hot.actions.data, slot.action_bytes
    ) == 0


cdef int put_flow(Hot* hot, uint32_t flow, uint8_t command) except -1 nogil:
    cdef const Flow* slot = &hot.flows.slots[flow]
    return put_flow_mod(&hot.out, command, flows_cookie(&hot.flows, flow), &slot.key,
                        &hot.flows.masks[slot.mask], slot.ofport, hot.limits_mark,
                        slot.actions, slot.action_bytes)


cdef int hot_drop(Hot* hot, uint32_t flow) except -1 nogil:
    hot.counts[<int>N_DELETED] += 1
    put_delete(&hot.out, flows_cookie(&hot.flows, flow), <uint64_t>EVERY_BIT)
    flows_remove(&hot.flows, flow)
    return 0


cdef int hot_review(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil:
    cdef const Flow* slot = &hot.flows.slots[flow]
    if not slot.in_use:
        return 0
    if not hot_holds(hot, flow, now):
        return hot_drop(hot, flow)
    return change(hot, flow, &hot.again)


cdef bint hot_holds(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil:
    cdef const Flow* slot = &hot.flows.slots[flow]
    if ofport_of(&hot.local, slot.key.in_port) != slot.ofport or not holds(
        hot, &slot.key, &hot.flows.masks[slot.mask], now
    ):
        return False
    hot_encode(hot, &hot.again, slot.ofport)
    return True


cdef int hot_propose(Hot* hot, const Packet* pkt, uint32_t ofport, nsec_t now) except -1 nogil:
    simulate(hot.topo, hot.keeper.table, pkt, &hot.again, now, hot.seed)
    return hot_encode(hot, &hot.again, ofport)


cdef bint holds(Hot* hot, const FlowKey* key, const FlowKey* mask, nsec_t now) noexcept nogil:
    """Whether the match tells enough for a verdict, which is in hot.again."""
    cdef Packet pkt
    cdef FlowKey seen_key, seen
    memset(&pkt, 0, sizeof(Packet))
    pkt.key = key[0]
    simulate(hot.topo, hot.keeper.table, &pkt, &hot.again, now, hot.seed)
    if not hot.again.cacheable or (hot.again.kind != FORWARD and hot.again.kind != DROP):
        return False
    seen_key = hot.again.key
    seen = hot.again.mask
    return normalise(&seen_key, &seen) and is_within(&seen, mask)


cdef int hot_review_tag(Hot* hot, tag_t tag, nsec_t now) except -1 nogil:
    cdef Buffer found = Buffer(NULL, 0, 0)
    cdef uint64_t i
    flows_tagged(&hot.flows, tag, &found)
    for i in range(found.len_bytes // 4):
        hot_review(hot, (<uint32_t*>found.data)[i], now)
    free(found.data)
    return 0


cdef int hot_review_all(Hot* hot, nsec_t now) except -1 nogil:
    cdef uint32_t flow
    for flow in range(hot.flows.room):
        hot_review(hot, flow, now)
    return 0


cdef int hot_forget_lengths(Hot* hot) except -1 nogil:
    cdef uint32_t flow
    for flow in range(hot.flows.room):
        if hot.flows.slots[flow].in_use:
            if hot.flows.masks[hot.flows.slots[flow].mask].len_class:
                hot_drop(hot, flow)
    hot.limits_mark = hot.topo.limits_mark
    return 0


# --- connections

cdef int hot_used(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil:
    """Its verdict says who should hear of it: that is found out again, now and then."""
    cdef const Flow* slot = &hot.flows.slots[flow]
    if prolong(hot, slot, now) and holds(
        hot, &slot.key, &hot.flows.masks[slot.mask], now
    ) and hot.again.kind == FORWARD:
        keep_telling(&hot.keeper, hot.topo, &hot.again, now)
    return 0


cdef bint prolong(Hot* hot, const Flow* slot, nsec_t now) noexcept nogil:
    cdef const Tagged* tagged = &hot.flows.tagged
    cdef uint32_t link = slot.tag_links
    cdef bint tells = False
    cdef tag_t tag
    cdef StateEntry* entry
    while link:
        tag = tagged.links[link].tag
        if is_state_tag(tag):
            entry = state_by_tag(hot.keeper.table, tag, now)
            if entry != NULL:
                tells |= keep_alive(entry, now)
        link = tagged.links[link].next_of_flow
    return tells


cdef int hot_forget(Hot* hot, nsec_t now) except -1 nogil:
    cdef Buffer tags = Buffer(NULL, 0, 0)
    state_expire(hot.keeper.table, now, &tags)
    return review_tags(hot, &tags, now)


cdef int hot_merge(Hot* hot, const uint8_t* data, uint64_t len_bytes, nsec_t now) except -1 nogil:
    cdef Buffer tags = Buffer(NULL, 0, 0)
    message_merge(hot.keeper.table, data, len_bytes, now, &tags)
    return review_tags(hot, &tags, now)


cdef int review_tags(Hot* hot, Buffer* tags, nsec_t now) except -1 nogil:
    cdef uint64_t i
    for i in range(tags.len_bytes // sizeof(tag_t)):
        hot_review_tag(hot, (<tag_t*>tags.data)[i], now)
    free(tags.data)
    return 0


# --- flows found in the switch

cdef int hot_adopt(Hot* hot, const FlowStat* stat, nsec_t now) except -1 nogil:
    cdef Match match
    cdef uint32_t flow
    if flows_by_cookie(&hot.flows, stat.cookie) != NONE:
        return 0
    if not read_match(&match, stat.oxm, stat.oxm_bytes) or stat.priority != FLOW_PRIORITY:
        return put_delete(&hot.out, stat.cookie, <uint64_t>EVERY_BIT)
    flow = take_over(hot, &match, stat.cookie, now)
    if flow == NONE:
        hot.counts[<int>N_DELETED] += 1
        return put_flow_mod(&hot.out, OFPFC_DELETE_STRICT, stat.cookie, &match.key, &match.mask,
                            match.ofport, match.limits_mark, NULL, 0)
    hot.flows.slots[flow].packets = stat.packets
    hot.counts[<int>N_ADOPTED] += 1
    remember(hot, flow, &hot.again)
    if has_actions(stat, &hot.actions):
        return 0
    hot.counts[<int>N_MODIFIED] += 1
    return put_flow(hot, flow, OFPFC_MODIFY_STRICT)


cdef uint32_t take_over(
    Hot* hot, Match* match, uint64_t cookie, nsec_t now,
) except? 0xfffffffe nogil:
    """The flow, with its actions in hot.actions; NONE: it is not to be kept."""
    cdef idx_t port = hot.ports[match.ofport] if match.ofport < 65536 else <idx_t>NONE
    if port == NONE or cookie == 0:
        return NONE
    if match.mask.len_class and match.limits_mark != hot.limits_mark:
        return NONE
    match.key.in_port = port
    if not normalise(&match.key, &match.mask):
        return NONE
    if flows_find(&hot.flows, &match.key, &match.mask) != NONE:
        return NONE
    if not holds(hot, &match.key, &match.mask, now):
        return NONE
    hot_encode(hot, &hot.again, match.ofport)
    return flows_add(&hot.flows, &match.key, &match.mask, match.ofport, cookie, now)


cdef bint has_actions(const FlowStat* stat, const Buffer* actions) noexcept nogil:
    """Whether its only instruction is to apply these."""
    if actions.len_bytes == 0:
        return stat.instruction_bytes == 0
    return (
        stat.instruction_bytes == APPLY_HEAD_BYTES + actions.len_bytes
        and stat.instructions[1] == 4
        and memcmp(stat.instructions + APPLY_HEAD_BYTES, actions.data, actions.len_bytes) == 0
    )
