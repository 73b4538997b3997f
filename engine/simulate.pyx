"""The walk of one packet: its beginning and its end; and the same as Python sees it."""

from ipaddress import ip_address

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from onehop.engine.cdefs cimport NONE, uint16_t, uint32_t
from onehop.engine.known cimport PLACE_IS_PORT
from onehop.engine.names cimport Names, mac_tag, neighbor_tag
from onehop.engine.neighbor cimport ask
from onehop.engine.packet cimport IP_UDP, match_view, parse
from onehop.engine.port cimport enter
from onehop.engine.render cimport render
from onehop.engine.serve cimport advertise_to
from onehop.engine.state cimport TCP_ACK, TCP_SYN, StateEntry
from onehop.engine.states cimport States, entry_view
from onehop.engine.topology cimport Topology
from onehop.engine.verdict cimport (
    A_DEC_TTL, A_FLOOD, A_OUTPUT, A_POP_VLAN, A_SET_ETH_DST, A_SET_ETH_SRC, A_SET_IP_DST,
    A_SET_IP_SRC, A_SET_TP_DST, A_SET_TP_SRC, A_SET_VLAN, AWAIT, CONSUMED, DROP, FORWARD, LOOP,
    R_BLACKHOLE, R_FILTERED, R_GUARDED, R_LOCAL, R_NO_ROUTE, R_REFUSED, R_REJECT, R_STATE_FULL,
    R_TOO_LONG, Action, Emitted, Used,
)
from onehop.engine.walk cimport S_RULE, S_TAG_MAC, S_TAG_NEIGHBOR, Step, Trace, Walk, begin

from onehop.engine import explain
from onehop.engine.effects import MacLearned, NeighborLearned, NeighborWanted
from onehop.engine.packet import MALFORMED, rewrite
from onehop.engine.verdict import REASONS

KINDS = {DROP: "drop", FORWARD: "forward", CONSUMED: "consumed", AWAIT: "await", LOOP: "loop"}
MAC_ACTIONS = {A_SET_ETH_SRC: "set_eth_src", A_SET_ETH_DST: "set_eth_dst"}
IP_ACTIONS = {A_SET_IP_SRC: "set_ip_src", A_SET_IP_DST: "set_ip_dst"}
PLAIN_ACTIONS = {
    A_SET_VLAN: "set_vlan", A_POP_VLAN: "pop_vlan", A_DEC_TTL: "dec_ttl",
    A_SET_TP_SRC: "set_tp_src", A_SET_TP_DST: "set_tp_dst",
}


cdef void simulate(
    const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out, nsec_t now,
    uint64_t seed,
) noexcept nogil:
    run(topo, state, pkt, out, now, seed, False, NULL)


cdef void unreachable(
    const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out, nsec_t now,
    uint64_t seed,
) noexcept nogil:
    run(topo, state, pkt, out, now, seed, True, NULL)


cdef void solicit(
    const Topo* topo, idx_t port, uint8_t family, const uint8_t* ip, Verdict* out,
    nsec_t now, uint64_t seed,
) noexcept nogil:
    cdef Walk walk
    cdef Packet nothing
    memset(&nothing, 0, sizeof(Packet))
    nothing.key.in_port = NONE
    begin(&walk, topo, NULL, &nothing, out, now, seed)
    if port < topo.n_ports and topo.ports[port].active:
        ask(&walk, port, family, ip)
    out.kind = CONSUMED
    out.cacheable = 0


cdef void advertise(
    const Topo* topo, idx_t port, Verdict* out, nsec_t now, uint64_t seed,
) noexcept nogil:
    cdef Walk walk
    cdef Packet nothing
    memset(&nothing, 0, sizeof(Packet))
    nothing.key.in_port = NONE
    begin(&walk, topo, NULL, &nothing, out, now, seed)
    if port < topo.n_ports and topo.ports[port].active and topo.ports[port].lease6 != NULL:
        advertise_to(&walk, port, NULL, NULL)
    out.kind = CONSUMED
    out.cacheable = 0


