"""OpenFlow 1.3 on the hot path, and the few other messages that the agent needs as bytes.

1. Any bytes are safe: every length is checked against the message that it is in, and a message
   against the buffer.
2. A flow that comes from a verdict is in table 0, or in LIMITED_TABLE where its match says
   something about the length; it has no timeouts (the agent owns expiry) and at most one
   instruction, apply-actions, behind the meter where it asks the agent.
3. Messages carry xid 0 where nobody waits for an answer.
"""

from typing import NamedTuple

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from onehop.engine.buffer cimport reserve, written
from onehop.engine.octets cimport get16, get32, get64, put16, put32, put64
from onehop.engine.oxm cimport MATCH_MAX, put_match

from onehop.engine import fields

cdef enum:
    FLOW_MOD_BYTES = 48    # up to the match
    PACKET_OUT_BYTES = 24  # up to the actions
    FLOW_STAT_BYTES = 48   # up to the match
    STATS_REQUEST_BYTES = 56
    NO_BUFFER = 0xffffffff
    ANY_TABLE = 0xff
    OFPMP_FLOW = 1
    OFPIT_GOTO_TABLE = 1
    OFPIT_APPLY_ACTIONS = 4
    OFPIT_METER = 6
    OFPT_METER_MOD = 29
    OFPMC_ADD = 0
    OFPMC_DELETE = 2
    OFPMF_PKTPS = 2
    OFPMF_BURST = 4
    OFPMBT_DROP = 1
    OFPAT_SET_FIELD = 25
    OFPAT_EXPERIMENTER = 0xffff
    NICIRA = 0x2320
    NXAST_CHECK_PKT_LARGER = 49
    OFPT_SET_ASYNC = 28
    OFPR_NO_MATCH = 0
    OFPR_ACTION = 1
    ASK_METER = 1          # its number
    ASK_RATE = 1000        # packets/s of a whole switch; as many may come at once

cdef uint64_t NO_FIELDS = <uint64_t>0x00010004 << 32  # a match of any packet


# --- in

cdef uint32_t message_len(const uint8_t* data, uint64_t len_bytes) except? 0xffffffff nogil:
    cdef uint32_t stated
    if len_bytes < 8:
        return 0
    stated = get16(data + 2)
    if data[0] != OFP_VERSION or stated < 8:
        with gil:
            raise ValueError(f"not OpenFlow 1.3: version {data[0]}, length {stated}")
    return stated if stated <= len_bytes else 0


cdef bint read_packet_in(PacketIn* out, const uint8_t* msg, uint32_t len_bytes) noexcept nogil:
    cdef uint32_t match_bytes, data_off
    if len_bytes < 34:
        return False
    match_bytes = get16(msg + 26)
    data_off = 24 + ((match_bytes + 7) & ~7u) + 2
    if match_bytes < 4 or data_off > len_bytes:
        return False
    if not read_in_port(out, msg + 28, match_bytes - 4):
        return False
    out.reason = msg[14]
    out.data = msg + data_off
    out.len_bytes = len_bytes - data_off
    return out.len_bytes == get16(msg + 12)


cdef bint read_in_port(PacketIn* out, const uint8_t* oxm, uint32_t len_bytes) noexcept nogil:
    """Where it came in and its metadata; OVS may tell more, such as a tunnel's addresses."""
    cdef uint32_t at = 0
    cdef uint32_t head
    out.ofport = 0
    out.metadata = 0
    while at + 4 <= len_bytes:
        head = get32(oxm + at)
        if at + 4 + (head & 0xff) > len_bytes:
            return False
        if head == 0x80000004u:
            out.ofport = get32(oxm + at + 4)
        elif head == 0x80000408u:
            out.metadata = get64(oxm + at + 4)
        at += 4 + (head & 0xff)
    return out.ofport != 0


cdef bint is_flow_stats(const uint8_t* msg, uint32_t len_bytes) noexcept nogil:
    return (
        msg[1] == OFPT_MULTIPART_REPLY and len_bytes >= STATS_BEGIN
        and get16(msg + 8) == OFPMP_FLOW
    )


cdef bint more_follows(const uint8_t* msg) noexcept nogil:
    return msg[11] & 1


