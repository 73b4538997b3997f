"""A verdict's actions -> this host's OpenFlow actions.

1. What a verdict sets is written once, before the first output that follows: the packet leaves as
   the verdict says, whatever was set and set again on the way.
2. All TTLs are decremented before anything else is changed, because OVS hands a packet whose TTL
   runs out to the controller as it is by then; and before every decrement but the first the
   metadata says how many came before. So the controller knows the packet as it came in:
   its TTL then was what it is now plus the metadata.
3. A remote port is one tunnelled copy whose key names the port; a flood is one copy per remote
   host, whose key names the bridge.
4. What is not plugged in, has no key or no tunnel to go through gets no copy.
"""

from libc.string cimport memcpy, memset

from onehop.engine.buffer cimport reserve, written
from onehop.engine.cdefs cimport NONE, uint8_t, uint16_t, uint64_t
from onehop.engine.octets cimport put16, put32, put64
from onehop.engine.openflow cimport OFPP_IN_PORT
from onehop.engine.packet cimport ETH_IPV4, IP_SCTP, IP_TCP, VLAN_PRESENT
from onehop.engine.topology cimport Device, Host, Port
from onehop.engine.verdict cimport (
    A_DEC_TTL, A_FLOOD, A_OUTPUT, A_POP_VLAN, A_SET_ETH_DST, A_SET_ETH_SRC, A_SET_IP_DST,
    A_SET_IP_SRC, A_SET_TP_DST, A_SET_TP_SRC, A_SET_VLAN, N_ACTION_KINDS,
)

cdef enum:
    ACTION_MAX = 32        # bytes of the longest action: to set an IPv6 address
    OFPAT_OUTPUT = 0
    OFPAT_PUSH_VLAN = 17
    OFPAT_POP_VLAN = 18
    OFPAT_DEC_NW_TTL = 24
    OFPAT_SET_FIELD = 25
    # OXM headers with their lengths
    OXM_METADATA = 0x80000408
    OXM_ETH_DST = 0x80000606
    OXM_ETH_SRC = 0x80000806
    OXM_VLAN_VID = 0x80000c02
    OXM_VLAN_PCP = 0x80000e01
    OXM_IPV4_SRC = 0x80001604
    OXM_IPV4_DST = 0x80001804
    OXM_TCP_SRC = 0x80001a02
    OXM_UDP_SRC = 0x80001e02
    OXM_SCTP_SRC = 0x80002202
    OXM_IPV6_SRC = 0x80003410
    OXM_IPV6_DST = 0x80003610
    OXM_TUNNEL_ID = 0x80004c08
    OXM_NEXT = 0x200       # from a source port's field to the destination port's
    NXM_TUNNEL_DST = 0x00014004
    NXM_TUNNEL_DST6 = 0x0001dc10

cdef struct Writer:
    Buffer* out
    const Topo* topo
    const Local* local
    const FlowKey* key
    uint32_t in_ofport
    uint32_t n_outputs
    uint32_t ttl_steps     # written so far
    bint is_tagged         # by now


cdef int translate(
    Buffer* out, const Topo* topo, const Local* local, const Action* actions, uint32_t n,
    uint32_t in_ofport, const FlowKey* key,
) except -1 nogil:
    cdef Writer writer = Writer(
        out, topo, local, key, in_ofport, 0, 0, key.vlan_tci & VLAN_PRESENT != 0,
    )
    cdef uint64_t begin = out.len_bytes
    cdef uint32_t first = 0
    cdef uint32_t i
    for i in range(n):
        if actions[i].kind == A_OUTPUT or actions[i].kind == A_FLOOD:
            put_changes(&writer, actions + first, i - first)
            put_outputs(&writer, &actions[i])
            first = i + 1
    if writer.n_outputs == 0:
        out.len_bytes = begin
    return <int>(out.len_bytes - begin)


# --- changes

cdef int put_changes(Writer* writer, const Action* actions, uint32_t n) except -1 nogil:
    """Of those that set the same, the last."""
    cdef uint32_t[N_ACTION_KINDS] last
    cdef uint32_t i
    for i in range(n):
        last[actions[i].kind] = i
        if actions[i].kind == A_DEC_TTL:
            put_ttl_step(writer)
    for i in range(n):
        if last[actions[i].kind] == i:
            put_change(writer, &actions[i])
    return 0


cdef int put_ttl_step(Writer* writer) except -1 nogil:
    if writer.ttl_steps:
        put_integer(writer, OXM_METADATA, writer.ttl_steps)
    writer.ttl_steps += 1
    return put_short(writer, OFPAT_DEC_NW_TTL, 0)


