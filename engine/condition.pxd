"""Conditions of rules: which rule of a chain a packet meets next.

1. What is looked at is noted, and not more: of a prefix the bits up to the first that differs, of
   a range of ports the bits that tell on which side of its ends a port is.
2. L4 conditions are not met by a later fragment, inverted or not; nor by a packet without the
   header that they are about.
3. A packet that is not IP has no addresses, protocol or TOS, and is not fragmented.
"""

from onehop.engine.cdefs cimport uint32_t
from onehop.engine.chain cimport Chain, Values
from onehop.engine.filter cimport Place
from onehop.engine.walk cimport Walk

# The first rule from `start` on whose conditions are met; NONE: the chain's end.
cdef uint32_t next_rule(
    Walk* walk, const Chain* chain, uint32_t start, const Values* values, const Place* place,
) noexcept nogil
# What can be hashed of the packet as it is now.
cdef void fill_values(Values* values, const Walk* walk, const Place* place) noexcept nogil
