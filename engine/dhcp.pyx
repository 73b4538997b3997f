"""DHCPv4 (RFC 2131) for machines whose addresses are stated.

1. A machine is told its address by every host and every time alike: nothing is remembered, so a
   release or a refusal of the address changes nothing.
2. Whatever state a client is in, it claims an address, in an option or in `ciaddr`: its own is
   confirmed, any other refused. What it asks of another server is left to that one.
3. All that is known is told, asked for or not, as far as the client has room for it.
4. An answer goes to the machine's hardware address; to all where it asks for that, or is refused.
"""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.checksum cimport fold, pseudo_sum, sum16
from onehop.engine.craft cimport put_ethernet
from onehop.engine.lease cimport (
    HEAD_BYTES, LEASE_S, T_ACK, T_INFORMED, T_MALFORMED, T_NAK, T_NOTHING, T_OFFER,
)
from onehop.engine.octets cimport get16, is_zero, put16, put32
from onehop.engine.packet cimport ETH_IPV4, IP_UDP

cdef enum:
    SERVER_PORT = 67
    CLIENT_PORT = 68
    FIXED_BYTES = 240      # of a message, before its options
    SHORTEST = 300         # RFC 951: clients may drop what is shorter
    LEAST_MAX = 576        # the longest IP packet that every client takes
    LONGEST = 1500
    HEADERS_BYTES = 28     # IP and UDP
    WANTS_BROADCAST = 0x8000

cdef enum Option:          # RFC 2132
    O_PAD = 0
    O_MTU = 26
    O_WANTED = 50
    O_LEASE_TIME = 51
    O_KIND = 53
    O_SERVER = 54
    O_MAX_BYTES = 57
    O_CLIENT = 61
    O_END = 255

cdef enum Kind:
    K_DISCOVER = 1
    K_OFFER = 2
    K_REQUEST = 3
    K_DECLINE = 4
    K_ACK = 5
    K_NAK = 6
    K_RELEASE = 7
    K_INFORM = 8

cdef struct Request:
    const uint8_t* message
    uint8_t kind
    const uint8_t* server  # options; NULL: not stated
    const uint8_t* wanted
    const uint8_t* client  # with its code and length
    uint16_t max_bytes     # of an IP packet

cdef struct Out:           # options being written
    uint8_t* at
    uint8_t* end


cdef uint32_t dhcp_answer(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, const Lease* lease, const uint8_t* mac,
    uint16_t mtu, int* told,
) noexcept nogil:
    cdef Request request
    cdef uint32_t message_bytes
    told[0] = T_MALFORMED
    if not read_request(&request, pkt):
        return 0
    told[0] = decide_on(&request, lease)
    if told[0] == T_NOTHING or told[0] == T_MALFORMED:
        return 0
    if room_bytes < HEAD_BYTES + LONGEST:
        return 0
    message_bytes = put_message(
        out + HEAD_BYTES + HEADERS_BYTES, &request, lease, mtu, told[0])
    return put_frame(out, &request, lease, mac, told[0], message_bytes)


# --- what is asked

cdef bint read_request(Request* request, const Packet* pkt) noexcept nogil:
    cdef const uint8_t* udp = pkt.data + pkt.l4_off
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    cdef const uint8_t* message = udp + 8
    if get16(udp + 4) < 8 + FIXED_BYTES or get16(udp + 4) > len_bytes:
        return False
    if memcmp(message, b"\x01\x01\x06", 3) != 0:  # a request by Ethernet
        return False
    if not is_zero(message + 24, 4):  # through a relay: machines have none
        return False
    if memcmp(message + 236, b"\x63\x82\x53\x63", 4) != 0:
        return False
    memset(request, 0, sizeof(Request))
    request.message = message
    request.max_bytes = LEAST_MAX
    return read_options(request, message + FIXED_BYTES, message + get16(udp + 4) - 8)


