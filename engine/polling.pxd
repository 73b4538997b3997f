"""Which flows carry packets: asked of the switch, each flow by its own cookie.

1. Open vSwitch finds a whole cookie in an index; for a masked one it goes through all flows,
   and does nothing else meanwhile (18 ms for 100 000, and as long again for what it finds).
2. Each flow is asked about once in a round, `PORTION` flows at a time: the next when the switch
   has answered for these, so that whatever else it is told waits for no more than they take.
3. A flow that has carried nothing for `idle` is deleted by the answer that says so; one that no
   answer has told of for `LOST_AFTER` times as long is forgotten: the switch has lost it.
"""

from onehop.engine.cdefs cimport nsec_t, uint8_t, uint32_t
from onehop.engine.hot cimport Hot

cdef enum:
    POLL_XID = 0           # of the requests, and so of their answers

cdef struct Polling:
    nsec_t idle
    nsec_t began_at        # the round
    nsec_t asked_at
    uint32_t next          # the slot whose turn it is
    uint32_t goal          # how many slots have had theirs at this time
    uint32_t missing       # answers to come

# Begin anew, with another switch.
cdef void polling_restart(Polling* polling) noexcept nogil
# To be called now and then: ask about the flows whose turn has come.
cdef int polling_go_on(Polling* polling, Hot* hot, nsec_t now) except -1 nogil
# A whole flow-stats reply with POLL_XID.
cdef int polling_answered(
    Polling* polling, Hot* hot, const uint8_t* msg, uint32_t len_bytes, nsec_t now,
) except -1 nogil
