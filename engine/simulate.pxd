"""The walk of one packet through the compiled topology.

1. Pure: the same topology, packet, time and seed give the same verdict, on every host.
2. `pkt` is as `parse` left it; key.in_port is where it came in. Where only the key of a flow is
   known, `data` is NULL: then nothing is crafted, the TTL counts as enough, and a verdict that
   would also learn something is not cacheable.
3. Nothing is applied: learned MACs and neighbors are in the verdict, and so is the state that the
   packet creates and uses. `state` is this host's table; NULL: an empty one.
"""

from onehop.engine.cdefs cimport idx_t, nsec_t, uint8_t, uint64_t
from onehop.engine.packet cimport Packet
from onehop.engine.state cimport StateTable
from onehop.engine.topology cimport Topo
from onehop.engine.verdict cimport Verdict

cdef void simulate(
    const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out, nsec_t now,
    uint64_t seed,
) noexcept nogil

# The same for a packet whose next hop's MAC is not to be had: host unreachable instead of AWAIT.
cdef void unreachable(
    const Topo* topo, const StateTable* state, const Packet* pkt, Verdict* out, nsec_t now,
    uint64_t seed,
) noexcept nogil

# Advertise the router of machine port `port`, unasked: only `emitted` is set.
cdef void advertise(
    const Topo* topo, idx_t port, Verdict* out, nsec_t now, uint64_t seed,
) noexcept nogil

# Ask for the MAC of `ip` (family 4 or 6) on the link of router port `port`: only `emitted` is set.
cdef void solicit(
    const Topo* topo, idx_t port, uint8_t family, const uint8_t* ip, Verdict* out,
    nsec_t now, uint64_t seed,
) noexcept nogil
