"""C widths and sizes that the engine's modules share."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef uint32_t idx_t   # index of a port, device or host in the compiled topology
ctypedef uint64_t tag_t   # the name of something that a verdict depended on
ctypedef int64_t nsec_t   # a time, or a span of time, in nanoseconds

cdef enum:
    NONE = 0xFFFFFFFF     # no such index
    MAX_ACTIONS = 256
    MAX_TAGS = 64
    MAX_EMITTED = 4
    MAX_CRAFTED = 16384   # bytes: an echo reply is as long as the (jumbo) request
    MAX_NEIGHBORS = 4
    MAX_CREATED = 12      # state entries that one packet creates
    MAX_USED = 16         # state entries that one packet uses
    MAX_DEVICES = 12      # a packet that passes more devices is in a loop
