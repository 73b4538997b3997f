"""The table of flows as a library, many keys at a time. No other part uses it: cover.pxd, 5."""

import numpy

from onehop.engine.cdefs cimport NONE, uint8_t, uint32_t, uint64_t
from onehop.engine.cover cimport (
    Cover, cover_add, cover_clear, cover_find, cover_init, cover_remove,
)
from onehop.engine.flows cimport (
    Flows, flows_add, flows_clear, flows_find, flows_init, flows_remove,
)
from onehop.engine.oxm cimport hide
from onehop.engine.packet cimport FlowKey

KEY_BYTES = sizeof(FlowKey)
NOWHERE = <uint32_t>NONE


cdef class Table:
    cdef Flows flows
    cdef Cover flows_cover

    def __init__(self, uint32_t max_flows, *, uint64_t seed=0):
        flows_clear(&self.flows)
        cover_clear(&self.flows_cover)
        flows_init(&self.flows, max_flows, seed)
        cover_init(&self.flows_cover)

    def __dealloc__(self):
        flows_clear(&self.flows)
        cover_clear(&self.flows_cover)

    def add(self, keys, masks):
        cdef const uint8_t[:, ::1] given = rows(keys)
        cdef const uint8_t[:, ::1] seen = rows(masks)
        cdef uint64_t i, n = min(given.shape[0], seen.shape[0])
        cdef uint32_t flow
        cdef FlowKey key, mask
        numbers = numpy.empty(n, numpy.uint32)
        cdef uint32_t[::1] out = numbers
        for i in range(n):
            key, mask = (<const FlowKey*>&given[i, 0])[0], (<const FlowKey*>&seen[i, 0])[0]
            hide(&key, &mask)
            flow = flows_find(&self.flows, &key, &mask)
            out[i] = flow if flow != NONE else self.add_one(&key, &mask)
        return numbers

    cdef uint32_t add_one(self, const FlowKey* key, const FlowKey* mask) except? 0xfffffffe:
        cdef uint32_t flow = flows_add(&self.flows, key, mask, 0, 0, 0)
        if flow != NONE:
            cover_add(&self.flows_cover, &self.flows, flow)
        return flow

    def remove(self, flows):
        cdef uint32_t flow
        for flow in flows:
            if flow < self.flows.room and self.flows.slots[flow].in_use:
                flows_remove(&self.flows, flow)
                cover_remove(&self.flows_cover, &self.flows, flow)

    def cover(self, keys):
        cdef const uint8_t[:, ::1] given = rows(keys)
        cdef uint32_t n = <uint32_t>given.shape[0]
        numbers = numpy.empty(n, numpy.uint32)
        masks = numpy.zeros((n, KEY_BYTES), numpy.uint8)
        cdef uint32_t[::1] out = numbers
        cdef uint8_t[:, ::1] consulted = masks
        if n:
            with nogil:
                cover_find(&self.flows_cover, &self.flows, <const FlowKey*>&given[0, 0], n,
                           &out[0], <FlowKey*>&consulted[0, 0])
        return numbers, masks


def rows(keys):
    """At addresses that are good for words."""
    found = numpy.require(keys, numpy.uint8, ("C", "A"))
    if found.ndim != 2 or found.shape[1] != KEY_BYTES:
        raise ValueError(f"not an array of {KEY_BYTES} bytes a row")
    return found