cdef uint32_t read_flow_stat(
    FlowStat* out, const uint8_t* msg, uint32_t len_bytes, uint32_t at,
) noexcept nogil:
    cdef const uint8_t* stat = msg + at
    cdef uint32_t stat_bytes, match_bytes, padded
    if at + FLOW_STAT_BYTES + 8 > len_bytes:
        return 0
    stat_bytes = get16(stat)
    match_bytes = get16(stat + 50)
    padded = (match_bytes + 7) & ~7u
    if at + stat_bytes > len_bytes or match_bytes < 4 or FLOW_STAT_BYTES + padded > stat_bytes:
        return 0
    out.priority = get16(stat + 12)
    out.cookie = get64(stat + 24)
    out.packets = get64(stat + 32)
    out.bytes = get64(stat + 40)
    out.oxm = stat + 52
    out.oxm_bytes = match_bytes - 4
    out.instructions = stat + FLOW_STAT_BYTES + padded
    out.instruction_bytes = stat_bytes - FLOW_STAT_BYTES - padded
    return at + stat_bytes


# --- out

cdef int put_flow_mod(
    Buffer* out, uint8_t command, uint64_t cookie, const FlowKey* key, const FlowKey* mask,
    uint32_t ofport, uint16_t limits_mark, const uint8_t* actions, uint32_t action_bytes,
) except -1 nogil:
    cdef uint8_t* msg = reserve(out, FLOW_MOD_BYTES + MATCH_MAX + 16 + action_bytes)
    cdef uint32_t len_bytes
    put_flow_mod_head(msg, command, cookie, 0, FLOW_PRIORITY)
    msg[24] = <uint8_t>LIMITED_TABLE if mask.len_class else 0
    len_bytes = FLOW_MOD_BYTES + put_match(msg + FLOW_MOD_BYTES, key, mask, ofport, limits_mark)
    len_bytes += put_instructions(msg + len_bytes, actions, action_bytes)
    put16(msg + 2, len_bytes)
    written(out, len_bytes)
    return 0


cdef uint32_t put_instructions(
    uint8_t* at, const uint8_t* actions, uint32_t action_bytes,
) noexcept nogil:
    cdef uint32_t len_bytes = 0
    if action_bytes and get32(actions + 4) == OFPP_CONTROLLER:
        put32(at, OFPIT_METER << 16 | 8)
        put32(at + 4, ASK_METER)
        len_bytes = 8
    if action_bytes:
        len_bytes += put_apply(at + len_bytes, actions, action_bytes)
    return len_bytes


cdef int put_ask(Buffer* actions) except -1 nogil:
    cdef uint8_t* action = reserve(actions, 16)
    memset(action, 0, 16)
    put16(action + 2, 16)
    put32(action + 4, OFPP_CONTROLLER)
    put16(action + 8, 0xffff)
    written(actions, 16)
    return 0


cdef int put_delete(Buffer* out, uint64_t cookie, uint64_t cookie_mask) except -1 nogil:
    cdef uint8_t* msg = reserve(out, FLOW_MOD_BYTES + 8)
    put_flow_mod_head(msg, OFPFC_DELETE, cookie, cookie_mask, 0)
    put64(msg + FLOW_MOD_BYTES, NO_FIELDS)
    put16(msg + 2, FLOW_MOD_BYTES + 8)
    written(out, FLOW_MOD_BYTES + 8)
    return 0


cdef int put_stats_request(Buffer* out, uint32_t xid, uint64_t cookie) except -1 nogil:
    cdef uint8_t* msg = reserve(out, STATS_REQUEST_BYTES)
    memset(msg, 0, STATS_REQUEST_BYTES)
    msg[0] = OFP_VERSION
    msg[1] = OFPT_MULTIPART_REQUEST
    put16(msg + 2, STATS_REQUEST_BYTES)
    put32(msg + 4, xid)
    put16(msg + 8, OFPMP_FLOW)
    msg[16] = ANY_TABLE
    put64(msg + 20, <uint64_t>0xffffffffffffffff)  # any port, any group
    put64(msg + 32, cookie)
    put64(msg + 40, <uint64_t>0xffffffffffffffff)
    put64(msg + 48, NO_FIELDS)
    written(out, STATS_REQUEST_BYTES)
    return 0


cdef void put_flow_mod_head(
    uint8_t* msg, uint8_t command, uint64_t cookie, uint64_t cookie_mask, uint16_t priority,
) noexcept nogil:
    memset(msg, 0, FLOW_MOD_BYTES)
    msg[0] = OFP_VERSION
    msg[1] = OFPT_FLOW_MOD
    put64(msg + 8, cookie)
    put64(msg + 16, cookie_mask)
    msg[24] = <uint8_t>ANY_TABLE if command == OFPFC_DELETE else 0
    msg[25] = command
    put16(msg + 30, priority)
    put32(msg + 32, NO_BUFFER)
    put32(msg + 36, OFPP_ANY)
    put32(msg + 40, OFPP_ANY)


