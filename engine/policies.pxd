"""What filters: chains, the sets that their rules name, security groups, and which ports and
devices they are of; facts written into their places.
"""

from onehop.engine.cdefs cimport idx_t
from onehop.engine.names cimport Names
from onehop.engine.topology cimport Topo

cdef class Policies:
    cdef Names names
    cdef Topo* topo
    cdef dict _jumps       # chain -> those that its rules jump to
    cdef set _translating  # chains with rules that translate
    cdef int _fill_filters(self, idx_t index, fact) except -1
