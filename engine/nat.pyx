# C functions only: see nat.pxd.
"""Translations: what a rule writes instead of a source or a destination, and back."""

from libc.string cimport memcpy, memset

from onehop.engine.blocks cimport Pool, pool_at, pool_of
from onehop.engine.cdefs cimport NONE
from onehop.engine.connections cimport (
    is_icmp_error, packet_state_key, pending, recall, remember,
)
from onehop.engine.known cimport mix
from onehop.engine.packet cimport (
    ETH_IPV4, ETH_IPV6, FRAG_LATER, IP_ICMP, IP_ICMP6, IP_SCTP, IP_TCP, IP_UDP,
)
from onehop.engine.quoted cimport quoted_key, set_quoted_destination, set_quoted_source
from onehop.engine.state cimport (
    D_FORWARD, D_NONE, D_RETURN, DNAT, REVERSE_DNAT, REVERSE_SNAT, SNAT, state_find_tagged,
    state_tag,
)
from onehop.engine.walk cimport (
    CHANGED_DPORT, CHANGED_DST, CHANGED_SPORT, CHANGED_SRC, S_NEW_DESTINATION, S_NEW_SOURCE,
    add_tag, miss, see_eth_type, tell,
)

cdef enum:
    MOST_TRIES = 8192      # ports looked at for one packet
    MOST_TURNS = 16        # around the targets of a destination

cdef uint8_t[6] PARTNER = [0, 0, REVERSE_SNAT, SNAT, REVERSE_DNAT, DNAT]


# --- rules

cdef int translate_source(
    Walk* walk, uint64_t zone, const Target* targets, uint32_t n, uint8_t flags,
) noexcept nogil:
    cdef StateKey key
    cdef StateEntry made, partner
    cdef int done
    if not has_family(walk, targets, n):
        return N_PASSED
    done = find_old(walk, zone, SNAT, D_FORWARD, flags, &key)
    if done != N_PASSED or key.kind == 0:
        return done
    if not has_ports(&key):
        return N_IMPOSSIBLE
    if walk.is_crafted:
        return N_PASSED
    if not choose_source(walk, &key, targets, n, &made, &partner):
        return N_NO_PORT
    begin_one(walk, &made, &partner, flags)
    return N_DONE


cdef int translate_destination(
    Walk* walk, uint64_t zone, const Target* targets, uint32_t n, uint8_t flags,
) noexcept nogil:
    cdef StateKey key
    cdef StateEntry made, partner
    cdef int done
    if not has_family(walk, targets, n):
        return N_PASSED
    done = find_old(walk, zone, DNAT, D_FORWARD, flags, &key)
    if done != N_PASSED or key.kind == 0:
        return done
    if walk.is_crafted:
        return N_PASSED
    if not choose_destination(walk, &key, targets, n, &made, &partner):
        return N_NO_PORT
    begin_one(walk, &made, &partner, flags)
    return N_DONE


cdef int translate_back(Walk* walk, uint64_t zone, int kind, uint8_t flags) noexcept nogil:
    cdef StateKey key
    cdef int done = find_old(walk, zone, kind, D_RETURN, flags, &key)
    return N_PASSED if done == N_IMPOSSIBLE else done


cdef int find_old(
    Walk* walk, uint64_t zone, int kind, int direction, uint8_t flags, StateKey* key,
) noexcept nogil:
    """N_PASSED with a key: nothing is known of its connection. Without one: no such packet."""
    cdef StateEntry entry
    memset(key, 0, sizeof(StateKey))
    if walk.is_flooding or not is_ip(walk):
        return N_PASSED
    if is_icmp_error(walk):
        return translate_quoted(walk, zone, kind, flags)
    if not packet_state_key(walk, zone, kind, key):
        key.kind = 0
        return N_IMPOSSIBLE if is_telling_nothing(walk) else N_PASSED
    if not recall_both(walk, key, direction, flags, &entry):
        miss(walk)
        return N_PASSED
    apply(walk, &entry)
    return N_DONE


cdef inline bint is_ip(Walk* walk) noexcept nogil:
    see_eth_type(walk)
    return walk.pkt.key.eth_type == ETH_IPV4 or walk.pkt.key.eth_type == ETH_IPV6


cdef inline bint is_telling_nothing(const Walk* walk) noexcept nogil:
    """A later fragment. ICMP that is no echo (neighbor discovery, ...) is not translated."""
    return walk.pkt.key.ip_frag == FRAG_LATER


cdef inline bint has_ports(const StateKey* key) noexcept nogil:
    return (
        key.proto == IP_TCP or key.proto == IP_UDP or key.proto == IP_SCTP or is_echo(key))


