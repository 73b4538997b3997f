"""The hot path of one switch: packet-ins in, flow-mods and packet-outs out.

1. Between messages nothing is pending, except what a changed port number made stale: the next call
   that returns bytes puts that right first.
2. Per packet there is no Python object. What somebody else must do about a packet (`effects`) is
   rare, and what was learned is applied before the next packet.
3. A packet-in is answered or counted; never left.
4. Every call takes the time; nothing else happens by itself.
"""

from ipaddress import ip_address
from typing import NamedTuple

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from onehop.engine.buffer cimport Buffer, grow, let_go
from onehop.engine.bundle cimport is_bundle_reply, put_bundled
from onehop.engine.cdefs cimport NONE, idx_t, nsec_t, uint8_t, uint32_t, uint64_t
from onehop.engine.early cimport (
    Earlies, Early, early_at, early_clear, early_done, early_is_due, early_keep, early_note,
    early_trim,
)
from onehop.engine.expect cimport Expected, expect, expect_answer, expected_next
from onehop.engine.flows cimport (
    flows_clear, flows_have_tag, flows_init,
)
from onehop.engine.hot cimport (
    N_EARLY, N_EARLY_FORWARDED, N_MALFORMED, N_PACKET_INS, N_REASONS, N_REFUSED,
    N_UNKNOWN_PORT, Hot, hot_adopt, hot_emit,
    hot_forget, hot_forget_lengths, hot_merge, hot_obey, hot_review_all,
    hot_review_tag,
)
from onehop.engine.inspect cimport installed_at, proposed
from onehop.engine.keep cimport keeper_clear
from onehop.engine.openflow cimport (
    OFPR_INVALID_TTL, OFPT_PACKET_IN, STATS_BEGIN, FlowStat, PacketIn, is_flow_stats, message_len,
    read_flow_stat, read_packet_in,
)
from onehop.engine.octets cimport get32
from onehop.engine.packet cimport Packet, parse
from onehop.engine.polling cimport (
    POLL_XID, Polling, polling_answered, polling_go_on, polling_restart,
)
from onehop.engine.share cimport Share, Shares, share_set, share_take, share_tell
from onehop.engine.simulate cimport advertise, simulate, solicit, unreachable
from onehop.engine.states cimport States
from onehop.engine.topology cimport Topology
from onehop.engine.translate cimport ofport_of
from onehop.engine.verdict cimport AWAIT, FORWARD, LOOP, R_NO_NAT_PORT, Seen, Verdict

from onehop.engine import openflow
from onehop.engine.effects import MacLearned, NeighborLearned, NeighborWanted, PacketRefused
from onehop.engine.packet import MALFORMED
from onehop.engine.verdict import REASONS

cdef enum:
    OFPORTS = 65536        # OVS numbers its ports below this

COUNTS = (  # in the order of hot.Count
    "packet_ins", "malformed", "unknown_port", "refused", "dropped", "forwarded", "consumed",
    "awaited", "loops", "packet_outs", "too_long", "flows_installed", "duplicates",
    "flows_modified", "flows_deleted", "flows_expired", "flows_adopted", "flows_full",
    "early", "early_forwarded", "expected",
)


class Received(NamedTuple):
    consumed: int
    out: bytes
    slow: list
    effects: list
    state: list = []


tuple_new = tuple.__new__


