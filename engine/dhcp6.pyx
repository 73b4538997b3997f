"""DHCPv6 (RFC 8415) for machines whose addresses are stated.

1. As in DHCPv4, nothing is remembered: a machine has its address for as long as it is stated.
2. The first association (IA_NA) of a message gets the address; there is none for others, nor
   temporary ones, nor prefixes.
3. Which messages must, may and must not name a client and a server: section 16.
4. What a message has no room for is left out; every option is checked before one is answered.
"""

from libc.string cimport memcmp, memcpy, memset

from onehop.engine.cdefs cimport uint16_t
from onehop.engine.checksum cimport fold, pseudo_sum, sum16
from onehop.engine.craft cimport put_ethernet
from onehop.engine.lease cimport (
    HEAD_BYTES, LEASE_S, T_ADVERTISE, T_MALFORMED, T_NOTHING, T_REPLY, put_link_local,
)
from onehop.engine.octets cimport get16, is_link_local, put16, put32, same_bits
from onehop.engine.packet cimport ETH_IPV6, IP_UDP

cdef enum:
    SERVER_PORT = 547
    CLIENT_PORT = 546
    LONGEST = 1280         # RFC 8200: what every link carries
    HEADERS_BYTES = 48     # IP and UDP
    DUID_BYTES = 10

cdef enum Kind:
    K_SOLICIT = 1
    K_ADVERTISE = 2
    K_REQUEST = 3
    K_CONFIRM = 4
    K_RENEW = 5
    K_REBIND = 6
    K_REPLY = 7
    K_RELEASE = 8
    K_DECLINE = 9
    K_INFORMATION = 11

cdef enum Option:
    O_CLIENT = 1
    O_SERVER = 2
    O_IA_NA = 3
    O_IA_TA = 4
    O_ADDRESS = 5
    O_PREFERENCE = 7
    O_STATUS = 13
    O_RAPID = 14
    O_IA_PD = 25

cdef enum Status:
    SUCCESS = 0
    NO_ADDRESSES = 2
    NOT_ON_LINK = 4
    NO_PREFIXES = 6

cdef struct Request:
    uint8_t kind
    const uint8_t* message
    const uint8_t* options
    const uint8_t* end
    const uint8_t* client  # options; NULL: not stated
    const uint8_t* server
    uint8_t is_rapid
    uint32_t n_associations
    uint32_t n_addresses   # that they state
    uint32_t n_wrong       # those that are not the machine's

cdef struct Out:           # options being written
    uint8_t* at
    uint8_t* end


cdef uint32_t dhcp6_answer(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, const Lease* lease, const uint8_t* mac,
    int* told,
) noexcept nogil:
    cdef Request request
    cdef Out options
    cdef uint8_t* message = out + HEAD_BYTES + HEADERS_BYTES
    told[0] = T_MALFORMED
    if not is_link_local(pkt.key.ip_src) or not read_request(&request, pkt, lease):
        return 0
    told[0] = decide_on(&request, lease)
    if told[0] == T_NOTHING or told[0] == T_MALFORMED:
        return 0
    if room_bytes < HEAD_BYTES + LONGEST:
        return 0
    memcpy(message, request.message, 4)
    message[0] = K_ADVERTISE if told[0] == T_ADVERTISE else K_REPLY
    options.at, options.end = message + 4, out + HEAD_BYTES + LONGEST
    put_options(&options, &request, lease)
    return put_frame(out, pkt, mac, <uint32_t>(options.at - message))


# --- what is asked

cdef bint read_request(Request* request, const Packet* pkt, const Lease* lease) noexcept nogil:
    cdef const uint8_t* udp = pkt.data + pkt.l4_off
    cdef uint32_t len_bytes = pkt.l3_off + pkt.l3_len_bytes - pkt.l4_off
    if get16(udp + 4) < 12 or get16(udp + 4) > len_bytes:
        return False
    memset(request, 0, sizeof(Request))
    request.message = udp + 8
    request.kind = udp[8]
    request.options = udp + 12
    request.end = udp + get16(udp + 4)
    return read_options(request, request.options, request.end, lease)


cdef bint read_options(
    Request* request, const uint8_t* at, const uint8_t* end, const Lease* lease,
) noexcept nogil:
    while at < end:
        if end - at < 4 or end - at - 4 < get16(at + 2):
            return False
        if not read_option(request, at, get16(at + 2), lease):
            return False
        at += 4 + get16(at + 2)
    return True


