"""Answers that are expected: the flow for one is there before it comes.

1. An answer is expected to a packet that a connection began with and a flow was made for: UDP and
   SCTP. The first packets of TCP, and echoes, visit agents whatever is installed.
2. It is the packet as it left, turned around. Its host is told behind the entries that its flow
   depends on; no other host is, though it might come in by another one.
3. Nothing is remembered or sent for it: its flow is the one that it would get itself, and is
   reviewed, counted and removed as that would be. What would begin something gets none.
4. Flows that may never be used take half of the room at the most. They are installed only where it
   is known what the switch has.

In messages about state it is an item of its own operation (state_codec.pxd): protocol, family,
ports and addresses of the answer where an entry has them; its traffic class as flags, its VLAN tag
as port, the tag of the port where it comes in as zone; and behind that where it goes to and comes
from, as MACs, 6 bytes each.
"""

from onehop.engine.cdefs cimport nsec_t, tag_t, uint8_t, uint64_t
from onehop.engine.hot cimport Hot
from onehop.engine.packet cimport FlowKey

cdef struct Expected:
    FlowKey key            # but its port
    tag_t port             # the tag of that

# The packet of hot.verdict was forwarded: have its answer expected where it left.
cdef int expect_answer(Hot* hot, nsec_t now) except -1 nogil
# Install the flow for a packet with this key.
cdef int expect(Hot* hot, const FlowKey* key, nsec_t now) except -1 nogil
# The first item about an answer at or behind `at` in a message; where what follows begins.
# 0: there is none.
cdef uint64_t expected_next(
    Expected* out, const uint8_t* message, uint64_t len_bytes, uint64_t at,
) noexcept nogil
