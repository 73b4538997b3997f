"""Many flow-mods as one bundle: the ONF's extension EXT-230 for OpenFlow 1.3."""

from libc.string cimport memcpy

from onehop.engine.buffer cimport reserve, written
from onehop.engine.cdefs cimport uint16_t
from onehop.engine.octets cimport get16, get32, put16, put32
from onehop.engine.openflow cimport OFP_VERSION, OFPT_EXPERIMENTER, OFPT_FLOW_MOD, ONF

cdef enum:
    CONTROL = 2300         # messages of the extension
    ADD = 2301
    OPEN = 0               # kinds of control messages; a reply has the next number
    COMMIT = 4
    FLAGS = 3              # atomic, in order
    HEAD_BYTES = 24        # a control message; or what stands before one that is added


cdef bint put_bundled(
    Buffer* to, const uint8_t* messages, uint64_t len_bytes, uint32_t least, uint32_t number,
) except? False nogil:
    cdef uint64_t at = 0
    cdef uint32_t n_mods = 0, message_bytes
    while at < len_bytes:
        message_bytes = get16(messages + at + 2)
        if messages[at + 1] == OFPT_FLOW_MOD:
            n_mods += 1
            if message_bytes + HEAD_BYTES > 0xffff:
                return False
        at += message_bytes
    if n_mods < least:
        return False
    reserve(to, len_bytes + (2 + n_mods) * HEAD_BYTES)
    put_head(to, HEAD_BYTES, CONTROL, number, OPEN)
    put_kind(to, messages, len_bytes, number, True)
    put_head(to, HEAD_BYTES, CONTROL, number, COMMIT)
    put_kind(to, messages, len_bytes, number, False)
    return True


cdef void put_kind(
    Buffer* to, const uint8_t* messages, uint64_t len_bytes, uint32_t number, bint mods,
) noexcept nogil:
    """The flow-mods, each in a message of its own around it; or all others."""
    cdef uint64_t at = 0
    cdef uint32_t message_bytes
    while at < len_bytes:
        message_bytes = get16(messages + at + 2)
        if (messages[at + 1] == OFPT_FLOW_MOD) == mods:
            if mods:
                put_head(to, HEAD_BYTES + message_bytes, ADD, number, 0)
            memcpy(to.data + to.len_bytes, messages + at, message_bytes)
            written(to, message_bytes)
        at += message_bytes


cdef void put_head(
    Buffer* to, uint32_t message_bytes, uint32_t message, uint32_t number, uint16_t kind,
) noexcept nogil:
    cdef uint8_t* at = to.data + to.len_bytes
    at[0], at[1] = OFP_VERSION, OFPT_EXPERIMENTER
    put16(at + 2, message_bytes)
    put32(at + 4, 0)
    put32(at + 8, ONF)
    put32(at + 12, message)
    put32(at + 16, number)
    put16(at + 20, kind)
    put16(at + 22, FLAGS)
    written(to, HEAD_BYTES)


cdef bint is_bundle_reply(const uint8_t* msg, uint32_t len_bytes) noexcept nogil:
    return (
        msg[1] == OFPT_EXPERIMENTER and len_bytes == HEAD_BYTES
        and get32(msg + 8) == ONF and get32(msg + 12) == CONTROL
        and (get16(msg + 20) == OPEN + 1 or get16(msg + 20) == COMMIT + 1))