cdef bint read_option(
    Request* request, const uint8_t* at, uint16_t len_bytes, const Lease* lease,
) noexcept nogil:
    """False where its length cannot be."""
    cdef uint16_t code = get16(at)
    if code == O_CLIENT:
        request.client = at
        return 3 <= len_bytes <= 130
    if code == O_SERVER:
        request.server = at
        return 3 <= len_bytes <= 130
    if code == O_RAPID:
        request.is_rapid = 1
        return len_bytes == 0
    if code == O_IA_NA or code == O_IA_TA or code == O_IA_PD:
        request.n_associations += 1
        return read_association(request, at, len_bytes, 4 if code == O_IA_TA else 12, lease)
    return True


cdef bint read_association(
    Request* request, const uint8_t* at, uint16_t len_bytes, uint16_t head_bytes,
    const Lease* lease,
) noexcept nogil:
    cdef const uint8_t* end = at + 4 + len_bytes
    if len_bytes < head_bytes:
        return False
    at += 4 + head_bytes
    while at < end:
        if end - at < 4 or end - at - 4 < get16(at + 2):
            return False
        if get16(at) == O_ADDRESS:
            if get16(at + 2) < 24:
                return False
            request.n_addresses += 1
            request.n_wrong += memcmp(at + 4, lease.ip, 16) != 0
        at += 4 + get16(at + 2)
    return True


cdef int decide_on(const Request* request, const Lease* lease) noexcept nogil:
    cdef uint8_t kind = request.kind
    if kind == K_INFORMATION:
        if request.n_associations:
            return T_MALFORMED
        return T_REPLY if request.server == NULL or is_for_us(request, lease) else T_NOTHING
    if request.client == NULL:
        return T_MALFORMED
    if kind == K_SOLICIT or kind == K_CONFIRM or kind == K_REBIND:
        if request.server != NULL:
            return T_MALFORMED
        if kind == K_SOLICIT and not request.is_rapid:
            return T_ADVERTISE
        return T_NOTHING if kind == K_CONFIRM and not request.n_addresses else T_REPLY
    if kind != K_REQUEST and kind != K_RENEW and kind != K_RELEASE and kind != K_DECLINE:
        return T_MALFORMED
    if request.server == NULL:
        return T_MALFORMED
    return T_REPLY if is_for_us(request, lease) else T_NOTHING


cdef bint is_for_us(const Request* request, const Lease* lease) noexcept nogil:
    cdef uint8_t[DUID_BYTES] own
    put_duid(own, lease)
    return get16(request.server + 2) == DUID_BYTES and (
        memcmp(request.server + 4, own, DUID_BYTES) == 0)


cdef void put_duid(uint8_t* duid, const Lease* lease) noexcept nogil:
    """Of a link-layer address (section 11.4)."""
    memcpy(duid, b"\0\x03\0\x01", 4)
    memcpy(duid + 4, lease.server_mac, 6)


# --- what is told

cdef void put_options(Out* out, const Request* request, const Lease* lease) noexcept nogil:
    cdef uint8_t[DUID_BYTES] own
    cdef uint8_t kind = request.kind
    put_duid(own, lease)
    put_option(out, O_SERVER, own, DUID_BYTES)
    if request.client != NULL:
        put_option(out, O_CLIENT, request.client + 4, get16(request.client + 2))
    if kind == K_CONFIRM:
        put_status(out, NOT_ON_LINK if request.n_wrong else SUCCESS)
        return
    if kind == K_RELEASE or kind == K_DECLINE:
        put_status(out, SUCCESS)
        return
    if kind == K_SOLICIT and request.is_rapid:
        put_option(out, O_RAPID, NULL, 0)
    elif kind == K_SOLICIT:  # nobody else will answer: need not be waited for
        put_option(out, O_PREFERENCE, b"\xff", 1)
    if kind != K_INFORMATION:
        put_associations(out, request, lease)
    if out.end - out.at >= lease.option_bytes:
        memcpy(out.at, lease.options, lease.option_bytes)
        out.at += lease.option_bytes


cdef void put_associations(Out* out, const Request* request, const Lease* lease) noexcept nogil:
    cdef const uint8_t* at = request.options
    cdef bint is_given = False
    cdef uint16_t code
    while at < request.end:
        code = get16(at)
        if code == O_IA_NA and request.kind == K_REQUEST and not is_on_link(at, lease):
            put_none(out, at, NOT_ON_LINK)
        elif code == O_IA_NA and not is_given:
            is_given = True
            put_lease(out, request, lease, at)
        elif code == O_IA_NA or code == O_IA_TA:
            put_none(out, at, NO_ADDRESSES)
        elif code == O_IA_PD:
            put_none(out, at, NO_PREFIXES)
        at += 4 + get16(at + 2)
    if not is_given and request.kind == K_SOLICIT:
        put_status(out, NO_ADDRESSES)


