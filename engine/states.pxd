"""The state table as Python sees it."""

from onehop.engine.cdefs cimport nsec_t
from onehop.engine.state cimport StateEntry, StateTable

cdef class States:
    cdef StateTable table  # for the life of the object
    cdef object memory     # keeps the buffer

# An entry from what states.pyi's Entry says.
cdef int entry_from(StateEntry* entry, object stated) except -1
cdef object entry_view(const StateEntry* entry)
