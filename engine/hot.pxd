"""Verdicts -> the switch: what is installed, changed, deleted and sent, as bytes in `out`.

1. A flow is changed in place only where its match still tells all that its new verdict looked at;
   otherwise it is deleted, and its next packet comes to the controller.
2. A flow and its first packet have the same actions, the flow first.
3. Nothing here touches Python, except to say that there is no memory.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport nsec_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.flows cimport Flows
from onehop.engine.keep cimport Keeper
from onehop.engine.openflow cimport FlowStat
from onehop.engine.packet cimport Packet
from onehop.engine.topology cimport Topo
from onehop.engine.translate cimport Local
from onehop.engine.verdict cimport Verdict

cdef enum Count:           # in words in datapath.COUNTS
    N_PACKET_INS
    N_MALFORMED
    N_UNKNOWN_PORT
    N_REFUSED              # above the port's share
    N_DROPPED              # verdicts, by kind
    N_FORWARDED
    N_CONSUMED
    N_AWAITED
    N_LOOPS
    N_PACKET_OUTS
    N_TOO_LONG             # packet-outs that fit no message
    N_INSTALLED            # flows
    N_DUPLICATES           # packets whose flow was on its way
    N_MODIFIED
    N_DELETED
    N_EXPIRED
    N_ADOPTED
    N_FULL                 # flows not installed: the table is full
    N_EARLY                # packets kept until more is known
    N_EARLY_FORWARDED      # and then forwarded
    N_EXPECTED             # answers that flows were made for before they came
    N_COUNTS
    N_REASONS = 64

cdef struct Hot:
    const Topo* topo
    uint64_t seed
    Local local
    Flows flows
    Buffer out             # messages
    Keeper keeper          # of connections
    Buffer actions         # of the verdict at hand
    Buffer instructions
    uint16_t limits_mark   # of the list of lengths that the flows were made for
    uint32_t* ports        # virtual port by OVS port, of 65536; NONE: none
    Verdict verdict        # of a packet
    Verdict again          # of a flow that is simulated again
    uint64_t counts[N_COUNTS]
    uint64_t reasons[N_REASONS]   # packets dropped or consumed, by verdict.Reason

# Do what hot.verdict says about a packet that came in by in_ofport.
cdef int hot_obey(
    Hot* hot, uint32_t in_ofport, const uint8_t* data, uint32_t len_bytes, nsec_t now,
) except -1 nogil
# The verdict's actions, into hot.actions; and its flow, with these actions.
cdef int hot_encode(Hot* hot, const Verdict* verdict, uint32_t in_ofport) except -1 nogil
cdef int hot_install(
    Hot* hot, const Verdict* verdict, uint32_t in_ofport, nsec_t now,
) except -1 nogil
# Send what hot.verdict emits.
cdef int hot_emit(Hot* hot) except -1 nogil
# Simulate a flow again and change or delete it.
cdef int hot_review(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil
cdef int hot_review_tag(Hot* hot, tag_t tag, nsec_t now) except -1 nogil
cdef int hot_review_all(Hot* hot, nsec_t now) except -1 nogil
# Whether a flow's match still tells all about its packets; its actions now are in hot.actions.
cdef bint hot_holds(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil
# What would be done about a packet: the verdict in hot.again, its actions in hot.actions.
cdef int hot_propose(Hot* hot, const Packet* pkt, uint32_t ofport, nsec_t now) except -1 nogil
# Take over a flow found in the switch, or change or delete it.
cdef int hot_adopt(Hot* hot, const FlowStat* stat, nsec_t now) except -1 nogil
# Delete the flows whose match says something about the length: the list has changed.
cdef int hot_forget_lengths(Hot* hot) except -1 nogil
cdef int hot_drop(Hot* hot, uint32_t flow) except -1 nogil
# A flow has carried packets since it was last counted: what it depends on is in use.
cdef int hot_used(Hot* hot, uint32_t flow, nsec_t now) except -1 nogil
# Clear away state that has expired.
cdef int hot_forget(Hot* hot, nsec_t now) except -1 nogil
# Take in a peer's message about state.
cdef int hot_merge(Hot* hot, const uint8_t* data, uint64_t len_bytes, nsec_t now) except -1 nogil