cdef inline bint is_echo(const StateKey* key) noexcept nogil:
    return key.proto == (IP_ICMP if key.family == 4 else IP_ICMP6)


cdef bint has_family(Walk* walk, const Target* targets, uint32_t n) noexcept nogil:
    cdef uint32_t i
    if not is_ip(walk):
        return False
    for i in range(n):
        if targets[i].family == family_of(walk):
            return True
    return False


# --- entries

cdef bint recall_both(
    Walk* walk, const StateKey* key, int direction, uint8_t flags, StateEntry* out,
) noexcept nogil:
    cdef const StateEntry* found = recall(walk, key, direction)
    cdef StateEntry partner
    if found == NULL or found.flags != flags:
        return False
    out[0] = found[0]
    make_partner(&partner, out)
    if recall(walk, &partner.key, direction) == NULL:
        remember(walk, &partner)
    return True


cdef void begin_one(
    Walk* walk, StateEntry* made, StateEntry* partner, uint8_t flags,
) noexcept nogil:
    """A full verdict drops the packet: see `remember`."""
    made.flags = partner.flags = flags
    add_tag(walk, partner.tag)
    if remember(walk, made) and remember(walk, partner):
        apply(walk, made)


cdef void make_partner(StateEntry* partner, const StateEntry* entry) noexcept nogil:
    memset(partner, 0, sizeof(StateEntry))
    partner.key.kind = PARTNER[entry.key.kind]
    partner.key.proto, partner.key.family = entry.key.proto, entry.key.family
    partner.key.zone = entry.key.zone
    partner.flags, partner.state = entry.flags, entry.state
    if entry.key.kind == SNAT or entry.key.kind == REVERSE_DNAT:
        fill_partner(partner, entry.key.dst, entry.key.dport, entry.ip, entry.port)
        memcpy(partner.ip, entry.key.src, 16)
        partner.port = entry.key.sport
    else:
        fill_partner(partner, entry.ip, entry.port, entry.key.src, entry.key.sport)
        memcpy(partner.ip, entry.key.dst, 16)
        partner.port = entry.key.dport
    if is_echo(&entry.key):
        partner.key.sport = partner.key.dport = entry.port


cdef void fill_partner(
    StateEntry* partner, const uint8_t* src, uint16_t sport, const uint8_t* dst, uint16_t dport,
) noexcept nogil:
    memcpy(partner.key.src, src, 16)
    memcpy(partner.key.dst, dst, 16)
    partner.key.sport, partner.key.dport = sport, dport


cdef void apply(Walk* walk, const StateEntry* entry) noexcept nogil:
    if entry.key.kind == SNAT or entry.key.kind == REVERSE_DNAT:
        set_source(walk, entry.ip, entry.port)
    else:
        set_destination(walk, entry.ip, entry.port)