cdef uint32_t put_apply(
    uint8_t* at, const uint8_t* actions, uint32_t action_bytes,
) noexcept nogil:
    put16(at, OFPIT_APPLY_ACTIONS)
    put16(at + 2, 8 + action_bytes)
    put32(at + 4, 0)
    memcpy(at + 8, actions, action_bytes)
    return 8 + action_bytes


cdef bint put_packet_out(
    Buffer* out, uint32_t in_ofport, const uint8_t* actions, uint32_t action_bytes,
    const uint8_t* data, uint32_t len_bytes,
) except? False nogil:
    cdef uint32_t whole = PACKET_OUT_BYTES + action_bytes + len_bytes
    cdef uint8_t* msg
    if whole > 0xffff:
        return False
    msg = reserve(out, whole)
    memset(msg, 0, PACKET_OUT_BYTES)
    msg[0] = OFP_VERSION
    msg[1] = OFPT_PACKET_OUT
    put16(msg + 2, whole)
    put32(msg + 8, NO_BUFFER)
    put32(msg + 12, in_ofport)
    put16(msg + 16, action_bytes)
    if action_bytes:
        memcpy(msg + PACKET_OUT_BYTES, actions, action_bytes)
    memcpy(msg + PACKET_OUT_BYTES + action_bytes, data, len_bytes)
    written(out, whole)
    return True


# --- for Python

STATIC = 1 << 62
DYNAMIC = 2 << 62
CLASS_MASK = 3 << 62
DYNAMIC_PRIORITY = FLOW_PRIORITY
LIMITED = <uint32_t>LIMITED_TABLE
CONTROLLER = <uint32_t>OFPP_CONTROLLER
IN_PORT = <uint32_t>OFPP_IN_PORT
MAX_LEN = 0xffff
Action = (
    tuple[str] | tuple[str, int] | tuple[str, str, int] | tuple[str, str, str]
    | tuple[str, int, int]
)


class FlowStats(NamedTuple):
    cookie: int
    priority: int
    packets: int
    octets: int
    match: bytes
    instructions: bytes
    table: int = 0
    age_s: float = 0.0


def static_flow(cookie: int, priority: int, match, actions, table: int = 0) -> bytes:
    return flow_mod(OFPFC_ADD, cookie, 0, priority, static_match(match),
                    static_instructions(actions), table)


def delete_flows(cookie: int, cookie_mask: int) -> bytes:
    return flow_mod(OFPFC_DELETE, cookie, cookie_mask, 0, b"", b"")


def delete_strict(priority: int, match) -> bytes:
    return flow_mod(OFPFC_DELETE_STRICT, 0, 0, priority, static_match(match), b"")


def static_match(match) -> bytes:
    whole = fields.with_prerequisites(match)
    # in the order of FIELDS, prerequisites stand before what needs them
    return b"".join(fields.oxm(name, whole[name]) for name in fields.FIELDS if name in whole)


def static_instructions(actions) -> bytes:
    body = encoded([action for action in actions if action[0] != "goto"])
    found = b""
    if body:
        found = integer(OFPIT_APPLY_ACTIONS, 2) + integer(8 + len(body), 2) + bytes(4) + body
    for action in actions:
        if action[0] == "goto":
            head = integer(OFPIT_GOTO_TABLE, 2) + integer(8, 2)
            found += head + integer(action[1], 1) + bytes(3)
    return found


cdef bytes encoded(actions):
    return b"".join(encoded_action(*action) for action in actions)


def encoded_action(name: str, value=0, key=None) -> bytes:
    if name == "output":
        return output(value, 0)
    if name == "controller":
        return output(CONTROLLER, MAX_LEN)
    if name == "set_tunnel" and key is not None:
        field = "tunnel_dst6" if ":" in value else "tunnel_dst"
        return set_field(field, value) + set_field("tunnel_id", key)
    if name == "set" and key is not None:
        return set_field(value, key)
    if name == "compare_length" and key is not None:
        return compare_length(value, key)
    raise ValueError(f"{name}: no such action, or without its values")


cdef bytes output(port, max_len):
    return integer(16, 4) + integer(port, 4) + integer(max_len, 2) + bytes(6)


cdef bytes set_field(str name, value):
    oxm = fields.oxm(name, value)
    padded = (4 + len(oxm) + 7) & ~7
    return integer(OFPAT_SET_FIELD, 2) + integer(padded, 2) + oxm + bytes(padded - 4 - len(oxm))


cdef bytes compare_length(frame_bytes, bit):
    """Open vSwitch's check_pkt_larger (nicira-ext.h), into a bit of reg0."""
    head = integer(OFPAT_EXPERIMENTER, 2) + integer(24, 2) + integer(NICIRA, 4)
    head += integer(NXAST_CHECK_PKT_LARGER, 2) + integer(frame_bytes, 2) + integer(bit, 2)
    return head + fields.oxm("reg0", 0)[:4] + bytes(6)


