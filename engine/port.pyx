"""Ports: where a packet enters a device and leaves it.

Ingress: (1) the port is active, (2) the packet is not in a loop, (3) what a machine asks about
itself is answered, (4) the port's filters, (5) the device. Egress: (1) the port is active, (2) its
filters, (3) the peer's ingress, or out of the network.
"""

from onehop.engine.bridge cimport at_bridge
from onehop.engine.cdefs cimport MAX_DEVICES, MAX_EMITTED, NONE
from onehop.engine.filter cimport GO_ON, enter_port, leave_port
from onehop.engine.packet cimport parse
from onehop.engine.render cimport render
from onehop.engine.router cimport at_router
from onehop.engine.serve cimport asks, serve
from onehop.engine.topology cimport DEVICE_BRIDGE, Port
from onehop.engine.verdict cimport (
    AWAIT, CONSUMED, DROP, FORWARD, LOOP, R_LOOP, R_PORT_DOWN, R_TOO_LONG, Emitted, Verdict,
)
from onehop.engine.walk cimport (
    S_ENTERS, S_LEAVES, S_OUTPUT, add_output, add_tag, begin_crafted, decide, settle, tell,
)


cdef int enter(Walk* walk, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef int kind
    add_tag(walk, port.tag)
    tell(walk, S_ENTERS, port.device, index, 0, NULL, 0)
    if not port.active:
        return decide(walk, DROP, R_PORT_DOWN)
    if walk.n_passed == MAX_DEVICES:
        return decide(walk, LOOP, R_LOOP)
    walk.in_port = index
    walk.came = walk.pkt
    walk.is_diverted = 0
    if (port.lease4 != NULL or port.lease6 != NULL) and asks(walk, port):
        return serve(walk, index)
    kind = enter_port(walk, index)
    if kind != GO_ON:
        return kind
    walk.passed[walk.n_passed] = port.device
    walk.n_passed += 1
    add_tag(walk, walk.topo.devices[port.device].tag)
    if walk.topo.devices[port.device].kind == DEVICE_BRIDGE:
        return at_bridge(walk, port.device, index)
    return at_router(walk, port.device, index)


cdef int leave(Walk* walk, idx_t index) noexcept nogil:
    cdef const Port* port = &walk.topo.ports[index]
    cdef int kind
    add_tag(walk, port.tag)
    if not port.active:
        tell(walk, S_LEAVES, port.device, index, 0, NULL, 0)
        return decide(walk, DROP, R_PORT_DOWN)
    kind = leave_port(walk, index)
    if kind != GO_ON:
        return kind
    if port.peer != NONE:
        tell(walk, S_LEAVES, port.device, index, 0, NULL, 0)
        return enter(walk, port.peer)
    tell(walk, S_OUTPUT, port.device, index, 0, NULL, 0)
    if not settle(walk) or not add_output(walk, index):
        return decide(walk, DROP, R_TOO_LONG)
    return FORWARD


cdef int emit(Walk* walk, idx_t index, uint32_t len_bytes) noexcept nogil:
    """CONSUMED, or AWAIT where the crafted packet itself lacks a next hop's MAC."""
    cdef Verdict* out = walk.out
    cdef uint32_t slot = out.n_emitted
    cdef Walk inner
    cdef int kind
    if len_bytes == 0 or slot == MAX_EMITTED:
        return CONSUMED
    out.emitted[slot].off = out.crafted_len
    out.emitted[slot].len_bytes = len_bytes
    out.crafted_len += len_bytes
    if parse(&inner.pkt, out.crafted + out.emitted[slot].off, len_bytes, index) != 0:
        return CONSUMED
    begin_crafted(&inner, walk, slot)
    out.n_emitted += 1
    kind = leave(&inner, index)
    if out.emitted[slot].n_actions and finish_bytes(&inner, &out.emitted[slot]):
        return CONSUMED
    withdraw(out, slot)
    return AWAIT if kind == AWAIT else CONSUMED


cdef bint finish_bytes(Walk* inner, Emitted* emitted) noexcept nogil:
    """Write the crafted packet anew where it changed on its way."""
    cdef Verdict* out = inner.out
    if not inner.eth_rewritten and not inner.changed:
        return True
    emitted.len_bytes = render(
        &inner.pkt, out.crafted + out.crafted_len, sizeof(out.crafted) - out.crafted_len)
    emitted.off = out.crafted_len
    out.crafted_len += emitted.len_bytes
    return emitted.len_bytes > 0


cdef void withdraw(Verdict* out, uint32_t slot) noexcept nogil:
    """Take out one packet; those that were crafted on its way close the gap."""
    cdef uint32_t i
    out.n_emitted -= 1
    for i in range(slot, out.n_emitted):
        out.emitted[i] = out.emitted[i + 1]