cdef void run(
    const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out, nsec_t now,
    uint64_t seed, bint gives_up, Trace* trace,
) noexcept nogil:
    cdef Walk walk
    begin(&walk, topo, state, pkt, out, now, seed)
    walk.gives_up = gives_up
    walk.trace = trace
    out.kind = DROP
    if pkt.key.in_port < topo.n_ports:
        out.kind = <uint8_t>enter(&walk, pkt.key.in_port)
    finish(&walk)


cdef void finish(Walk* walk) noexcept nogil:
    """Only what is forwarded has actions; only what holds for others too is cacheable."""
    cdef Verdict* out = walk.out
    if out.kind == FORWARD and not finish_bytes(walk):
        out.kind, out.reason, out.cacheable = DROP, R_TOO_LONG, 0
    if out.kind != FORWARD:
        out.n_actions = 0
    if out.kind == CONSUMED or out.kind == AWAIT or out.kind == LOOP:
        out.cacheable = 0
    if walk.pkt.data == NULL and (
        out.learn_bridge != NONE or out.n_neighbors or (out.kind == FORWARD and out.n_created)
    ):
        out.cacheable = 0
    out.is_early = is_early(walk)
    finish_state(out)


cdef bint finish_bytes(Walk* walk) noexcept nogil:
    """What no action can write is written into the bytes that are sent."""
    cdef Verdict* out = walk.out
    cdef Packet sent
    cdef uint32_t room = sizeof(out.crafted) - out.crafted_len
    if walk.is_edited:
        out.sent_off = <uint32_t>(walk.pkt.data - out.crafted)
        out.sent_bytes = walk.pkt.len_bytes
        return True
    if not walk.pkt.has_echo_id or walk.pkt.echo_id == walk.echo_id:
        return True
    sent = walk.pkt
    sent.key = out.key
    out.sent_off = out.crafted_len
    out.sent_bytes = render(&sent, out.crafted + out.crafted_len, room)
    out.crafted_len += out.sent_bytes
    return out.sent_bytes > 0


cdef bint is_early(const Walk* walk) noexcept nogil:
    """Where it was stopped, a connection was looked for that is not known; or it answers
    something, and a connection would begin with it."""
    cdef const Verdict* out = walk.out
    if out.kind == FORWARD:
        return out.n_created and not out.n_used and (
            out.key.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK
            or walk.is_answering and walk.pkt.key.ip_proto == IP_UDP)
    if out.kind != DROP and out.kind != CONSUMED or walk.missed_at != walk.n_passed + 1:
        return False
    return (
        out.reason == R_FILTERED or out.reason == R_GUARDED or out.reason == R_REFUSED
        or out.reason == R_LOCAL or out.reason == R_BLACKHOLE or out.reason == R_REJECT
        or out.reason == R_NO_ROUTE)


cdef void finish_state(Verdict* out) noexcept nogil:
    """Only what is forwarded opens connections, and what changes a connection is looked at."""
    if out.key.tcp_flags & out.mask.tcp_flags:
        out.cacheable = 0
    if out.is_overfull and out.kind == FORWARD:
        out.kind, out.reason, out.n_actions, out.cacheable = DROP, R_STATE_FULL, 0, 0
    if out.kind != FORWARD:
        out.n_created = out.n_used = 0


# --- as Python sees it

class Simulator:
    def __init__(self, topology, *, seed=0, states=None):
        self.topology = topology
        self.seed = seed
        self.states = States(1024) if states is None else states

    def simulate(self, packet, in_port, now_ns=0):
        return simulated(self.topology, self.states, packet, in_port, now_ns, self.seed, False)

    def unreachable(self, packet, in_port, now_ns=0):
        return simulated(self.topology, self.states, packet, in_port, now_ns, self.seed, True)

    def repeat(self, packet, in_port, times):
        repeat(self.topology, packet, in_port, times, self.seed)

    def apply(self, verdict, now_ns=0):
        for entry in verdict.created:
            self.states.insert(entry, now_ns)
        for entry in verdict.used:
            self.states.touch(entry, now_ns)
        return sorted({tag for learned in verdict.learned for tag in self.topology.learn(learned)})