cdef int put_change(Writer* writer, const Action* action) except -1 nogil:
    cdef uint8_t kind = action.kind
    cdef bint is4 = writer.key.eth_type == ETH_IPV4
    if kind == A_SET_ETH_SRC:
        return put_field(writer, OXM_ETH_SRC, action.mac)
    if kind == A_SET_ETH_DST:
        return put_field(writer, OXM_ETH_DST, action.mac)
    if kind == A_SET_IP_SRC:
        return put_field(writer, OXM_IPV4_SRC if is4 else OXM_IPV6_SRC, action.ip)
    if kind == A_SET_IP_DST:
        return put_field(writer, OXM_IPV4_DST if is4 else OXM_IPV6_DST, action.ip)
    if kind == A_SET_TP_SRC:
        return put_integer(writer, transport_field(writer.key.ip_proto), action.value)
    if kind == A_SET_TP_DST:
        return put_integer(writer, transport_field(writer.key.ip_proto) + OXM_NEXT, action.value)
    if kind == A_SET_VLAN:
        return put_vlan(writer, action.value)
    if kind == A_POP_VLAN and writer.is_tagged:
        writer.is_tagged = False
        return put_short(writer, OFPAT_POP_VLAN, 0)
    return 0


cdef inline uint32_t transport_field(uint8_t ip_proto) noexcept nogil:
    if ip_proto == IP_TCP:
        return OXM_TCP_SRC
    return OXM_SCTP_SRC if ip_proto == IP_SCTP else OXM_UDP_SRC


cdef int put_vlan(Writer* writer, uint32_t tci) except -1 nogil:
    if not writer.is_tagged:
        put_short(writer, OFPAT_PUSH_VLAN, 0x8100)
        writer.is_tagged = True
    put_integer(writer, OXM_VLAN_VID, VLAN_PRESENT | (tci & 0xfff))
    return put_integer(writer, OXM_VLAN_PCP, tci >> 13 & 7)


# --- outputs

cdef int put_outputs(Writer* writer, const Action* action) except -1 nogil:
    if action.kind == A_OUTPUT:
        return put_copy(writer, action.value)
    return put_flood(
        writer, &writer.topo.devices[action.value], action.except_port, action.host)


cdef int put_copy(Writer* writer, idx_t port) except -1 nogil:
    cdef const Port* to = &writer.topo.ports[port]
    if to.host == writer.local.host:
        return put_output(writer, ofport_of(writer.local, port))
    if to.host == NONE:
        return 0
    return put_tunnelled(writer, &writer.topo.hosts[to.host], to.key)


cdef int put_flood(
    Writer* writer, const Device* bridge, idx_t except_port, idx_t host,
) except -1 nogil:
    cdef uint32_t i
    for i in range(bridge.n_exterior if host == NONE or host == writer.local.host else 0):
        if (
            bridge.exterior[i] != except_port
            and writer.topo.ports[bridge.exterior[i]].host == writer.local.host
        ):
            put_output(writer, ofport_of(writer.local, bridge.exterior[i]))
    for i in range(bridge.n_hosts):
        if bridge.hosts[i] != writer.local.host and (host == NONE or bridge.hosts[i] == host):
            put_tunnelled(writer, &writer.topo.hosts[bridge.hosts[i]], bridge.key)
    return 0


cdef int put_tunnelled(Writer* writer, const Host* host, uint32_t key) except -1 nogil:
    if writer.local.tunnel_ofport == 0 or key == 0:
        return 0
    put_field(writer, NXM_TUNNEL_DST if host.tunnel_family == 4 else NXM_TUNNEL_DST6,
              host.tunnel_ip)
    put_integer(writer, OXM_TUNNEL_ID, key)
    return put_output(writer, writer.local.tunnel_ofport)


cdef int put_output(Writer* writer, uint32_t ofport) except -1 nogil:
    cdef uint8_t* at
    if ofport == 0:
        return 0
    at = reserve(writer.out, 16)
    memset(at, 0, 16)
    put16(at + 2, 16)
    put32(at + 4, OFPP_IN_PORT if ofport == writer.in_ofport else ofport)
    written(writer.out, 16)
    writer.n_outputs += 1
    return 0


# --- encoded actions

cdef int put_short(Writer* writer, uint16_t kind, uint16_t value) except -1 nogil:
    cdef uint8_t* at = reserve(writer.out, 8)
    put16(at, kind)
    put16(at + 2, 8)
    put32(at + 4, <uint32_t>value << 16)
    written(writer.out, 8)
    return 0


cdef int put_integer(Writer* writer, uint32_t field, uint64_t value) except -1 nogil:
    cdef uint8_t* at = reserve(writer.out, ACTION_MAX)
    put16(at, OFPAT_SET_FIELD)
    put16(at + 2, 16)
    put32(at + 4, field)
    put64(at + 8, value << 8 * (8 - (field & 0xff)))
    written(writer.out, 16)
    return 0


cdef int put_field(Writer* writer, uint32_t field, const uint8_t* value) except -1 nogil:
    """Of 4, 6 or 16 bytes."""
    cdef uint32_t len_bytes = field & 0xff
    cdef uint32_t padded = (8 + len_bytes + 7) & ~7u
    cdef uint8_t* at = reserve(writer.out, ACTION_MAX)
    put16(at, OFPAT_SET_FIELD)
    put16(at + 2, padded)
    put32(at + 4, field)
    memset(at + 8, 0, 16)
    if len_bytes == 4:  # known lengths: moves, no calls
        memcpy(at + 8, value, 4)
    elif len_bytes == 6:
        memcpy(at + 8, value, 6)
    else:
        memcpy(at + 8, value, 16)
    written(writer.out, padded)
    return 0
