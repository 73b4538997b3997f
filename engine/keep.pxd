"""What verdicts say about connections -> the state table, and what peers are to hear of it.

1. An entry is in the table, and in the messages for its hosts, before its packet is released.
2. Who hears: the hosts of the ports where the packet leaves, and the hosts of the stateful groups
   of those ports and of the port where it came in. And whoever leases the source port, so as not
   to give it away again while it is in use elsewhere.
3. They hear again when the state changes, and while the entry is in use: after a quarter of its
   timeout. So it lives on where only its table's owner sees the packets.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport idx_t, nsec_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.state cimport StateEntry, StateTable
from onehop.engine.topology cimport Topo
from onehop.engine.verdict cimport Verdict

cdef struct Keeper:
    StateTable* table
    idx_t host             # this one
    Buffer* messages       # to be sent, by host
    uint32_t n_messages
    uint8_t waiting        # some are not empty
    Buffer items           # of the verdict at hand, to go into them
    uint32_t n_items
    uint64_t n_told        # entries in all that there have been
    uint8_t* hears         # by host: whether it hears of the verdict at hand
    uint32_t n_hears
    idx_t* hearers         # those who do
    uint32_t n_hearers
    uint32_t room_hearers

# Keep what a verdict that forwards a packet creates, and follow what it uses. False: there is no
# room, and nothing was kept; then the packet must not be forwarded.
cdef bint keep(
    Keeper* keeper, const Topo* topo, const Verdict* verdict, nsec_t now,
) except? False nogil
# The entry is in use by a flow; whether peers should hear of it.
cdef bint keep_alive(StateEntry* entry, nsec_t now) noexcept nogil
# Tell those who should know about what the verdict uses.
cdef int keep_telling(
    Keeper* keeper, const Topo* topo, const Verdict* verdict, nsec_t now,
) except -1 nogil
cdef void keeper_clear(Keeper* keeper) noexcept nogil