cdef int repeat(
    Topology topology, bytes packet, str in_port, uint32_t times, uint64_t seed,
) except -1:
    cdef Packet pkt
    cdef const uint8_t* data = packet
    cdef uint32_t len_bytes = <uint32_t>len(packet)
    cdef idx_t index = topology.names.port_index(in_port)
    cdef Verdict* out = <Verdict*>malloc(sizeof(Verdict))
    cdef uint32_t _i
    if out == NULL:
        raise MemoryError
    with nogil:
        for _i in range(times):
            if parse(&pkt, data, len_bytes, index) == 0:
                simulate(topology.topo, NULL, &pkt, out, 0, seed)
    free(out)
    return 0


cdef object simulated(
    Topology topology, States states, bytes packet, str in_port, nsec_t now, uint64_t seed,
    bint gives_up,
):
    cdef Packet pkt
    cdef Verdict* out = <Verdict*>malloc(sizeof(Verdict))
    cdef Trace* trace = <Trace*>malloc(sizeof(Trace))
    cdef int malformed
    try:
        if out == NULL or trace == NULL:
            raise MemoryError
        trace.n_steps = 0
        index = topology.names.ports.index(in_port) if in_port in topology.names.ports else None
        if index is None:
            raise KeyError(in_port)
        malformed = parse(&pkt, packet, <uint32_t>len(packet), index)
        if malformed:
            raise ValueError(MALFORMED[malformed])
        run(topology.topo, &states.table, &pkt, out, now, seed, gives_up, trace)
        return verdict_view(topology, out, trace, packet, in_port)
    finally:
        free(out)
        free(trace)


cdef object verdict_view(
    Topology topology, const Verdict* out, const Trace* trace, bytes packet, str in_port,
):
    actions = actions_view(topology, out.actions, out.n_actions)
    sent = packet
    if out.sent_bytes:
        sent = (out.crafted + out.sent_off)[:out.sent_bytes]
    emitted = tuple(emitted_view(topology, out, &out.emitted[i]) for i in range(out.n_emitted))
    return explain.Verdict(
        kind=KINDS[out.kind],
        reason=REASONS[out.reason],
        cacheable=bool(out.cacheable),
        in_port=in_port,
        match={
            name: (number(name, value), number(name, mask))
            for name, (value, mask) in match_view(&out.key, &out.mask).items()
        },
        actions=actions,
        outputs=outputs_view(topology, sent, actions),
        emitted=emitted,
        emitted_outputs=tuple(
            output for sent in emitted
            for output in outputs_view(topology, sent.packet, sent.actions)),
        learned=learned_view(topology, out),
        awaited=awaited_view(topology, out, packet, in_port),
        created=tuple(entry_view(&out.created[i]) for i in range(out.n_created)),
        used=tuple(used_view(&out.used[i]) for i in range(out.n_used)),
        tags=tags_view(topology, out, trace),
        tag_ids=tuple(out.tags[i] for i in range(out.n_tags)),
        steps=steps_view(topology, trace),
    )


cdef object number(str name, value):
    if isinstance(value, int):
        return value
    if name.startswith("eth_"):
        return int(value.replace(":", ""), 16)
    return int(ip_address(value))


cdef tuple actions_view(Topology topology, const Action* actions, uint32_t n):
    return tuple(action_view(topology, &actions[i]) for i in range(n))


cdef object action_view(Topology topology, const Action* action):
    kind = action.kind
    if kind == A_OUTPUT:
        return explain.Action("output", topology.names.ports[action.value])
    if kind == A_FLOOD:
        but = "" if action.except_port == NONE else topology.names.ports[action.except_port]
        host = "" if action.host == NONE else topology.names.hosts[action.host]
        return explain.Action("flood", topology.names.devices[action.value], but, host)
    if kind in MAC_ACTIONS:
        return explain.Action(MAC_ACTIONS[kind], action.mac[:6].hex(":"))
    if kind in IP_ACTIONS:
        return explain.Action(IP_ACTIONS[kind], address_text(action.ip, action.value))
    return explain.Action(PLAIN_ACTIONS[kind], action.value)


cdef object emitted_view(Topology topology, const Verdict* out, const Emitted* emitted):
    return explain.Emitted(
        (out.crafted + emitted.off)[:emitted.len_bytes],
        actions_view(topology, emitted.actions, emitted.n_actions))


