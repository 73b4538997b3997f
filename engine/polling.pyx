"""Which flows carry packets: a hand that goes around all slots, as far as the time says."""

from onehop.engine.cdefs cimport NONE, uint64_t
from onehop.engine.flows cimport Flow, flows_by_cookie, flows_cookie
from onehop.engine.hot cimport N_EXPIRED, hot_drop, hot_used
from onehop.engine.openflow cimport (
    STATS_BEGIN, FlowStat, more_follows, put_stats_request, read_flow_stat,
)

cdef enum:
    PORTION = 128          # flows: the switch takes about a millisecond
    LOST_AFTER = 10        # times idle

cdef nsec_t ROUND_NS = 16_000_000_000  # at most: a connection that is used must not end meanwhile
cdef nsec_t PATIENCE_NS = 5_000_000_000  # with a switch that leaves out an answer


cdef void polling_restart(Polling* polling) noexcept nogil:
    polling.began_at = polling.asked_at = 0
    polling.next = polling.goal = polling.missing = 0


cdef int polling_go_on(Polling* polling, Hot* hot, nsec_t now) except -1 nogil:
    cdef nsec_t round_ns = max(min(polling.idle // 2, ROUND_NS), <nsec_t>1)
    if polling.next >= hot.flows.room and now - polling.began_at >= round_ns:
        polling.next = 0
        polling.began_at = now
    polling.goal = <uint32_t>(
        hot.flows.room * <uint64_t>min(now - polling.began_at, round_ns) // round_ns)
    if polling.missing and now - polling.asked_at > PATIENCE_NS:
        polling.missing = 0
    return ask(polling, hot, now)


cdef int ask(Polling* polling, Hot* hot, nsec_t now) except -1 nogil:
    if polling.missing:
        return 0
    while polling.next < polling.goal and polling.missing < PORTION:
        polling.missing += ask_about(polling, hot, polling.next, now)
        polling.next += 1
    polling.asked_at = now
    return 0


cdef uint32_t ask_about(
    Polling* polling, Hot* hot, uint32_t flow, nsec_t now,
) except? 0xffffffff nogil:
    """How many answers there will be."""
    cdef const Flow* slot = &hot.flows.slots[flow]
    if not slot.in_use:
        return 0
    if slot.counted_at + LOST_AFTER * polling.idle <= now:
        expire(hot, flow)
        return 0
    put_stats_request(&hot.out, POLL_XID, flows_cookie(&hot.flows, flow))
    return 1


cdef int polling_answered(
    Polling* polling, Hot* hot, const uint8_t* msg, uint32_t len_bytes, nsec_t now,
) except -1 nogil:
    cdef FlowStat stat
    cdef uint32_t flow
    cdef uint32_t at = read_flow_stat(&stat, msg, len_bytes, STATS_BEGIN)
    while at:
        flow = flows_by_cookie(&hot.flows, stat.cookie)
        if flow != NONE:
            counted(polling, hot, flow, stat.packets, now)
        at = read_flow_stat(&stat, msg, len_bytes, at)
    if polling.missing and not more_follows(msg):
        polling.missing -= 1
    return ask(polling, hot, now)


cdef int counted(
    Polling* polling, Hot* hot, uint32_t flow, uint64_t packets, nsec_t now,
) except -1 nogil:
    cdef Flow* slot = &hot.flows.slots[flow]
    slot.counted_at = now
    if packets != slot.packets:
        slot.packets = packets
        slot.used_at = now
        return hot_used(hot, flow, now)
    return expire(hot, flow) if slot.used_at + polling.idle <= now else 0


cdef int expire(Hot* hot, uint32_t flow) except -1 nogil:
    hot.counts[<int>N_EXPIRED] += 1
    return hot_drop(hot, flow)
