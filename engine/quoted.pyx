# C functions only: see quoted.pxd.
"""The packet that an ICMP error quotes, translated in place."""

from libc.string cimport memcpy

from onehop.engine.cdefs cimport MAX_CRAFTED, uint32_t
from onehop.engine.checksum cimport replace
from onehop.engine.connections cimport embedded_state_key
from onehop.engine.octets cimport get16, put16
from onehop.engine.packet cimport (
    ETH_IPV4, IP_FRAGMENT, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP, IP_UDP,
)
from onehop.engine.state cimport state_key_swap

cdef enum:
    ERROR_HEAD_BYTES = 8

cdef struct Quote:
    uint8_t* outer         # the checksum of the error itself
    uint8_t* ip            # the quoted header
    uint8_t* l4            # behind it
    uint32_t room_bytes    # of l4
    uint8_t proto
    bint is4


cdef bint quoted_key(const Packet* pkt, uint64_t zone, int kind, StateKey* out) noexcept nogil:
    cdef StateKey key
    if not embedded_state_key(pkt, zone, kind, &key):
        return False
    state_key_swap(out, &key)
    return True


cdef bint set_quoted_source(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil:
    cdef Quote quote
    if not open_quote(walk, &quote):
        return False
    write_address(&quote, ip, True)
    write_port(&quote, port, True)
    return True


cdef bint set_quoted_destination(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil:
    cdef Quote quote
    if not open_quote(walk, &quote):
        return False
    write_address(&quote, ip, False)
    write_port(&quote, port, False)
    return True


cdef bint set_quoted_address(Walk* walk, const uint8_t* ip, bint is_source) noexcept nogil:
    cdef Quote quote
    if not open_quote(walk, &quote):
        return False
    write_address(&quote, ip, is_source)
    return True


# --- the copy

cdef bint open_quote(Walk* walk, Quote* quote) noexcept nogil:
    """`embedded_state_key` has looked at it: its headers are there."""
    cdef uint8_t* frame = own_copy(walk)
    cdef uint32_t end = walk.pkt.l3_off + walk.pkt.l3_len_bytes
    if frame == NULL:
        return False
    quote.is4 = walk.pkt.key.eth_type == ETH_IPV4
    quote.outer = frame + walk.pkt.l4_off + 2
    quote.ip = frame + walk.pkt.l4_off + ERROR_HEAD_BYTES
    quote.proto = quote.ip[9] if quote.is4 else quote.ip[6]
    quote.l4 = quote.ip + ((quote.ip[0] & 15) * 4 if quote.is4 else 40)
    if not quote.is4 and quote.proto == IP_FRAGMENT:
        quote.proto = quote.l4[0]
        quote.l4 += 8
    quote.room_bytes = <uint32_t>(frame + end - quote.l4)
    return True


cdef uint8_t* own_copy(Walk* walk) noexcept nogil:
    cdef uint32_t len_bytes = walk.pkt.len_bytes
    cdef uint8_t* copy = walk.out.crafted + walk.out.crafted_len
    if walk.is_edited:
        return <uint8_t*>walk.pkt.data
    if len_bytes > MAX_CRAFTED - walk.out.crafted_len:
        return NULL
    memcpy(copy, walk.pkt.data, len_bytes)
    walk.out.crafted_len += len_bytes
    walk.pkt.data = copy
    walk.is_edited = 1
    return copy


# --- changes

cdef void write_address(Quote* quote, const uint8_t* ip, bint is_source) noexcept nogil:
    """IPv4: the header has a checksum; both: so may the transport, of a pseudo header."""
    cdef uint32_t len_bytes = 4 if quote.is4 else 16
    cdef uint8_t* at = quote.ip + (12 if quote.is4 else 8) + (0 if is_source else len_bytes)
    cdef uint8_t* transport = transport_checksum(quote)
    if quote.is4:
        update(quote, quote.ip + 10, at, ip, len_bytes, False)
    if transport != NULL and quote.proto != IP_ICMP:
        update(quote, transport, at, ip, len_bytes, quote.proto == IP_UDP)
    write(quote, at, ip, len_bytes)


cdef void write_port(Quote* quote, uint16_t port, bint is_source) noexcept nogil:
    cdef uint8_t* at = quote.l4 + (0 if is_source else 2)
    cdef uint8_t* transport = transport_checksum(quote)
    cdef uint8_t[2] value
    put16(value, port)
    if quote.proto == IP_ICMP or quote.proto == IP_ICMP6:
        at = quote.l4 + 4
    elif quote.proto != IP_TCP and quote.proto != IP_UDP and quote.proto != IP_SCTP:
        return
    if transport != NULL:
        update(quote, transport, at, value, 2, quote.proto == IP_UDP)
    write(quote, at, value, 2)


cdef uint8_t* transport_checksum(const Quote* quote) noexcept nogil:
    """NULL: it has none, or it was cut off. (SCTP's is over bytes that are not here.)"""
    cdef uint32_t at = 0
    if quote.proto == IP_TCP:
        at = 16
    elif quote.proto == IP_UDP:
        at = 6
    elif quote.proto == IP_ICMP or quote.proto == IP_ICMP6:
        at = 2
    if at == 0 or at + 2 > quote.room_bytes:
        return NULL
    if quote.proto == IP_UDP and get16(quote.l4 + at) == 0:
        return NULL
    return quote.l4 + at


cdef void update(
    Quote* quote, uint8_t* checksum, const uint8_t* old, const uint8_t* new, uint32_t len_bytes,
    bint is_udp,
) noexcept nogil:
    cdef uint16_t sum_ = replace(get16(checksum), old, new, len_bytes)
    cdef uint8_t[2] value
    put16(value, 0xffff if sum_ == 0 and is_udp else sum_)
    write(quote, checksum, value, 2)


cdef void write(Quote* quote, uint8_t* at, const uint8_t* new, uint32_t len_bytes) noexcept nogil:
    put16(quote.outer, replace(get16(quote.outer), at, new, len_bytes))
    memcpy(at, new, len_bytes)
