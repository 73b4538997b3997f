"""What is installed, and what would be, as people ask for it; nothing here changes anything.

1. What would be is found out by simulating again, into the places that are scratch between calls.
2. A match is written by the same code whether it comes from a flow or from the switch, so that
   equal ones are equal bytes.
"""

from typing import NamedTuple

from libc.stdlib cimport free, malloc

from onehop.engine.cdefs cimport NONE, uint8_t, uint16_t
from onehop.engine.flows cimport Flow, flows_cookie, flows_find
from onehop.engine.hot cimport hot_holds, hot_propose
from onehop.engine.openflow cimport FLOW_PRIORITY, LIMITED_TABLE, put_instructions
from onehop.engine.oxm cimport MATCH_MAX, Match, normalise, put_match, read_match
from onehop.engine.packet cimport FlowKey, Packet, parse
from onehop.engine.paths cimport Path, path_of
from onehop.engine.translate cimport ofport_of
from onehop.engine.verdict cimport DROP, FORWARD

from onehop.engine import fields
from onehop.engine.packet import MALFORMED


class Installed(NamedTuple):
    cookie: int
    table: int
    priority: int
    match: bytes
    noted: bytes
    would: bytes | None
    packets: int
    used_ns: int
    tags: tuple[int, ...]


class Proposed(NamedTuple):
    table: int
    match: bytes
    instructions: bytes | None
    cookie: int


cdef object installed_at(Hot* hot, uint32_t flow, nsec_t now):
    cdef const Flow* slot
    cdef const FlowKey* mask
    if flow >= hot.flows.room or not hot.flows.slots[flow].in_use:
        return None
    slot = &hot.flows.slots[flow]
    mask = &hot.flows.masks[slot.mask]
    would = None
    if hot_holds(hot, flow, now):
        would = instructions(hot.actions.data, <uint32_t>hot.actions.len_bytes)
    return Installed(
        flows_cookie(&hot.flows, flow), table_of(mask), FLOW_PRIORITY,
        match(&slot.key, mask, slot.ofport, hot.limits_mark),
        instructions(slot.actions, slot.action_bytes), would, slot.packets, slot.used_at,
        tags(hot, flow),
    )


cdef object proposed(Hot* hot, bytes packet, idx_t port, nsec_t now):
    cdef Packet pkt
    cdef FlowKey key, mask
    cdef uint32_t flow
    cdef uint32_t ofport = ofport_of(&hot.local, port)
    reason = parse(&pkt, packet, <uint32_t>len(packet), port)
    if reason:
        raise ValueError(MALFORMED[reason])
    hot_propose(hot, &pkt, ofport, now)
    if hot.again.kind != FORWARD and hot.again.kind != DROP:
        return Proposed(0, b"", None, 0)
    told = instructions(hot.actions.data, <uint32_t>hot.actions.len_bytes)
    key, mask = hot.again.key, hot.again.mask
    if not hot.again.cacheable or not ofport or not normalise(&key, &mask):
        return Proposed(0, b"", told, 0)
    flow = flows_find(&hot.flows, &key, &mask)
    return Proposed(
        table_of(&mask), match(&key, &mask, ofport, hot.limits_mark), told,
        0 if flow == NONE else flows_cookie(&hot.flows, flow),
    )


cdef inline uint32_t table_of(const FlowKey* mask) noexcept:
    return LIMITED_TABLE if mask.len_class else 0


cdef bytes match(
    const FlowKey* key, const FlowKey* mask, uint32_t ofport, uint32_t limits_mark,
):
    cdef uint8_t[MATCH_MAX] room
    put_match(room, key, mask, ofport, <uint16_t>limits_mark)
    return fields.in_order((<const uint8_t*>room)[4:room[2] << 8 | room[3]])


cdef bytes instructions(const uint8_t* actions, uint32_t action_bytes):
    cdef uint8_t* room = <uint8_t*>malloc(action_bytes + 16)
    if room == NULL:
        raise MemoryError
    try:
        return room[:put_instructions(room, actions, action_bytes)]
    finally:
        free(room)


cdef tuple tags(const Hot* hot, uint32_t flow):
    cdef uint32_t link = hot.flows.slots[flow].tag_links
    cdef const Path* path = path_of(&hot.flows.paths, flow)
    found = [] if path == NULL else [path.tags[i] for i in range(path.n_tags)]
    while link:
        found.append(hot.flows.tagged.links[link].tag)
        link = hot.flows.tagged.links[link].next_of_flow
    return tuple(found)


def canonical(stated: bytes) -> bytes:
    cdef Match found
    if not read_match(&found, stated, <uint32_t>len(stated)):
        return fields.in_order(stated)
    if found.metadata or not found.ofport:  # no flow that comes from a verdict
        return fields.in_order(stated)
    return match(&found.key, &found.mask, found.ofport, found.limits_mark)
