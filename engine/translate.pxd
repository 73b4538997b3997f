"""A verdict's actions -> this host's OpenFlow actions."""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport idx_t, uint32_t
from onehop.engine.packet cimport FlowKey
from onehop.engine.topology cimport Topo
from onehop.engine.verdict cimport Action

cdef struct Local:         # this host, and its ports as OVS numbers them
    idx_t host
    uint32_t tunnel_ofport  # 0: none
    uint32_t* ofports      # by port index; 0: not plugged in here
    uint32_t n_ports

cdef inline uint32_t ofport_of(const Local* local, idx_t port) noexcept nogil:
    return local.ofports[port] if port < local.n_ports else 0

# Append the actions to `out`; how many bytes they are. 0: the packet leaves nowhere.
# in_ofport: where the packet came in (OVS sends nothing back there unless told so);
# 0: it is the controller's own. key: of the packet as it came.
cdef int translate(
    Buffer* out, const Topo* topo, const Local* local, const Action* actions, uint32_t n,
    uint32_t in_ofport, const FlowKey* key,
) except -1 nogil
