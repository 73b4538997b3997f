"""The table of flows as a library, many keys at a time. No other part uses it: cover.pxd, 4."""

import numpy

from onehop.engine.cdefs cimport NONE, uint8_t, uint32_t, uint64_t
from onehop.engine.cover cimport flows_cover, flows_cover_many
from onehop.engine.flows cimport (
    Flows, flows_add, flows_clear, flows_find, flows_init, flows_remove,
)
from onehop.engine.oxm cimport hide
from onehop.engine.packet cimport FlowKey

KEY_BYTES = sizeof(FlowKey)
NOWHERE = <uint32_t>NONE


cdef class Table:
    cdef Flows flows

    def __init__(self, uint32_t max_flows, *, uint64_t seed=0):
        flows_clear(&self.flows)
        flows_init(&self.flows, max_flows, seed)

    def __dealloc__(self):
        flows_clear(&self.flows)

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
            out[i] = flow if flow != NONE else flows_add(&self.flows, &key, &mask, 0, 0, 0)
        return numbers

    def remove(self, flows):
        cdef uint32_t flow
        for flow in flows:
            if flow < self.flows.room and self.flows.slots[flow].in_use:
                flows_remove(&self.flows, flow)

    def cover(self, keys):
        cdef const uint8_t[:, ::1] given = rows(keys)
        cdef uint32_t n = <uint32_t>given.shape[0]
        numbers = numpy.empty(n, numpy.uint32)
        masks = numpy.zeros((n, KEY_BYTES), numpy.uint8)
        cdef uint32_t[::1] out = numbers
        cdef uint8_t[:, ::1] consulted = masks
        if n:
            with nogil:
                flows_cover_many(&self.flows, <const FlowKey*>&given[0, 0], n, &out[0],
                                 <FlowKey*>&consulted[0, 0])
        return numbers, masks

    def cover_one(self, key):
        cdef const uint8_t[:, ::1] given = rows(key.reshape(1, -1))
        cdef uint32_t found
        mask = numpy.zeros((1, KEY_BYTES), numpy.uint8)
        cdef uint8_t[:, ::1] consulted = mask
        found = flows_cover(
            &self.flows, <const FlowKey*>&given[0, 0], <FlowKey*>&consulted[0, 0])
        return found, mask[0]


def rows(keys):
    """At addresses that are good for words."""
    found = numpy.require(keys, numpy.uint8, ("C", "A"))
    if found.ndim != 2 or found.shape[1] != KEY_BYTES:
        raise ValueError(f"not an array of {KEY_BYTES} bytes a row")
    return found
