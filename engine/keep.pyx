"""What verdicts say about connections -> the state table, and what peers are to hear of it."""

from libc.stdlib cimport free

from onehop.engine.blocks cimport leases, lessee_of
from onehop.engine.buffer cimport grow, let_go, reserve, written
from onehop.engine.cdefs cimport NONE
from onehop.engine.state cimport (
    D_NONE, SNAT, state_find, state_insert_tagged, state_remove, state_timeout, state_touch,
    track_next,
)
from onehop.engine.state_codec cimport ITEM_MAX, ITEM_PUT, item_write, message_append
from onehop.engine.topology cimport Device, Port
from onehop.engine.verdict cimport A_FLOOD, A_OUTPUT, Action, Used

cdef enum:
    TELLINGS = 4           # in an entry's timeout


cdef bint keep(
    Keeper* keeper, const Topo* topo, const Verdict* verdict, nsec_t now,
) except? False nogil:
    cdef uint32_t i
    cdef bint tells = verdict.n_created > 0
    if not create(keeper, verdict, now):
        return False
    for i in range(verdict.n_used):
        tells |= follow(keeper.table, &verdict.used[i], verdict.key.tcp_flags, now)
    if tells:
        keep_telling(keeper, topo, verdict, now)
    return True


cdef bint create(Keeper* keeper, const Verdict* verdict, nsec_t now) except? False nogil:
    """All or nothing; what it creates is to be told."""
    cdef uint32_t i, j
    cdef StateEntry* entry
    for i in range(verdict.n_created):
        entry = state_insert_tagged(
            keeper.table, &verdict.created[i], verdict.created[i].tag, now)
        if entry == NULL:
            for j in range(i):
                state_remove(keeper.table, &verdict.created[j].key)
            forget_items(keeper)
            return False
        note_item(keeper, entry, now)
    return True


cdef bint follow(
    StateTable* table, const Used* used, uint16_t tcp_flags, nsec_t now,
) noexcept nogil:
    """A packet met it; whether peers should hear of it."""
    cdef StateEntry* entry = <StateEntry*>state_find(table, &used.key, now)
    cdef uint8_t state
    if entry == NULL:
        return False
    state = entry.state
    if used.direction != D_NONE:
        state = track_next(entry.key.proto, state, used.direction, tcp_flags)
    if state == entry.state:
        return keep_alive(entry, now)
    entry.state = state
    entry.expires = now + state_timeout(entry)
    return True


cdef bint keep_alive(StateEntry* entry, nsec_t now) noexcept nogil:
    state_touch(entry, now)
    return entry.told_at + state_timeout(entry) // TELLINGS <= now


cdef int keep_telling(
    Keeper* keeper, const Topo* topo, const Verdict* verdict, nsec_t now,
) except -1 nogil:
    cdef uint32_t i
    find_hearers(keeper, topo, verdict)
    for i in range(verdict.n_used):
        if verdict.used[i].key.kind == SNAT:
            note_lessee(keeper, topo, state_find(keeper.table, &verdict.used[i].key, now))
    for i in range(verdict.n_used):
        note_item(keeper, <StateEntry*>state_find(keeper.table, &verdict.used[i].key, now), now)
    tell(keeper)
    return 0


cdef int note_item(Keeper* keeper, StateEntry* entry, nsec_t now) except -1 nogil:
    cdef uint8_t* room
    if entry == NULL:
        return 0
    entry.told_at = now
    room = reserve(&keeper.items, ITEM_MAX)
    written(&keeper.items, item_write(room, ITEM_PUT, entry, now))
    keeper.n_items += 1
    return 0


cdef inline void forget_items(Keeper* keeper) noexcept nogil:
    keeper.items.len_bytes = 0
    keeper.n_items = 0


cdef int tell(Keeper* keeper) except -1 nogil:
    """What was noted, written once, to all who hear."""
    cdef uint32_t i
    for i in range(keeper.n_hearers if keeper.n_items else 0):
        message_append(&keeper.messages[keeper.hearers[i]], keeper.items.data,
                       keeper.items.len_bytes, keeper.n_items)
        keeper.n_told += keeper.n_items
        keeper.waiting = 1
    forget_items(keeper)
    return 0


# --- who hears

cdef int find_hearers(Keeper* keeper, const Topo* topo, const Verdict* verdict) except -1 nogil:
    cdef uint32_t i
    grow(<void**>&keeper.messages, &keeper.n_messages, topo.n_hosts, sizeof(Buffer))
    grow(<void**>&keeper.hears, &keeper.n_hears, topo.n_hosts, 1)
    grow(<void**>&keeper.hearers, &keeper.room_hearers, topo.n_hosts, sizeof(idx_t))
    for i in range(keeper.n_hearers):
        keeper.hears[keeper.hearers[i]] = 0
    keeper.n_hearers = 0
    if verdict.key.in_port < topo.n_ports:
        note_group(keeper, &topo.ports[verdict.key.in_port])
    for i in range(verdict.n_actions):
        note_action(keeper, topo, &verdict.actions[i])
    return 0


cdef inline void note_host(Keeper* keeper, idx_t host) noexcept nogil:
    if host == keeper.host or keeper.hears[host]:
        return
    keeper.hears[host] = 1
    keeper.hearers[keeper.n_hearers] = host
    keeper.n_hearers += 1


cdef void note_action(Keeper* keeper, const Topo* topo, const Action* action) noexcept nogil:
    if action.kind == A_OUTPUT:
        note_port(keeper, &topo.ports[action.value])
    elif action.kind == A_FLOOD:
        note_bridge(keeper, topo, &topo.devices[action.value])


cdef void note_bridge(Keeper* keeper, const Topo* topo, const Device* bridge) noexcept nogil:
    cdef uint32_t i
    for i in range(bridge.n_exterior):
        note_port(keeper, &topo.ports[bridge.exterior[i]])


cdef void note_port(Keeper* keeper, const Port* port) noexcept nogil:
    if port.host != NONE:
        note_host(keeper, port.host)
    note_group(keeper, port)


cdef void note_group(Keeper* keeper, const Port* port) noexcept nogil:
    cdef uint32_t i
    for i in range(port.n_state_hosts):
        note_host(keeper, port.state_hosts[i])


cdef void note_lessee(Keeper* keeper, const Topo* topo, const StateEntry* entry) noexcept nogil:
    """Nearly always one of those who hear; else the connection's machine has moved."""
    cdef idx_t host
    cdef uint32_t i
    if entry == NULL or leases(topo, keeper.host, entry):
        return
    for i in range(keeper.n_hearers):
        if leases(topo, keeper.hearers[i], entry):
            return
    host = lessee_of(topo, entry)
    if host < topo.n_hosts:
        note_host(keeper, host)


cdef void keeper_clear(Keeper* keeper) noexcept nogil:
    cdef uint32_t i
    for i in range(keeper.n_messages):
        free(keeper.messages[i].data)
    let_go(keeper.messages, keeper.n_messages, sizeof(Buffer))
    free(keeper.items.data)
    let_go(keeper.hears, keeper.n_hears, 1)
    let_go(keeper.hearers, keeper.room_hearers, sizeof(idx_t))