cdef bint is_on_link(const uint8_t* asked, const Lease* lease) noexcept nogil:
    """Whether the association states no address of another link (section 18.3.2)."""
    cdef const uint8_t* at = asked + 16
    cdef const uint8_t* end = asked + 4 + get16(asked + 2)
    while at < end:
        if get16(at) == O_ADDRESS and (
            same_bits(at + 4, lease.ip, lease.prefix_bits) < lease.prefix_bits
        ):
            return False
        at += 4 + get16(at + 2)
    return True


cdef void put_lease(
    Out* out, const Request* request, const Lease* lease, const uint8_t* asked,
) noexcept nogil:
    """The association with its address; addresses that a client must give up live for 0 s."""
    cdef const uint8_t* at = asked + 16
    cdef const uint8_t* end = asked + 4 + get16(asked + 2)
    cdef uint8_t* head = out.at
    if out.end - out.at < 16 + 28:
        return
    memcpy(head, asked, 8)
    put32(head + 8, LEASE_S // 2)
    put32(head + 12, LEASE_S // 5 * 4)
    out.at += 16
    put_address(out, lease.ip, LEASE_S)
    while at < end and (request.kind == K_RENEW or request.kind == K_REBIND):
        if get16(at) == O_ADDRESS and memcmp(at + 4, lease.ip, 16) != 0:
            put_address(out, at + 4, 0)
        at += 4 + get16(at + 2)
    put16(head + 2, <uint32_t>(out.at - head) - 4)


cdef void put_address(Out* out, const uint8_t* ip, uint32_t life_s) noexcept nogil:
    cdef uint8_t[24] value
    memcpy(value, ip, 16)
    put32(value + 16, life_s)
    put32(value + 20, life_s)
    put_option(out, O_ADDRESS, value, 24)


cdef void put_none(Out* out, const uint8_t* asked, uint16_t status) noexcept nogil:
    """The association without what it asks for."""
    cdef uint16_t head_bytes = 4 if get16(asked) == O_IA_TA else 12
    if out.end - out.at < 4 + head_bytes + 6:
        return
    memset(out.at, 0, 4 + head_bytes)
    memcpy(out.at, asked, 2)
    put16(out.at + 2, head_bytes + 6)
    memcpy(out.at + 4, asked + 4, 4)
    out.at += 4 + head_bytes
    put_status(out, status)


cdef void put_status(Out* out, uint16_t status) noexcept nogil:
    cdef uint8_t[2] value
    put16(value, status)
    put_option(out, O_STATUS, value, 2)


cdef void put_option(
    Out* out, uint16_t code, const uint8_t* value, uint16_t len_bytes,
) noexcept nogil:
    if out.end - out.at < 4 + len_bytes:
        return
    put16(out.at, code)
    put16(out.at + 2, len_bytes)
    if len_bytes:
        memcpy(out.at + 4, value, len_bytes)
    out.at += 4 + len_bytes


cdef uint32_t put_frame(
    uint8_t* out, const Packet* pkt, const uint8_t* mac, uint32_t message_bytes,
) noexcept nogil:
    """The headers before a message, to whom it answers; the length of all."""
    cdef uint8_t* ip = out + HEAD_BYTES
    cdef uint8_t* udp = ip + 40
    cdef uint16_t checksum
    put_ethernet(out, pkt.key.eth_src, mac, 0, ETH_IPV6)
    memset(ip, 0, HEADERS_BYTES)
    ip[0] = 0x60
    put16(ip + 4, 8 + message_bytes)
    ip[6] = IP_UDP
    ip[7] = 64
    put_link_local(ip + 8, mac)
    memcpy(ip + 24, pkt.key.ip_src, 16)
    put16(udp, SERVER_PORT)
    put16(udp + 2, CLIENT_PORT)
    put16(udp + 4, 8 + message_bytes)
    checksum = fold(sum16(
        udp, 8 + message_bytes,
        pseudo_sum(ip + 8, ip + 24, 16, IP_UDP, 8 + message_bytes)))
    put16(udp + 6, checksum or <uint16_t>0xffff)
    return HEAD_BYTES + HEADERS_BYTES + message_bytes
