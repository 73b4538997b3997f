"""What the walk asks about connections, and what its verdict says about them.

1. The table is only read. What is to be remembered goes into Verdict.created, and is found there
   by the same walk; what was found goes into Verdict.used.
2. Mask and tags say all that was looked at: TCP packets that may change the state are visible by
   their flags, entries (found or missing) by their tags. What depends on bytes that no flow can
   match (ICMP identifiers, embedded packets) makes the verdict not cacheable.
3. A crafted packet's walk finds, but remembers nothing.
"""

from onehop.engine.cdefs cimport tag_t, uint16_t, uint64_t
from onehop.engine.packet cimport Packet
from onehop.engine.state cimport StateEntry, StateKey
from onehop.engine.walk cimport Walk

# D_FORWARD or D_RETURN: the direction of the packet as it is now, for the filters of `zone` (the
# tag of a port or device). A packet of no known connection opens one, if its verdict forwards it,
# and is its forward direction. D_NONE: it can have no connection (ARP, a later fragment, an ICMP
# error about no known connection, a TCP packet that only ends one).
cdef int connection(Walk* walk, uint64_t zone) noexcept nogil

# The parts, for NAT.

# The key of the packet as it is now; notes its fields in the mask. False: it has none (later
# fragments, ARP, ICMP that is no echo, an ICMP flow without its bytes).
cdef bint packet_state_key(Walk* walk, uint64_t zone, int kind, StateKey* out) noexcept nogil
# The tuple of the packet that an ICMP error is about, as it is embedded. False: it is no error.
cdef bint embedded_state_key(
    const Packet* pkt, uint64_t zone, int kind, StateKey* out,
) noexcept nogil
# The entry, of the table or of this walk's own; NULL: none. Notes its tag, and that it was used.
cdef const StateEntry* recall(Walk* walk, const StateKey* key, int direction) noexcept nogil
cdef const StateEntry* recall_tagged(
    Walk* walk, const StateKey* key, tag_t tag, int direction,
) noexcept nogil
# The entry, of this walk's own; NULL: none.
cdef const StateEntry* pending(const Walk* walk, const StateKey* key) noexcept nogil
# Whether it is an ICMP error; notes what told so.
cdef bint is_icmp_error(Walk* walk) noexcept nogil
# The verdict creates it (key, ip, port, state, flags, extra; its tag, or 0). False: no room in the
# verdict, which then drops the packet; a flood goes on without, for its other copies' sake.
cdef bint remember(Walk* walk, const StateEntry* entry) noexcept nogil