cdef class Datapath:
    cdef readonly Topology topology
    cdef readonly States states
    cdef Hot* hot
    cdef Shares shares
    cdef Earlies earlies
    cdef Polling polling
    cdef uint32_t max_flows
    cdef dict places       # the indices of the bound ports, by their tags
    cdef set stale         # tags of ports whose numbers changed
    cdef bint all_stale
    cdef list effects
    cdef Buffer bundled    # what comes out, with its flow-mods as a bundle
    cdef uint32_t bundle_from
    cdef uint32_t n_bundles

    def __cinit__(self):
        cdef uint32_t i
        self.hot = <Hot*>calloc(1, sizeof(Hot))
        if self.hot == NULL:
            raise MemoryError
        self.hot.ports = <uint32_t*>malloc(OFPORTS * sizeof(uint32_t))
        if self.hot.ports == NULL:
            raise MemoryError
        for i in range(OFPORTS):
            self.hot.ports[i] = NONE

    def __init__(
        self, Topology topology, *, str host, uint64_t seed=0, uint32_t max_flows=200_000,
        States states=None, nsec_t patience_ns=0, nsec_t idle_ns=60_000_000_000,
        uint32_t bundle_from=0,
    ):
        self.topology = topology
        self.states = States(seed=seed) if states is None else states
        self.hot.keeper.table = &self.states.table
        self.hot.keeper.host = topology.names.host_index(host)
        self.hot.topo = topology.topo
        self.hot.seed = seed
        self.hot.local.host = topology.names.host_index(host)
        self.max_flows = max_flows
        self.earlies.patience = patience_ns
        self.polling.idle = idle_ns
        self.bundle_from = bundle_from
        self.places = {}
        self.stale = set()
        self.effects = []
        flows_clear(&self.hot.flows)
        flows_init(&self.hot.flows, max_flows, seed)

    def __dealloc__(self):
        if self.hot != NULL:
            flows_clear(&self.hot.flows)
            keeper_clear(&self.hot.keeper)
            free(self.hot.ports)
            let_go(self.hot.local.ofports, self.hot.local.n_ports, sizeof(uint32_t))
            free(self.hot.out.data)
            free(self.hot.actions.data)
            free(self.hot)
        free(self.bundled.data)
        let_go(self.shares.ports, self.shares.room, sizeof(Share))
        early_clear(&self.earlies)

    # --- what the switch is like

    def set_tunnel_port(self, uint32_t ofport):
        if self.hot.local.tunnel_ofport != ofport:
            self.hot.local.tunnel_ofport = ofport
            self.all_stale = True

    def bind(self, str port, uint32_t ofport):
        cdef idx_t index = self.topology.names.port_index(port)
        if ofport >= OFPORTS:
            raise ValueError(f"{ofport}: no such OVS port number")
        grow(<void**>&self.hot.local.ofports, &self.hot.local.n_ports, index + 1, sizeof(uint32_t))
        before = self.hot.local.ofports[index]
        if before == ofport:
            return
        if before and self.hot.ports[before] == index:
            self.hot.ports[before] = NONE
        self.hot.local.ofports[index] = ofport
        if ofport:
            self.hot.ports[ofport] = index
            self.places[self.topology.topo.ports[index].tag] = index
        if index >= self.shares.room:
            share_set(&self.shares, index, 0, 0)
        self.stale.add(self.topology.topo.ports[index].tag)

    def limit(self, str port, double rate, double burst):
        share_set(&self.shares, self.topology.names.port_index(port), rate, burst)

    # --- packets

    def receive(self, data, nsec_t now_ns):
        cdef Py_buffer view
        slow = []
        self.refresh(now_ns)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)  # a typed memoryview costs more than parsing
        try:
            at = self.read(<const uint8_t*>view.buf, view.len, slow, now_ns)
        finally:
            PyBuffer_Release(&view)
        return self.received(at, slow)

    cdef uint64_t read(
        self, const uint8_t* data, uint64_t len_bytes, list slow, nsec_t now,
    ) except? 0xffffffffffffffff:
        cdef uint64_t at = 0
        cdef uint32_t message_bytes
        while at < len_bytes:
            with nogil:
                at += self.answer(data + at, len_bytes - at, now)
            message_bytes = message_len(data + at, len_bytes - at) if at < len_bytes else 0
            if message_bytes == 0:
                break
            slow.append(data[at:at + message_bytes])
            at += message_bytes
        return at

    def inject(self, bytes packet, str in_port, nsec_t now_ns):
        return self.again(packet, in_port, now_ns, False)

    def unreachable(self, bytes packet, str in_port, nsec_t now_ns):
        return self.again(packet, in_port, now_ns, True)

    def solicit(self, str port, str address, nsec_t now_ns):
        cdef bytes ip = ip_address(address).packed
        cdef uint8_t[16] padded
        memset(padded, 0, 16)
        for i, octet in enumerate(ip):
            padded[i] = octet
        self.refresh(now_ns)
        solicit(self.hot.topo, self.topology.names.port_index(port), 4 if len(ip) == 4 else 6,
                padded, &self.hot.verdict, now_ns, self.hot.seed)
        hot_emit(self.hot)
        return self.received(0, [])

    def advertise(self, str port, nsec_t now_ns):
        self.refresh(now_ns)
        advertise(self.hot.topo, self.topology.names.port_index(port), &self.hot.verdict, now_ns,
                  self.hot.seed)
        hot_emit(self.hot)
        return self.received(0, [])

    cdef uint64_t answer(
        self, const uint8_t* data, uint64_t len_bytes, nsec_t now,
    ) except? 0xffffffffffffffff nogil:
        """Take packet-ins and answers about flows at the beginning; how many bytes they were."""
        cdef uint64_t at = 0
        cdef uint32_t message_bytes
        cdef PacketIn packet_in
        while at < len_bytes:
            message_bytes = message_len(data + at, len_bytes - at)
            if message_bytes == 0:
                break
            if data[at + 1] == OFPT_PACKET_IN:
                self.hot.counts[<int>N_PACKET_INS] += 1
                if read_packet_in(&packet_in, data + at, message_bytes):
                    self.answer_one(&packet_in, now)
                else:
                    self.hot.counts[<int>N_MALFORMED] += 1
            elif is_flow_stats(data + at, message_bytes) and get32(data + at + 4) == POLL_XID:
                polling_answered(&self.polling, self.hot, data + at, message_bytes, now)
            elif not is_bundle_reply(data + at, message_bytes):
                break
            at += message_bytes
        return at

    cdef int answer_one(self, const PacketIn* packet_in, nsec_t now) except -1 nogil:
        cdef Packet pkt
        cdef idx_t port = NONE
        if packet_in.ofport < OFPORTS:
            port = self.hot.ports[packet_in.ofport]
        if port == NONE:
            self.hot.counts[<int>N_UNKNOWN_PORT] += 1
            return 0
        if not share_take(&self.shares, port, now):
            return self.refuse(port, now)
        if parse(&pkt, packet_in.data, packet_in.len_bytes, port):
            self.hot.counts[<int>N_MALFORMED] += 1
            return 0
        if packet_in.reason == OFPR_INVALID_TTL:  # see translate.pyx, 2
            pkt.key.ip_ttl += <uint8_t>packet_in.metadata
        simulate(self.hot.topo, self.hot.keeper.table, &pkt, &self.hot.verdict, now, self.hot.seed)
        if self.hot.verdict.is_early and packet_in.reason != OFPR_INVALID_TTL and early_keep(
            &self.earlies, self.hot.keeper.table, &self.hot.verdict, &pkt, now
        ):
            self.hot.counts[<int>N_EARLY] += 1
            return 0
        return self.obey(&pkt, packet_in.ofport, now)

    cdef object again(self, bytes packet, str in_port, nsec_t now, bint gives_up):
        cdef Packet pkt
        cdef idx_t port = self.topology.names.port_index(in_port)
        self.refresh(now)
        reason = parse(&pkt, packet, <uint32_t>len(packet), port)
        if reason:
            raise ValueError(MALFORMED[reason])
        if gives_up:
            unreachable(self.hot.topo, self.hot.keeper.table, &pkt, &self.hot.verdict, now,
                        self.hot.seed)
        else:
            simulate(self.hot.topo, self.hot.keeper.table, &pkt, &self.hot.verdict, now,
                     self.hot.seed)
        self.obey(&pkt, ofport_of(&self.hot.local, port), now)
        return self.received(0, [])

    def reconsider(self, nsec_t now_ns):
        cdef uint32_t i
        self.refresh(now_ns)
        with nogil:
            for i in range(self.earlies.count):
                self.look_again(early_at(&self.earlies, i), now_ns)
        early_trim(&self.earlies)
        return self.received(0, [])

    cdef int look_again(self, Early* early, nsec_t now) except -1 nogil:
        cdef Packet pkt
        cdef const Verdict* verdict = &self.hot.verdict
        if not early_is_due(early, self.hot.keeper.table, now):
            return 0
        parse(&pkt, early.data, early.len_bytes, early.in_port)
        simulate(self.hot.topo, self.hot.keeper.table, &pkt, &self.hot.verdict, now, self.hot.seed)
        if verdict.is_early and early.until > now:
            early_note(early, self.hot.keeper.table, verdict, now)
            return 0
        self.hot.counts[<int>N_EARLY_FORWARDED] += verdict.kind == FORWARD
        self.obey(&pkt, ofport_of(&self.hot.local, early.in_port), now)
        early_done(&self.earlies, early)
        return 0

    cdef int obey(self, const Packet* pkt, uint32_t ofport, nsec_t now) except -1 nogil:
        hot_obey(self.hot, ofport, pkt.data, pkt.len_bytes, now)
        expect_answer(self.hot, now)
        if (
            self.hot.verdict.learn_bridge != NONE or self.hot.verdict.n_neighbors
            or self.hot.verdict.kind == AWAIT or self.hot.verdict.kind == LOOP
            or self.hot.verdict.reason == R_NO_NAT_PORT
        ):
            with gil:
                self.tell(pkt, now)
        return 0

    cdef int refuse(self, idx_t port, nsec_t now) except -1 nogil:
        self.hot.counts[<int>N_REFUSED] += 1
        if share_tell(&self.shares, port, now):
            with gil:
                self.effects.append(PacketRefused(self.topology.names.ports[port], "too many"))
        return 0

    # --- effects

    cdef int tell(self, const Packet* pkt, nsec_t now) except -1:
        cdef uint32_t kind = self.hot.verdict.kind
        in_port = self.topology.names.ports[pkt.key.in_port]
        if kind == LOOP and share_tell(&self.shares, pkt.key.in_port, now):
            self.effects.append(PacketRefused(in_port, "loop"))
        if self.hot.verdict.reason == R_NO_NAT_PORT and share_tell(
            &self.shares, pkt.key.in_port, now
        ):
            self.effects.append(PacketRefused(in_port, REASONS[R_NO_NAT_PORT]))
        if kind == AWAIT:
            self.effects.append(NeighborWanted(
                self.topology.names.ports[self.hot.verdict.await_port],
                address_text(self.hot.verdict.await_ip, self.hot.verdict.await_family),
                pkt.data[:pkt.len_bytes],
                in_port,
            ))
        for effect in self.learned():
            self.effects.append(effect)
            for tag in self.topology.learn(effect):
                hot_review_tag(self.hot, tag, now)
        return 0

    cdef list learned(self):
        cdef uint32_t i
        cdef const Seen* seen
        found = []
        if self.hot.verdict.learn_bridge != NONE:
            found.append(MacLearned(
                self.topology.names.devices[self.hot.verdict.learn_bridge],
                self.hot.verdict.learn_vlan,
                self.hot.verdict.learn_mac[:6].hex(":"),
                self.topology.names.ports[self.hot.verdict.learn_port],
            ))
        for i in range(self.hot.verdict.n_neighbors):
            seen = &self.hot.verdict.neighbors[i]
            found.append(NeighborLearned(
                self.topology.names.ports[seen.port], address_text(seen.ip, seen.family),
                seen.mac[:6].hex(":"),
            ))
        return found

    # --- flows

    def invalidate(self, tags, nsec_t now_ns):
        self.refresh(now_ns)
        for tag in set(tags):
            hot_review_tag(self.hot, tag, now_ns)
        return self.take_out()

    def adopt(self, stats_reply, nsec_t now_ns):
        self.refresh(now_ns)
        self.adopt_each(stats_reply, now_ns)
        return self.take_out()

    def uses(self, tag: int) -> bool:
        return flows_have_tag(&self.hot.flows, tag)

    def forget(self):
        flows_clear(&self.hot.flows)
        flows_init(&self.hot.flows, self.max_flows, self.hot.seed)
        polling_restart(&self.polling)
        self.stale.clear()
        self.all_stale = False

    def stats_request(self, xid: int, slice: int, slices: int):
        if slices < 1 or slices & (slices - 1) or not 0 <= slice < slices:
            raise ValueError(f"slice {slice} of {slices}: not one of a power of two")
        return openflow.flow_stats_request(
            xid, openflow.DYNAMIC | slice, openflow.CLASS_MASK | (slices - 1)
        )

    def go_on(self, nsec_t now_ns):
        self.refresh(now_ns)
        with nogil:
            hot_forget(self.hot, now_ns)
            polling_go_on(&self.polling, self.hot, now_ns)
        return self.take_out()

    def merge(self, message, nsec_t now_ns, *, expects=True):
        cdef const uint8_t[::1] view = message
        self.refresh(now_ns)
        if view.shape[0]:
            hot_merge(self.hot, &view[0], view.shape[0], now_ns)
            if expects:
                self.expect_answers(&view[0], view.shape[0], now_ns)
        return self.take_out()

    cdef int expect_answers(
        self, const uint8_t* message, uint64_t len_bytes, nsec_t now,
    ) except -1:
        cdef Expected expected
        cdef uint64_t at = expected_next(&expected, message, len_bytes, 0)
        while at:
            place = self.places.get(expected.port)
            if place is not None:
                expected.key.in_port = place
                expect(self.hot, &expected.key, now)
            at = expected_next(&expected, message, len_bytes, at)
        return 0

    cdef int adopt_each(self, data, nsec_t now) except -1:
        cdef const uint8_t[::1] view = data
        cdef uint64_t at = 0
        cdef uint32_t message_bytes
        while at < <uint64_t>view.shape[0]:
            message_bytes = message_len(&view[at], view.shape[0] - at)
            if message_bytes == 0:
                raise ValueError("the last message is cut off")
            if is_flow_stats(&view[at], message_bytes):
                with nogil:
                    self.adopt_from(&view[at], message_bytes, now)
            at += message_bytes
        return 0

    cdef int adopt_from(
        self, const uint8_t* msg, uint32_t len_bytes, nsec_t now,
    ) except -1 nogil:
        cdef FlowStat stat
        cdef uint32_t at = read_flow_stat(&stat, msg, len_bytes, STATS_BEGIN)
        while at:
            if stat.cookie >> 62 == 2:
                hot_adopt(self.hot, &stat, now)
            at = read_flow_stat(&stat, msg, len_bytes, at)
        return 0

    cdef int refresh(self, nsec_t now) except -1:
        """Put right what changed port numbers, or lengths, made stale."""
        if self.hot.limits_mark != self.hot.topo.limits_mark:
            hot_forget_lengths(self.hot)
        if self.all_stale:
            hot_review_all(self.hot, now)
        if self.stale:
            for tag in self.stale:
                hot_review_tag(self.hot, tag, now)
            self.stale.clear()
        self.all_stale = False
        return 0

    # --- what comes out

    cdef object received(self, uint64_t consumed, list slow):
        effects, self.effects = self.effects, []
        # as Received(...) does in the end
        return tuple_new(Received, (consumed, self.take_out(), slow, effects, self.state_out()))

    def take_state(self):
        return self.state_out()

    cdef list state_out(self):
        cdef uint32_t host
        cdef Buffer* message
        cdef list hosts
        found = []
        if not self.hot.keeper.waiting:
            return found
        hosts = self.topology.names.hosts
        for host in range(self.hot.keeper.n_messages):
            message = &self.hot.keeper.messages[host]
            if message.len_bytes:
                found.append((hosts[host], message.data[:message.len_bytes]))
                message.len_bytes = 0
        self.hot.keeper.waiting = 0
        return found

    cdef bytes take_out(self):
        cdef Buffer* out = &self.hot.out
        if self.bundle_from and put_bundled(
            &self.bundled, out.data, out.len_bytes, self.bundle_from, self.n_bundles
        ):
            self.n_bundles += 1
            out.len_bytes = 0
            out = &self.bundled
        found = out.data[:out.len_bytes] if out.len_bytes else b""
        out.len_bytes = 0
        return found

    @property
    def counters(self):
        found = {name: self.hot.counts[i] for i, name in enumerate(COUNTS)}
        for i, words in enumerate(REASONS):
            if i < N_REASONS and self.hot.reasons[i]:
                found[f"stopped: {words}"] = self.hot.reasons[i]
        for name, count in self.states.counters.items():
            found[f"state_{name}"] = count
        found["state_told"] = self.hot.keeper.n_told
        return found

    @property
    def flow_count(self):
        return self.hot.flows.count

    # --- questions

    def installed(self, cookies, nsec_t now_ns):
        found = [installed_at(self.hot, <uint32_t>(cookie & 0xffffffff), now_ns)
                 for cookie in cookies]
        return [flow for flow in found if flow is not None]

    @property
    def room(self):
        return self.hot.flows.room

    def proposed(self, bytes packet, str in_port, nsec_t now_ns):
        return proposed(self.hot, packet, self.topology.names.port_index(in_port), now_ns)


cdef str address_text(const uint8_t* ip, uint8_t family):
    return str(ip_address(ip[:4 if family == 4 else 16]))
