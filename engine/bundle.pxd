"""Many flow-mods as one bundle: the ONF's extension EXT-230 for OpenFlow 1.3.

1. Messages keep their order, but that what is no flow-mod comes behind all that are.
2. The switch takes a bundle whole or not at all, and says which message it refuses, as ever.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport uint8_t, uint32_t, uint64_t

# Append these messages to `to`, the flow-mods among them as the bundle of that number. False, and
# nothing is appended: there are fewer than `least`, or one is too long for a bundle.
cdef bint put_bundled(
    Buffer* to, const uint8_t* messages, uint64_t len_bytes, uint32_t least, uint32_t number,
) except? False nogil
# Whether the switch says of a bundle that all is well.
cdef bint is_bundle_reply(const uint8_t* msg, uint32_t len_bytes) noexcept nogil
