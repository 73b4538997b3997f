"""Routes, and which of them go by way of which port; facts written into their places."""

from onehop.engine.names cimport Names
from onehop.engine.topology cimport Topo

cdef class Prefixes:
    cdef Names names
    cdef Topo* topo
    cdef dict _via         # port -> the prefixes with routes by way of it, and their tags
    cdef dict _routes      # prefix -> the ports by way of which it has routes
