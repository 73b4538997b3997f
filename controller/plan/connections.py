"""What becomes of each live connection.

1. A connection goes on as it is when packets both ways arrive where they do now, as they do now.
2. It is *cut* when packets of either way would not arrive, when answers would no longer come from
   whom they were sent to, or when TCP or SCTP would be translated to somebody else, who knows
   nothing of the connection. What arrives by another way, or another machine that needs no
   connection, is *rerouted*; what would first have to find a neighbor, *waits*.
3. Only ways that are open now can be cut.
"""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np

from onehop.controller.plan.conversations import FORWARD, SCTP, TCP
from onehop.controller.plan.findings import Connection, End, Fate, Fates
from onehop.controller.plan.scene import Scene
from onehop.controller.plan.telling import (
    MOST_TOLD,
    Teller,
    address_of,
    end_text,
    new_way,
    number_of,
    port_of,
    protocol_name,
    reason_of,
)
from onehop.engine.explain import Verdict
from onehop.engine.rehearsal import KINDS, NOBODY, Array, Rehearsed

AWAIT = KINDS.index("await")
FATES: tuple[Fate, ...] = ("cut", "rerouted", "waits")  # the worst first
(AS_IT_IS, LOST_THERE, TRANSLATED, LOST_BACK, NOT_TRANSLATED_BACK, MOVED_THERE, MOVED_BACK) = (
    range(7)
)


def judge(
    scene: Scene, probes: Array, before: Rehearsed, after: Rehearsed
) -> tuple[Fates, tuple[Connection, ...]]:
    """How many do not go on as they are, and those of them that are told of."""
    why = whys(probes, before, after)
    fates = fates_of(why, probes, after)
    counts = Fates(*(int((fates == place).sum()) for place in range(len(FATES))))
    worst = np.argsort(np.where(why == AS_IT_IS, len(FATES), fates), kind="stable")
    told = []
    for place in worst[: min(MOST_TOLD, counts.all)]:
        now = before.there[place], before.back[place]
        then = after.there[place], after.back[place]
        fate = FATES[fates[place]]
        told.append(_connection(scene, probes[place], now, then, int(why[place]), fate))
    return counts, tuple(sorted(told, key=_order))


def whys(probes: Array, before: Rehearsed, after: Rehearsed) -> Array:
    """Why each does not go on, the most serious reason."""
    there, back = _arrives(before.there, after.there), _arrives(before.back, after.back)
    unicast = after.there["port"] != NOBODY
    lost_back = (before.back["kind"] == FORWARD) & (after.back["kind"] != FORWARD) & unicast
    strange = (before.back["answers"] != 0) & (after.back["answers"] == 0) & unicast
    return np.select(
        [
            (before.there["kind"] == FORWARD) & (after.there["kind"] != FORWARD),
            there & _header_differs(before.there, after.there),
            lost_back,
            strange,
            there & _way_differs(before.there, after.there),
            back & _way_differs(before.back, after.back),
        ],
        [LOST_THERE, TRANSLATED, LOST_BACK, NOT_TRANSLATED_BACK, MOVED_THERE, MOVED_BACK],
        AS_IT_IS,
    )


def fates_of(why: Array, probes: Array, after: Rehearsed) -> Array:
    """Places in `FATES`; -1: it goes on as it is."""
    waits = ((why == LOST_THERE) & (after.there["kind"] == AWAIT)) | (
        (why == LOST_BACK) & (after.back["kind"] == AWAIT)
    )
    needs_state = np.isin(probes["key"]["ip_proto"], (TCP, SCTP))
    cut = np.isin(why, (LOST_THERE, LOST_BACK, NOT_TRANSLATED_BACK))
    cut |= (why == TRANSLATED) & needs_state
    places = [FATES.index(fate) for fate in ("waits", "cut", "rerouted")]
    return np.select([waits, cut, why != AS_IT_IS], places, -1)


def _arrives(before: Array, after: Array) -> Array:
    return np.asarray((before["kind"] == FORWARD) & (after["kind"] == FORWARD))


def _way_differs(before: Array, after: Array) -> Array:
    return np.asarray((before["port"] != after["port"]) | (before["host"] != after["host"]))


def _header_differs(before: Array, after: Array) -> Array:
    found = before["echo_id"] != after["echo_id"]
    for name in ("ip_src", "ip_dst", "tp_src", "tp_dst"):
        differs = before["key"][name] != after["key"][name]
        found = found | (differs.any(axis=1) if differs.ndim > 1 else differs)
    return np.asarray(found)


def _order(found: Connection) -> tuple[object, ...]:
    ends = found.source, found.destination
    return FATES.index(found.fate), *((ip_address(e.address).packed, e.number) for e in ends)


def _connection(
    scene: Scene,
    probe: np.void,
    now: tuple[np.void, np.void],
    then: tuple[np.void, np.void],
    why: int,
    fate: Fate,
) -> Connection:
    is_back = why in (LOST_BACK, NOT_TRANSLATED_BACK, MOVED_BACK)
    teller = Teller(scene)
    verdict = teller.back(probe, then[0]) if is_back else teller.there(probe)
    key, reached = probe["key"], now[0]
    port = scene.names.ports[key["in_port"]]
    echo_id, reached_id = int(probe["echo_id"]), int(reached["echo_id"])
    return Connection(
        fate=fate,
        protocol=protocol_name(int(key["ip_proto"])),
        source=_end(scene, port, key, "src", echo_id),
        destination=_end(scene, "", key, "dst", echo_id),
        reached=_end(scene, port_of(scene, reached), reached["key"], "dst", reached_id),
        direction="back" if is_back else "there",
        reason=_reason(scene, now, then, why, verdict),
        steps=verdict.steps,
    )


def _reason(
    scene: Scene,
    now: tuple[np.void, np.void],
    then: tuple[np.void, np.void],
    why: int,
    verdict: Verdict,
) -> str:
    if why == TRANSLATED:
        return _translated(now[0], then[0])
    if why == NOT_TRANSLATED_BACK:
        seen = end_text(then[1]["key"], "src", int(then[1]["echo_id"]))
        return f"would come from {seen}: no longer translated back"
    if why in (MOVED_THERE, MOVED_BACK):
        place = 0 if why == MOVED_THERE else 1
        return new_way(scene, now[place], then[place])
    return reason_of(verdict)


def _translated(now: np.void, then: np.void) -> str:
    """The other translation in words, if it is another one."""
    for end, word in (("dst", "go to"), ("src", "come from")):
        is_, would = (end_text(o["key"], end, int(o["echo_id"])) for o in (now, then))
        if is_ != would:
            return f"would {word} {would} instead of {is_}: nobody there knows this connection"
    return ""


def _end(scene: Scene, port: str, key: np.void, end: str, echo_id: int) -> End:
    stated = scene.links.ports.get(port)
    host = stated.host if stated is not None and stated.host is not None else ""
    return End(port, host, address_of(key, end), number_of(key, end, echo_id))
