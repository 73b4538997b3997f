"""Ports: where a packet enters a device and leaves it."""

from onehop.engine.cdefs cimport idx_t, uint32_t
from onehop.engine.walk cimport Walk

cdef int enter(Walk* walk, idx_t index) noexcept nogil
cdef int leave(Walk* walk, idx_t index) noexcept nogil
# Send the packet that stands in the last len_bytes written to the verdict's crafted bytes.
cdef int emit(Walk* walk, idx_t index, uint32_t len_bytes) noexcept nogil
