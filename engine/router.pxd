"""A router, IPv4 and IPv6."""

from onehop.engine.cdefs cimport idx_t
from onehop.engine.walk cimport Walk

cdef int at_router(Walk* walk, idx_t router, idx_t in_port) noexcept nogil