cdef bytes integer(value, len_bytes):
    return value.to_bytes(len_bytes, "big")


cdef bytes message(int kind, xid, bytes body):
    head = integer(OFP_VERSION, 1) + integer(kind, 1) + integer(8 + len(body), 2)
    return head + integer(xid, 4) + body


cdef bytes ofp_match(bytes oxm):
    cdef Py_ssize_t len_bytes = 4 + len(oxm)
    padding = bytes((len_bytes + 7) // 8 * 8 - len_bytes)
    return integer(1, 2) + integer(len_bytes, 2) + oxm + padding


cdef bytes flow_mod(
    int command, cookie, cookie_mask, priority, bytes oxm, bytes instructions, uint8_t table=0,
):
    cdef uint8_t[FLOW_MOD_BYTES] head
    put_flow_mod_head(head, command, cookie, cookie_mask, priority)
    if table:
        head[24] = table
    return message(OFPT_FLOW_MOD, 0, head[8:FLOW_MOD_BYTES] + ofp_match(oxm) + instructions)


cdef bytes taken(Buffer* out):
    whole = out.data[:out.len_bytes]
    free(out.data)
    return whole


def packet_out(data: bytes, actions, in_port: int = CONTROLLER) -> bytes:
    cdef Buffer out = Buffer(NULL, 0, 0)
    cdef bytes body = encoded(actions)
    cdef bytes packet = bytes(data)
    if not put_packet_out(&out, in_port, body, <uint32_t>len(body), packet, <uint32_t>len(packet)):
        raise ValueError("packet and actions are too long for one message")
    return taken(&out)


def flow_stats_request(xid: int, cookie: int = 0, cookie_mask: int = 0, match=None) -> bytes:
    body = integer(ANY_TABLE, 1) + bytes(3) + b"\xff" * 8 + bytes(4)
    body += integer(cookie, 8) + integer(cookie_mask, 8) + ofp_match(static_match(match or {}))
    return message(OFPT_MULTIPART_REQUEST, xid, integer(OFPMP_FLOW, 2) + bytes(6) + body)


def flow_stats(data: bytes) -> list[FlowStats]:
    cdef const uint8_t[::1] view = data
    cdef uint64_t off = 0
    cdef uint32_t len_bytes
    if len(data) == 0:
        return []
    found = []
    while off < <uint64_t>view.shape[0]:
        len_bytes = message_len(&view[off], view.shape[0] - off)
        if len_bytes == 0:
            raise ValueError("the last message is cut off")
        if is_flow_stats(&view[off], len_bytes):
            found += stats_of(&view[off], len_bytes)
        off += len_bytes
    return found


cdef list stats_of(const uint8_t* msg, uint32_t len_bytes):
    cdef FlowStat stat
    cdef uint32_t at = STATS_BEGIN
    cdef const uint8_t* head
    found = []
    while at < len_bytes:
        head = msg + at
        at = read_flow_stat(&stat, msg, len_bytes, at)
        if at == 0:
            raise ValueError("a flow-stats reply contradicts itself")
        found.append(FlowStats(
            stat.cookie, stat.priority, stat.packets, stat.bytes,
            fields.in_order(stat.oxm[:stat.oxm_bytes]),
            stat.instructions[:stat.instruction_bytes],
            head[2], get32(head + 4) + get32(head + 8) / 1e9,
        ))
    return found


def has_more(data: bytes) -> bool:
    return len(data) >= 16 and data[1] == OFPT_MULTIPART_REPLY and more_follows(data)


def barrier_request(xid: int) -> bytes:
    return message(OFPT_BARRIER_REQUEST, xid, b"")


def ask_meter() -> bytes:
    body = integer(OFPMF_PKTPS | OFPMF_BURST, 2) + integer(ASK_METER, 4)
    band = integer(OFPMBT_DROP, 2) + integer(16, 2) + integer(ASK_RATE, 4) * 2 + bytes(4)
    return (
        message(OFPT_METER_MOD, 0, integer(OFPMC_DELETE, 2) + body)
        + message(OFPT_METER_MOD, 0, integer(OFPMC_ADD, 2) + body + band)
    )


def async_config() -> bytes:
    packets = 1 << OFPR_NO_MATCH | 1 << OFPR_ACTION | 1 << OFPR_INVALID_TTL
    ports = 7  # added, deleted, changed
    return message(OFPT_SET_ASYNC, 0, b"".join(
        integer(which, 4) for which in (packets, packets, ports, ports, 0, 0)
    ))