cdef void set_source(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil:
    set_source_ip(walk, ip)
    if walk.pkt.has_echo_id:
        walk.pkt.echo_id = port
    elif writes_ports(walk):
        walk.pkt.key.tp_src = port
        walk.changed |= CHANGED_SPORT


cdef void set_destination(Walk* walk, const uint8_t* ip, uint16_t port) noexcept nogil:
    set_destination_ip(walk, ip)
    if walk.pkt.has_echo_id:
        walk.pkt.echo_id = port
    elif writes_ports(walk):
        walk.pkt.key.tp_dst = port
        walk.changed |= CHANGED_DPORT


cdef void set_source_ip(Walk* walk, const uint8_t* ip) noexcept nogil:
    memcpy(walk.pkt.key.ip_src, ip, 16)
    walk.changed |= CHANGED_SRC
    walk.is_settled = 0
    tell(walk, S_NEW_SOURCE, NONE, NONE, family_of(walk), ip, 16)


cdef void set_destination_ip(Walk* walk, const uint8_t* ip) noexcept nogil:
    memcpy(walk.pkt.key.ip_dst, ip, 16)
    walk.changed |= CHANGED_DST
    walk.is_settled = 0
    tell(walk, S_NEW_DESTINATION, NONE, NONE, family_of(walk), ip, 16)


cdef inline uint32_t family_of(const Walk* walk) noexcept nogil:
    return 4 if walk.pkt.key.eth_type == ETH_IPV4 else 6


cdef inline bint writes_ports(const Walk* walk) noexcept nogil:
    cdef uint8_t proto = walk.pkt.key.ip_proto
    return proto == IP_TCP or proto == IP_UDP or proto == IP_SCTP


# --- errors

cdef bint translate_error(Walk* walk, uint64_t zone, bint outwards) noexcept nogil:
    if walk.is_flooding or not is_ip(walk) or not is_icmp_error(walk):
        return False
    if outwards:
        return (
            translate_quoted(walk, zone, REVERSE_DNAT, 0) == N_DONE
            or translate_quoted(walk, zone, SNAT, 0) == N_DONE)
    return (
        translate_quoted(walk, zone, REVERSE_SNAT, 0) == N_DONE
        or translate_quoted(walk, zone, DNAT, 0) == N_DONE)


cdef int translate_quoted(Walk* walk, uint64_t zone, int kind, uint8_t flags) noexcept nogil:
    """An error goes against the packet that it quotes: what is the one's source is the other's
    destination."""
    cdef StateKey key
    cdef StateEntry entry
    walk.out.cacheable = 0
    if not quoted_key(&walk.pkt, zone, kind, &key):
        return N_PASSED
    if not recall_both(walk, &key, D_NONE, flags, &entry):
        miss(walk)
        return N_PASSED
    if kind == SNAT or kind == REVERSE_DNAT:
        if not set_quoted_destination(walk, entry.ip, entry.port):
            return N_IMPOSSIBLE
        set_source_ip(walk, entry.ip)
    else:
        if not set_quoted_source(walk, entry.ip, entry.port):
            return N_IMPOSSIBLE
        set_destination_ip(walk, entry.ip)
    return N_DONE


# --- choices

cdef bint choose_source(
    Walk* walk, const StateKey* key, const Target* targets, uint32_t n, StateEntry* made,
    StateEntry* partner,
) noexcept nogil:
    """The first free one from where the connection's hash points."""
    cdef Pool pool = pool_of(walk, targets, n, key.family)
    cdef uint64_t start = hash_of(walk, key)
    cdef uint64_t i
    memset(made, 0, sizeof(StateEntry))
    made.key = key[0]
    for i in range(min(pool.n_ports, <uint64_t>MOST_TRIES)):
        pool_at(&pool, (start + i) % pool.n_ports, made.ip, &made.port)
        if is_free(walk, made, partner):
            return True
    return False


cdef bint choose_destination(
    Walk* walk, const StateKey* key, const Target* targets, uint32_t n, StateEntry* made,
    StateEntry* partner,
) noexcept nogil:
    """One of the targets, of its addresses and of its ports; another one if that is taken."""
    cdef uint64_t hashed = hash_of(walk, key)
    cdef const Target* target
    cdef uint32_t i
    memset(made, 0, sizeof(StateEntry))
    made.key = key[0]
    for i in range(n * MOST_TURNS):
        target = &targets[(hashed + i) % n]
        if target.family != key.family:
            continue
        spread(target, hashed // n + i // n, made)
        if is_free(walk, made, partner):
            return True
    return False


cdef void spread(const Target* target, uint64_t hashed, StateEntry* made) noexcept nogil:
    cdef uint32_t head = 0 if made.key.family == 4 else 8
    cdef uint64_t n = number(target.last_ip, made.key.family) - number(
        target.first_ip, made.key.family) + 1
    cdef uint64_t value = number(target.first_ip, made.key.family) + (hashed % n if n else hashed)
    cdef uint32_t i, width = 4 if made.key.family == 4 else 8
    memcpy(made.ip, target.first_ip, 16)
    for i in range(width):
        made.ip[head + width - 1 - i] = <uint8_t>(value >> 8 * i)
    made.port = made.key.dport
    if target.first_port and has_ports(&made.key) and not is_echo(&made.key):
        made.port = <uint16_t>(target.first_port + (hashed // (n if n else 1)) % (
            <uint32_t>target.last_port - target.first_port + 1))


cdef uint64_t number(const uint8_t* ip, uint8_t family) noexcept nogil:
    """An IPv4 address, or the low half of an IPv6 one."""
    cdef uint64_t value = 0
    cdef uint32_t i
    for i in range(0 if family == 4 else 8, 4 if family == 4 else 16):
        value = value << 8 | ip[i]
    return value


cdef bint is_free(
    const Walk* walk, const StateEntry* made, StateEntry* partner,
) noexcept nogil:
    make_partner(partner, made)
    partner.tag = state_tag(walk.state, &partner.key)
    return pending(walk, &partner.key) == NULL and (
        state_find_tagged(walk.state, &partner.key, partner.tag, walk.now) == NULL)


cdef uint64_t hash_of(const Walk* walk, const StateKey* key) noexcept nogil:
    return mix(state_tag(NULL, key), walk.seed) >> 1
