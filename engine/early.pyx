# C functions only: see early.pxd.
"""Packets that came before it was known here which connection they belong to."""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from onehop.engine.state cimport is_state_tag, state_by_tag


cdef bint early_keep(
    Earlies* earlies, const StateTable* table, const Verdict* verdict, const Packet* pkt,
    nsec_t now,
) noexcept nogil:
    cdef Early* early
    if earlies.patience == 0 or not has_room(earlies, pkt.len_bytes):
        return False
    early = early_at(earlies, earlies.count)
    early.data = <uint8_t*>malloc(pkt.len_bytes)
    if early.data == NULL:
        return False
    memcpy(early.data, pkt.data, pkt.len_bytes)
    early.len_bytes, early.in_port = pkt.len_bytes, pkt.key.in_port
    early.until = now + earlies.patience
    early_note(early, table, verdict, now)
    earlies.count += 1
    earlies.len_bytes += early.len_bytes
    return True


cdef bint has_room(Earlies* earlies, uint32_t len_bytes) noexcept nogil:
    if earlies.ring == NULL:
        earlies.ring = <Early*>calloc(MAX_EARLY, sizeof(Early))
    return (
        earlies.ring != NULL and earlies.count < MAX_EARLY
        and earlies.len_bytes + len_bytes <= MAX_EARLY_BYTES)


cdef Early* early_at(Earlies* earlies, uint32_t nth) noexcept nogil:
    return &earlies.ring[(earlies.first + nth) % MAX_EARLY]


cdef bint early_is_due(const Early* early, const StateTable* table, nsec_t now) noexcept nogil:
    cdef uint32_t i
    if early.data == NULL:
        return False
    if early.until <= now:
        return True
    for i in range(early.n_missed):
        if state_by_tag(table, early.missed[i], now) != NULL:
            return True
    return False


cdef void early_note(
    Early* early, const StateTable* table, const Verdict* verdict, nsec_t now,
) noexcept nogil:
    cdef uint32_t i
    early.n_missed = 0
    for i in range(verdict.n_tags):
        if early.n_missed == MAX_MISSED:
            return
        if is_state_tag(verdict.tags[i]) and state_by_tag(table, verdict.tags[i], now) == NULL:
            early.missed[early.n_missed] = verdict.tags[i]
            early.n_missed += 1


cdef void early_done(Earlies* earlies, Early* early) noexcept nogil:
    earlies.len_bytes -= early.len_bytes
    free(early.data)
    early.data = NULL


cdef void early_trim(Earlies* earlies) noexcept nogil:
    while earlies.count and earlies.ring[earlies.first].data == NULL:
        earlies.first = (earlies.first + 1) % MAX_EARLY
        earlies.count -= 1


cdef void early_clear(Earlies* earlies) noexcept nogil:
    cdef uint32_t i
    for i in range(earlies.count):
        free(early_at(earlies, i).data)
    free(earlies.ring)
    earlies.ring = NULL
    earlies.count = 0