cdef tuple outputs_view(Topology topology, bytes packet, tuple actions):
    """Where the packet leaves, and as what: the rewrites before each output."""
    outputs, changes = [], []
    for action in actions:
        if action.action not in ("output", "flood"):
            changes.append({"action": action.action, "value": action.value})
            continue
        ports = [action.value] if action.action == "output" else flooded(topology, action)
        sent = rewrite(packet, changes)
        outputs += [explain.Output(port, sent) for port in ports]
    return tuple(outputs)


cdef list flooded(Topology topology, action):
    cdef idx_t bridge = topology.names.device_index(action.value)
    ports = [
        topology.names.ports[topology.topo.devices[bridge].exterior[i]]
        for i in range(topology.topo.devices[bridge].n_exterior)
        if not action.host or topology.names.host_index(action.host) == (
            topology.topo.ports[topology.topo.devices[bridge].exterior[i]].host)
    ]
    return [port for port in ports if port != action.except_port]


cdef tuple learned_view(Topology topology, const Verdict* out):
    found = []
    if out.learn_bridge != NONE:
        found.append(MacLearned(
            topology.names.devices[out.learn_bridge], out.learn_vlan,
            out.learn_mac[:6].hex(":"), topology.names.ports[out.learn_port]))
    for i in range(out.n_neighbors):
        found.append(NeighborLearned(
            topology.names.ports[out.neighbors[i].port],
            address_text(out.neighbors[i].ip, out.neighbors[i].family),
            out.neighbors[i].mac[:6].hex(":")))
    return tuple(found)


cdef object awaited_view(Topology topology, const Verdict* out, bytes packet, str in_port):
    if out.await_port == NONE:
        return None
    address = address_text(out.await_ip, out.await_family)
    return NeighborWanted(topology.names.ports[out.await_port], address, packet, in_port)


cdef str address_text(const uint8_t* ip, uint32_t family):
    return str(ip_address(ip[:4] if family == 4 else ip[:16]))


cdef object used_view(const Used* used):
    cdef StateEntry entry
    memset(&entry, 0, sizeof(StateEntry))
    entry.key = used.key
    return entry_view(&entry)


cdef tuple tags_view(Topology topology, const Verdict* out, const Trace* trace):
    """Those of looked-up addresses are named by the walk: the entry may be missing."""
    names = {}
    for i in range(trace.n_steps):
        note_tag(topology, &trace.steps[i], names)
    return tuple(
        names[out.tags[i]] if out.tags[i] in names else topology.names.of_tag(out.tags[i])
        for i in range(out.n_tags))


cdef int note_tag(Topology topology, const Step* step, dict names) except -1:
    cdef uint32_t place = step.device
    if step.code == S_TAG_MAC:
        tag = mac_tag(&topology.topo.devices[place], <uint16_t>step.value, step.bytes)
        vlan = "" if step.value == 0xffff else f" {step.value}"
        names[tag] = f"mac {topology.names.devices[place]}{vlan} {step.bytes[:6].hex(':')}"
    elif step.code == S_TAG_NEIGHBOR:
        if place == NONE:
            place = step.port | <uint32_t>PLACE_IS_PORT
        tag = neighbor_tag(topology.topo, place, step.bytes)
        names[tag] = (
            f"neighbor {(<Names>topology.names).place_name(place)} "
            f"{address_text(step.bytes, step.value)}")
    return 0


cdef tuple steps_view(Topology topology, const Trace* trace):
    lines = []
    for i in range(trace.n_steps):
        line = step_view(topology, &trace.steps[i])
        if line:
            lines.append(line)
    return tuple(lines)


cdef str step_view(Topology topology, const Step* step):
    return explain.step_in_words(
        step.code, bool(step.is_crafted),
        "" if step.device == NONE else topology.names.devices[step.device],
        "" if step.port == NONE else topology.names.ports[step.port],
        step.value, step.bytes[:16], chain_name(topology, step))


cdef str chain_name(Topology topology, const Step* step):
    return topology.names.chains[(<const uint32_t*>step.bytes)[0]] if step.code == S_RULE else ""
