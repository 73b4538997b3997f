"""OpenFlow 1.3 on the hot path: packet-ins, flow statistics; flow-mods, packet-outs."""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.packet cimport FlowKey

cdef enum:
    OFP_VERSION = 4
    OFPT_EXPERIMENTER = 4
    OFPT_PACKET_IN = 10
    OFPT_PACKET_OUT = 13
    OFPT_FLOW_MOD = 14
    OFPT_MULTIPART_REQUEST = 18
    OFPT_MULTIPART_REPLY = 19
    OFPT_BARRIER_REQUEST = 20
    ONF = 0x4f4e4600       # an experimenter
    OFPR_INVALID_TTL = 2
    OFPP_IN_PORT = 0xfffffff8
    OFPP_CONTROLLER = 0xfffffffd
    OFPP_ANY = 0xffffffff
    OFPFC_ADD = 0
    OFPFC_MODIFY_STRICT = 2
    OFPFC_DELETE = 3
    OFPFC_DELETE_STRICT = 4
    LIMITED_TABLE = 100    # of those flows whose match says something about the length
    FLOW_PRIORITY = 100    # of the flows that come from verdicts

cdef struct PacketIn:
    uint32_t ofport
    uint64_t metadata      # see translate.pxd
    uint8_t reason
    const uint8_t* data
    uint32_t len_bytes

cdef struct FlowStat:      # one flow of a flow-stats reply
    uint64_t cookie
    uint64_t packets
    uint64_t bytes
    uint16_t priority
    const uint8_t* oxm     # its match, without header and padding
    uint32_t oxm_bytes
    const uint8_t* instructions
    uint32_t instruction_bytes

# The length of the first message; 0: it is not whole yet.
cdef uint32_t message_len(const uint8_t* data, uint64_t len_bytes) except? 0xffffffff nogil

# False: a packet-in that contradicts itself.
cdef bint read_packet_in(PacketIn* out, const uint8_t* msg, uint32_t len_bytes) noexcept nogil

# The flow at offset `at` of a flow-stats reply (the first is at STATS_BEGIN); the offset of the
# next. 0: there is none, or it contradicts itself.
cdef enum:
    STATS_BEGIN = 16
cdef bint is_flow_stats(const uint8_t* msg, uint32_t len_bytes) noexcept nogil
# Whether another reply to the same request comes after this one.
cdef bint more_follows(const uint8_t* msg) noexcept nogil
cdef uint32_t read_flow_stat(
    FlowStat* out, const uint8_t* msg, uint32_t len_bytes, uint32_t at,
) noexcept nogil

# `actions`: encoded ones; none: the flow drops. Those of `put_ask` are metered.
cdef int put_flow_mod(
    Buffer* out, uint8_t command, uint64_t cookie, const FlowKey* key, const FlowKey* mask,
    uint32_t ofport, uint16_t limits_mark, const uint8_t* actions, uint32_t action_bytes,
) except -1 nogil
# The instructions of such a flow, which need action_bytes + 16 bytes; their length.
cdef uint32_t put_instructions(
    uint8_t* at, const uint8_t* actions, uint32_t action_bytes,
) noexcept nogil
# Actions of a flow that drops for now: the agent sees some of what it drops.
cdef int put_ask(Buffer* actions) except -1 nogil
cdef int put_delete(Buffer* out, uint64_t cookie, uint64_t cookie_mask) except -1 nogil
# How is the flow with this cookie?
cdef int put_stats_request(Buffer* out, uint32_t xid, uint64_t cookie) except -1 nogil

# False, and nothing is written, where all that is too long for a message.
cdef bint put_packet_out(
    Buffer* out, uint32_t in_ofport, const uint8_t* actions, uint32_t action_bytes,
    const uint8_t* data, uint32_t len_bytes,
) except? False nogil
