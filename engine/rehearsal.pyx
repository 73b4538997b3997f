"""What would happen to many packets, to whole conversations and to flows: nothing is changed.

1. A packet is made of its header, parsed, and walked as one that came from a switch.
2. Its answer is what the receiver sends back: the header as it left, turned around.
3. What a packet would remember is put into the tables of both ends before the answer is sent, as
   the agents tell each other before the packet leaves; and is taken out again, backwards.
"""

from collections import namedtuple

import numpy
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from onehop.engine.buffer cimport Buffer, reserve, written
from onehop.engine.cdefs cimport (
    MAX_CREATED, NONE, nsec_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from onehop.engine.headers cimport FRAME_BYTES, act, answers, fill_answer, has_echo_id, put_frame
from onehop.engine.known cimport mix
from onehop.engine.oxm cimport Match, is_within, normalise, read_match
from onehop.engine.packet cimport FlowKey, Packet, match_view, parse
from onehop.engine.simulate cimport simulate
from onehop.engine.state cimport (
    D_RETURN, StateEntry, StateTable, state_find, state_insert, state_remove,
)
from onehop.engine.states cimport States
from onehop.engine.topology cimport Topo, Topology
from onehop.engine.verdict cimport A_FLOOD, A_OUTPUT, FORWARD, Action, Verdict

cdef enum:
    NOT_SENT_KIND = 255
    PRIME = 1099511628211  # FNV

cdef struct Probe:
    FlowKey key
    uint32_t table         # index of the one that it meets first
    uint16_t echo_id
    uint16_t unused

cdef struct Outcome:
    FlowKey key            # as it leaves
    uint64_t actions       # a hash of all of them, and of the hosts of their ports
    uint32_t port          # the one where it leaves; NONE: none, or several
    uint32_t host          # that port's
    uint32_t n_tags
    uint16_t reason        # a Reason
    uint16_t echo_id
    uint8_t kind           # a VerdictKind
    uint8_t is_told        # flows: the match tells enough for the verdict
    uint8_t is_cacheable
    uint8_t n_used         # entries of connections that it met
    uint8_t n_created      # and that it would make
    uint8_t is_return      # it goes against the direction that one of them was opened in
    uint8_t answers        # the packet that it answers came from where it goes
    uint8_t unused

cdef struct Undo:
    StateTable* table
    StateEntry entry       # as it was; or only its key
    uint8_t was_there

cdef struct Stage:
    const Topo* topo
    StateTable** tables
    uint32_t n_tables
    const uint32_t* table_of_host
    uint64_t n_hosts
    nsec_t now
    uint64_t seed
    Verdict* verdict
    Buffer tags
    uint32_t n_undo
    Undo undo[2 * MAX_CREATED]

KEY = numpy.dtype([
    ("ip_src", "u1", 16), ("ip_dst", "u1", 16), ("eth_src", "u1", 6), ("eth_dst", "u1", 6),
    ("in_port", "u4"), ("eth_type", "u2"), ("vlan_tci", "u2"), ("tp_src", "u2"), ("tp_dst", "u2"),
    ("ip_proto", "u1"), ("ip_tos", "u1"), ("ip_ttl", "u1"), ("ip_frag", "u1"),
    ("tcp_flags", "u2"), ("len_class", "u2"),
])
PROBE = numpy.dtype([("key", KEY), ("table", "u4"), ("echo_id", "u2"), ("unused", "u2")])
OUTCOME = numpy.dtype([
    ("key", KEY), ("actions", "u8"), ("port", "u4"), ("host", "u4"), ("n_tags", "u4"),
    ("reason", "u2"), ("echo_id", "u2"), ("kind", "u1"), ("is_told", "u1"),
    ("is_cacheable", "u1"), ("n_used", "u1"), ("n_created", "u1"), ("is_return", "u1"),
    ("answers", "u1"), ("unused", "u1"),
])
NOBODY = 0xffffffff
KINDS = ("drop", "forward", "consumed", "await", "loop")
NOT_SENT = NOT_SENT_KIND

assert (KEY.itemsize, PROBE.itemsize, OUTCOME.itemsize) == (
    sizeof(FlowKey), sizeof(Probe), sizeof(Outcome))

Array = numpy.ndarray
Rehearsed = namedtuple("Rehearsed", "there back tags")
HeldFlows = namedtuple("HeldFlows", "keys masks places")


def rehearse(
    Topology topology, tables, table_of_host, probes, *, nsec_t now_ns=1, uint64_t seed=0,
):
    cdef const uint8_t[::1] asked = as_bytes(probes, PROBE)
    cdef const uint32_t[::1] hosts = numpy.ascontiguousarray(table_of_host, numpy.uint32)
    cdef uint64_t i, n = len(probes)
    there, back = numpy.zeros(n, OUTCOME), numpy.zeros(n, OUTCOME)
    cdef uint8_t[::1] went = as_bytes(there, OUTCOME)
    cdef uint8_t[::1] came = as_bytes(back, OUTCOME)
    cdef Stage* stage = opened(topology, tables, now_ns, seed)
    try:
        if n and (probes["table"].max() >= stage.n_tables or (
                len(hosts) and numpy.asarray(hosts).max() >= stage.n_tables)):
            raise IndexError("there is no such table")
        stage.table_of_host = &hosts[0] if len(hosts) else NULL
        stage.n_hosts = len(hosts)
        with nogil:
            for i in range(n):
                converse(stage, <const Probe*>&asked[i * sizeof(Probe)],
                         <Outcome*>&went[i * sizeof(Outcome)],
                         <Outcome*>&came[i * sizeof(Outcome)])
        return Rehearsed(there, back, tags_of(stage))
    finally:
        close(stage)


def review(Topology topology, States table, flows, *, nsec_t now_ns=1, uint64_t seed=0):
    cdef const uint8_t[::1] keys = as_bytes(flows.keys, KEY)
    cdef const uint8_t[::1] masks = as_bytes(flows.masks, KEY)
    cdef uint64_t i, n = len(flows.keys)
    there = numpy.zeros(n, OUTCOME)
    cdef uint8_t[::1] went = as_bytes(there, OUTCOME)
    cdef Stage* stage = opened(topology, [table], now_ns, seed)
    if len(flows.masks) != n:
        raise ValueError("as many masks as keys")
    try:
        with nogil:
            for i in range(n):
                look_again(stage, <const FlowKey*>&keys[i * sizeof(FlowKey)],
                           <const FlowKey*>&masks[i * sizeof(FlowKey)],
                           <Outcome*>&went[i * sizeof(Outcome)])
        return Rehearsed(there, numpy.zeros(0, OUTCOME), tags_of(stage))
    finally:
        close(stage)


def as_bytes(array, dtype):
    if array.dtype != dtype:
        raise ValueError(f"an array of {array.dtype}, not of {dtype}")
    return numpy.ascontiguousarray(array).view(numpy.uint8).reshape(-1)


cdef Stage* opened(Topology topology, tables, nsec_t now, uint64_t seed) except NULL:
    cdef Stage* stage = <Stage*>malloc(sizeof(Stage))
    if stage == NULL:
        raise MemoryError
    memset(stage, 0, sizeof(Stage))
    stage.topo, stage.now, stage.seed = topology.topo, now, seed
    stage.n_tables = <uint32_t>len(tables)
    stage.verdict = <Verdict*>malloc(sizeof(Verdict))
    stage.tables = <StateTable**>malloc((len(tables) + 1) * sizeof(StateTable*))
    if stage.verdict == NULL or stage.tables == NULL:
        close(stage)
        raise MemoryError
    for i, table in enumerate(tables):
        stage.tables[i] = &(<States?>table).table
    return stage


cdef void close(Stage* stage) noexcept:
    free(stage.verdict)
    free(stage.tables)
    free(stage.tags.data)
    free(stage)


cdef object tags_of(const Stage* stage):
    return numpy.frombuffer(
        stage.tags.data[:stage.tags.len_bytes] if stage.tags.len_bytes else b"", numpy.uint64)


# --- one conversation

cdef int converse(Stage* stage, const Probe* probe, Outcome* there, Outcome* back) except -1 nogil:
    cdef uint32_t far
    cdef Probe answer
    send(stage, probe.table, &probe.key, probe.echo_id, there)
    memset(back, 0, sizeof(Outcome))
    back.kind, back.port, back.host = NOT_SENT_KIND, NONE, NONE
    if there.kind != FORWARD or there.port == NONE:
        return 0
    far = probe.table
    if there.host < stage.n_hosts:
        far = stage.table_of_host[there.host]
    note_created(stage, probe.table)
    if far != probe.table:
        note_created(stage, far)
    turn_around(there, &answer)
    send(stage, far, &answer.key, answer.echo_id, back)
    back.answers = back.kind == FORWARD and is_answer(probe, back)
    forget_created(stage)
    return 0


cdef int send(
    Stage* stage, uint32_t table, const FlowKey* key, uint16_t echo_id, Outcome* out,
) except -1 nogil:
    cdef uint8_t frame[FRAME_BYTES]
    cdef Packet pkt
    cdef Verdict* verdict = stage.verdict
    parse(&pkt, frame, put_frame(key, echo_id, frame), key.in_port)
    simulate(stage.topo, stage.tables[table], &pkt, verdict, stage.now, stage.seed)
    if verdict.sent_bytes:
        parse(&pkt, verdict.crafted + verdict.sent_off, verdict.sent_bytes, key.in_port)
    return conclude(stage, &pkt, out)


cdef int conclude(Stage* stage, Packet* pkt, Outcome* out) except -1 nogil:
    cdef const Verdict* verdict = stage.verdict
    cdef uint32_t i
    memset(out, 0, sizeof(Outcome))
    out.kind, out.reason = verdict.kind, verdict.reason
    out.n_used, out.n_created = <uint8_t>verdict.n_used, <uint8_t>verdict.n_created
    out.is_cacheable = verdict.cacheable
    out.port = out.host = NONE
    for i in range(verdict.n_used):
        out.is_return |= verdict.used[i].direction == D_RETURN
    for i in range(verdict.n_actions):
        note_action(stage.topo, &verdict.actions[i], &pkt.key, out)
    out.key, out.echo_id = pkt.key, pkt.echo_id
    out.n_tags = verdict.n_tags
    memcpy(reserve(&stage.tags, verdict.n_tags * sizeof(tag_t)), verdict.tags,
           verdict.n_tags * sizeof(tag_t))
    written(&stage.tags, verdict.n_tags * sizeof(tag_t))
    return 0


cdef void note_action(
    const Topo* topo, const Action* action, FlowKey* key, Outcome* out,
) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t hashed = out.actions * <uint64_t>PRIME + action.kind
    for i in range(6):
        hashed = (hashed ^ action.mac[i]) * <uint64_t>PRIME
    for i in range(16):
        hashed = (hashed ^ action.ip[i]) * <uint64_t>PRIME
    out.actions = mix(hashed, action.value)
    if action.kind == A_OUTPUT:
        if key.in_port != NONE:  # the first one
            out.port, out.host = action.value, topo.ports[action.value].host
            out.actions = mix(out.actions, out.host)
        else:
            out.port = out.host = NONE
        key.in_port = NONE
    elif action.kind == A_FLOOD:
        out.actions = mix(out.actions, <uint64_t>action.except_port << 32 | action.host)
        out.port = out.host = key.in_port = NONE
    else:
        act(action, key)


# --- the answer

cdef void turn_around(const Outcome* there, Probe* answer) noexcept nogil:
    memset(answer, 0, sizeof(Probe))
    fill_answer(&answer.key, &there.key, there.port)
    answer.echo_id = there.echo_id


cdef bint is_answer(const Probe* probe, const Outcome* back) noexcept nogil:
    return answers(&back.key, &probe.key) and (
        not has_echo_id(&back.key) or back.echo_id == probe.echo_id)


cdef void note_created(Stage* stage, uint32_t table) noexcept nogil:
    cdef const Verdict* verdict = stage.verdict
    cdef const StateEntry* old
    cdef Undo* undo
    cdef uint32_t i
    for i in range(verdict.n_created):
        undo = &stage.undo[stage.n_undo]
        stage.n_undo += 1
        undo.table = stage.tables[table]
        undo.entry = verdict.created[i]
        old = state_find(undo.table, &verdict.created[i].key, stage.now)
        undo.was_there = old != NULL
        if old != NULL:
            undo.entry = old[0]
        state_insert(undo.table, &verdict.created[i], stage.now)


cdef void forget_created(Stage* stage) noexcept nogil:
    cdef Undo* undo
    while stage.n_undo:
        stage.n_undo -= 1
        undo = &stage.undo[stage.n_undo]
        if undo.was_there:
            state_insert(undo.table, &undo.entry, stage.now)
        else:
            state_remove(undo.table, &undo.entry.key)


# --- flows

cdef int look_again(
    Stage* stage, const FlowKey* key, const FlowKey* mask, Outcome* out,
) except -1 nogil:
    cdef Packet pkt
    cdef FlowKey seen_key, seen
    cdef const Verdict* verdict = stage.verdict
    memset(&pkt, 0, sizeof(Packet))
    pkt.key = key[0]
    simulate(stage.topo, stage.tables[0], &pkt, stage.verdict, stage.now, stage.seed)
    conclude(stage, &pkt, out)
    seen_key, seen = verdict.key, verdict.mask
    out.is_told = normalise(&seen_key, &seen) and is_within(&seen, mask)
    return 0


def held_flows(flows, ports):
    cdef Match match
    indices = dict(ports)
    keys, masks, places = bytearray(), bytearray(), []
    for place, oxm in enumerate(flows):
        if not read_match(&match, oxm, <uint32_t>len(oxm)) or match.ofport not in indices:
            continue
        match.key.in_port = indices[match.ofport]
        if normalise(&match.key, &match.mask):
            keys += (<const uint8_t*>&match.key)[:sizeof(FlowKey)]
            masks += (<const uint8_t*>&match.mask)[:sizeof(FlowKey)]
            places.append(place)
    return HeldFlows(
        numpy.frombuffer(bytes(keys), KEY), numpy.frombuffer(bytes(masks), KEY), places)


def match_of(key, mask):
    cdef const uint8_t[::1] key_bytes = as_bytes(numpy.array([key], KEY), KEY)
    cdef const uint8_t[::1] mask_bytes = as_bytes(numpy.array([mask], KEY), KEY)
    return match_view(<const FlowKey*>&key_bytes[0], <const FlowKey*>&mask_bytes[0])


# --- bytes

def answer(outcome):
    cdef const uint8_t[::1] view = as_bytes(numpy.array([outcome], OUTCOME), OUTCOME)
    found = numpy.zeros(1, PROBE)
    cdef uint8_t[::1] room = as_bytes(found, PROBE)
    turn_around(<const Outcome*>&view[0], <Probe*>&room[0])
    return found[0]


def frame(probe):
    cdef const uint8_t[::1] view = as_bytes(numpy.array([probe], PROBE), PROBE)
    cdef const Probe* asked = <const Probe*>&view[0]
    cdef uint8_t out[FRAME_BYTES]
    cdef uint32_t len_bytes = put_frame(&asked.key, asked.echo_id, out)
    return out[:len_bytes]