cdef bint read_options(Request* request, const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and at[0] != O_END:
        if at[0] == O_PAD:
            at += 1
            continue
        if end - at < 2 or end - at - 2 < at[1] or not read_option(request, at):
            return False
        at += 2 + at[1]
    return request.kind != 0


cdef bint read_option(Request* request, const uint8_t* at) noexcept nogil:
    """False where its length cannot be."""
    if at[0] == O_KIND:
        if at[1] != 1:
            return False
        request.kind = at[2]
    if at[0] == O_SERVER:
        request.server = at + 2
        return at[1] == 4
    if at[0] == O_WANTED:
        request.wanted = at + 2
        return at[1] == 4
    if at[0] == O_CLIENT:
        request.client = at
        return at[1] > 0
    if at[0] == O_MAX_BYTES:
        if at[1] != 2:
            return False
        request.max_bytes = min(max(get16(at + 2), <uint16_t>LEAST_MAX), <uint16_t>LONGEST)
    return True


cdef int decide_on(const Request* request, const Lease* lease) noexcept nogil:
    cdef const uint8_t* claimed = request.message + 12
    if lease.has_mac and memcmp(request.message + 28, lease.mac, 6) != 0:
        return T_NOTHING
    if request.server != NULL and memcmp(request.server, lease.server, 4) != 0:
        return T_NOTHING
    if request.kind == K_DISCOVER:
        return T_OFFER
    if request.kind == K_DECLINE or request.kind == K_RELEASE:
        return T_NOTHING
    if request.kind == K_INFORM:
        return T_MALFORMED if is_zero(claimed, 4) else T_INFORMED
    if request.kind != K_REQUEST:
        return T_MALFORMED
    if request.wanted != NULL:
        claimed = request.wanted
    if is_zero(claimed, 4):
        return T_MALFORMED
    return T_ACK if memcmp(claimed, lease.ip, 4) == 0 else T_NAK


# --- what is told

cdef uint32_t put_message(
    uint8_t* message, const Request* request, const Lease* lease, uint16_t mtu, int told,
) noexcept nogil:
    """The answer's length."""
    cdef Out out
    memset(message, 0, LONGEST - HEADERS_BYTES)
    memcpy(message, b"\x02\x01\x06\0", 4)
    memcpy(message + 4, request.message + 4, 4)    # the transaction
    memcpy(message + 10, request.message + 10, 2)  # flags
    if told == T_ACK or told == T_INFORMED:
        memcpy(message + 12, request.message + 12, 4)
    if told == T_ACK or told == T_OFFER:
        memcpy(message + 16, lease.ip, 4)
    memcpy(message + 28, request.message + 28, 16)  # the hardware address
    memcpy(message + 236, b"\x63\x82\x53\x63", 4)
    out.at = message + FIXED_BYTES
    out.end = message + request.max_bytes - HEADERS_BYTES - 1
    put_options(&out, request, lease, mtu, told)
    out.at[0] = O_END
    return max(<uint32_t>(out.at + 1 - message), <uint32_t>SHORTEST)


cdef void put_options(
    Out* out, const Request* request, const Lease* lease, uint16_t mtu, int told,
) noexcept nogil:
    cdef uint8_t[4] value
    cdef uint32_t at = 0
    value[0] = K_OFFER if told == T_OFFER else (K_NAK if told == T_NAK else K_ACK)
    put_option(out, O_KIND, value, 1)
    put_option(out, O_SERVER, lease.server, 4)
    if request.client != NULL:  # RFC 6842
        put_option(out, O_CLIENT, request.client + 2, request.client[1])
    if told == T_NAK:
        return
    if told != T_INFORMED:
        put32(value, LEASE_S)
        put_option(out, O_LEASE_TIME, value, 4)
    put16(value, mtu)
    put_option(out, O_MTU, value, 2)
    while at < lease.option_bytes:
        put_option(out, lease.options[at], lease.options + at + 2, lease.options[at + 1])
        at += 2 + lease.options[at + 1]


cdef void put_option(
    Out* out, uint8_t code, const uint8_t* value, uint8_t len_bytes,
) noexcept nogil:
    if out.end - out.at < 2 + len_bytes:
        return
    out.at[0], out.at[1] = code, len_bytes
    memcpy(out.at + 2, value, len_bytes)
    out.at += 2 + len_bytes


cdef uint32_t put_frame(
    uint8_t* out, const Request* request, const Lease* lease, const uint8_t* mac, int told,
    uint32_t message_bytes,
) noexcept nogil:
    """The headers before a message (RFC 2131, section 4.1); the length of all."""
    cdef const uint8_t* ip = lease.ip
    cdef const uint8_t* to = request.message + 28
    if not is_zero(request.message + 12, 4):
        ip = request.message + 12
    if told == T_NAK or (
        is_zero(request.message + 12, 4) and get16(request.message + 10) & WANTS_BROADCAST
    ):
        ip, to = b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff"
    put_ethernet(out, to, mac, 0, ETH_IPV4)
    put_headers(out + HEAD_BYTES, lease.server, ip, message_bytes)
    return HEAD_BYTES + HEADERS_BYTES + message_bytes


cdef void put_headers(
    uint8_t* ip, const uint8_t* src, const uint8_t* dst, uint32_t message_bytes,
) noexcept nogil:
    cdef uint8_t* udp = ip + 20
    cdef uint16_t checksum
    memset(ip, 0, HEADERS_BYTES)
    ip[0] = 0x45
    put16(ip + 2, HEADERS_BYTES + message_bytes)
    ip[8] = 64
    ip[9] = IP_UDP
    memcpy(ip + 12, src, 4)
    memcpy(ip + 16, dst, 4)
    put16(ip + 10, fold(sum16(ip, 20, 0)))
    put16(udp, SERVER_PORT)
    put16(udp + 2, CLIENT_PORT)
    put16(udp + 4, 8 + message_bytes)
    checksum = fold(
        sum16(udp, 8 + message_bytes, pseudo_sum(src, dst, 4, IP_UDP, 8 + message_bytes)))
    put16(udp + 6, checksum or <uint16_t>0xffff)
