"""What routers translate by: floating IPs, VIPs and their pools, leased ports; facts written into
their places.

1. It keeps those facts that end up in several places, to find them again when one goes.
"""

from onehop.engine.names cimport Names
from onehop.engine.topology cimport Topo

cdef class Services:
    cdef Names names
    cdef Topo* topo
    cdef dict _vips        # VIP -> its fact
    cdef dict _pools       # pool -> its members
    cdef dict _balanced    # router -> the addresses in its tries
    cdef dict _blocks      # (host, address, first port) -> number of ports
