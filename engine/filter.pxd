"""Filters: whether a packet may enter or leave a port or a device.

At a port that a packet enters: (1) it comes from whom the port states (anti-spoofing); (2) the
security groups' egress rules; (3) the inbound filter. At one that it leaves: (1) the outbound
filter; (2) the security groups' ingress rules. At devices: their filters.

1. GO_ON, or the VerdictKind that ends the walk: DROP by what the mask covers; CONSUMED where the
   sender is told.
2. A rule that translates is met like others; see `translate_by` in filter.pyx.
3. Conditions about direction are asked of the connections in the zone of the port or device that
   has the filter, whose tag is the zone's name.
4. The end of a chain goes back to the caller of the jump; of a filter's own chain, it accepts.
"""

from onehop.engine.cdefs cimport idx_t, uint8_t, uint32_t, uint64_t
from onehop.engine.walk cimport Walk

cdef enum:
    GO_ON = -1
    MAX_DEPTH = 25         # of jumps; more, or a loop, drops: the model refuses both

cdef enum Outcome:         # of a chain
    F_ACCEPT = 0
    F_DROP
    F_REJECT
    F_BACK                 # its end, or `return`
    F_NO_PORT              # nothing left to translate it to
    F_UNTRANSLATABLE

cdef struct Place:         # where a chain is asked
    idx_t in_port          # of the device; NONE: the device's own packet
    idx_t out_port         # NONE: not known yet
    uint64_t zone

cdef int enter_port(Walk* walk, idx_t port) noexcept nogil
cdef int leave_port(Walk* walk, idx_t port) noexcept nogil
cdef int enter_device(Walk* walk, idx_t device, idx_t in_port) noexcept nogil
cdef int leave_device(Walk* walk, idx_t device, idx_t out_port) noexcept nogil
# Refuse the packet and tell its sender, by where it came into the device: a reset, or ICMP.
cdef int turn_back(Walk* walk, idx_t in_port, int reason) noexcept nogil
# Whether the packet of a flood leaves by this port of the bridge. Nobody is told of a refusal.
cdef bint may_flood(Walk* walk, idx_t bridge, idx_t port) noexcept nogil
# Whether somebody could say no to that.
cdef bint is_flood_filtered(Walk* walk, idx_t bridge, idx_t port) noexcept nogil
cdef int ask_chain(
    Walk* walk, uint32_t chain, const Place* place, uint32_t depth,
) noexcept nogil
