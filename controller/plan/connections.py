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
from onehop.controller.plan.findings import Connection, Direction, End, Fate
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


def judge(
    scene: Scene, probes: Array, before: Rehearsed, after: Rehearsed, teller: Teller
) -> tuple[Connection, ...]:
    there, back = _ways(before.there, after.there), _ways(before.back, after.back)
    answered = (before.back["answers"] != 0) & (after.back["answers"] == 0)
    touched = np.flatnonzero((there != "") | (back != "") | answered)
    found = []
    for place in touched[:MOST_TOLD]:
        now = before.there[place], before.back[place]
        then = after.there[place], after.back[place]
        found.append(_connection(scene, probes[place], now, then, teller))
    return tuple(sorted(found, key=_order))


def _order(found: Connection) -> tuple[object, ...]:
    ends = found.source, found.destination
    return tuple((ip_address(e.address).packed, e.number) for e in ends)


def _ways(before: Array, after: Array) -> Array:
    """What becomes of packets of one direction; "": nothing, or they did not arrive before."""
    arrives = before["kind"] == FORWARD
    lost = arrives & (after["kind"] != FORWARD)
    moved = arrives & ~lost & (
        (before["port"] != after["port"]) | (before["host"] != after["host"])
    )  # fmt: skip
    for name in ("ip_src", "ip_dst"):
        moved |= arrives & ~lost & (before["key"][name] != after["key"][name]).any(axis=1)
    for name in ("tp_src", "tp_dst"):
        moved |= arrives & ~lost & (before["key"][name] != after["key"][name])
    moved |= arrives & ~lost & (before["echo_id"] != after["echo_id"])
    return np.where(lost, "lost", np.where(moved, "moved", ""))


def _connection(
    scene: Scene,
    probe: np.void,
    now: tuple[np.void, np.void],
    then: tuple[np.void, np.void],
    teller: Teller,
) -> Connection:
    fate, direction, reason, verdict = _fate(scene, probe, now, then, teller)
    key, reached = probe["key"], now[0]
    names = scene.names
    return Connection(
        fate=fate,
        protocol=protocol_name(int(key["ip_proto"])),
        source=_end(scene, names.ports[key["in_port"]], key, "src", int(probe["echo_id"])),
        destination=_end(scene, "", key, "dst", int(probe["echo_id"])),
        reached=_end(
            scene, port_of(scene, reached), reached["key"], "dst", int(reached["echo_id"])
        ),
        direction=direction,
        reason=reason,
        steps=verdict.steps,
    )


def _fate(
    scene: Scene,
    probe: np.void,
    now: tuple[np.void, np.void],
    then: tuple[np.void, np.void],
    teller: Teller,
) -> tuple[Fate, Direction, str, Verdict]:
    if then[0]["kind"] != FORWARD:
        verdict = teller.there(probe)
        return "waits" if then[0]["kind"] == AWAIT else "cut", "there", reason_of(verdict), verdict
    if moved := _translated(now[0], then[0]):
        verdict = teller.there(probe)
        is_cut = int(probe["key"]["ip_proto"]) in (TCP, SCTP)
        return "cut" if is_cut else "rerouted", "there", moved, verdict
    if now[1]["kind"] == FORWARD and then[1]["kind"] != FORWARD and then[0]["port"] != NOBODY:
        verdict = teller.back(probe, then[0])
        return "waits" if then[1]["kind"] == AWAIT else "cut", "back", reason_of(verdict), verdict
    if now[1]["answers"] and not then[1]["answers"] and then[0]["port"] != NOBODY:
        verdict = teller.back(probe, then[0])
        seen = end_text(then[1]["key"], "src", int(then[1]["echo_id"]))
        return "cut", "back", f"answers would come from {seen}: no longer translated back", verdict
    moved_there = now[0]["port"] != then[0]["port"] or now[0]["host"] != then[0]["host"]
    direction: Direction = "there" if moved_there else "back"
    place = 0 if direction == "there" else 1
    verdict = teller.there(probe) if place == 0 else teller.back(probe, then[0])
    return "rerouted", direction, new_way(scene, now[place], then[place]), verdict


def _translated(now: np.void, then: np.void) -> str:
    """The other translation in words, if it is another one."""
    for end, word in (("dst", "to"), ("src", "as coming from")):
        is_, would = (end_text(o["key"], end, int(o["echo_id"])) for o in (now, then))
        if is_ != would:
            stranger = "which does not know this connection" if end == "dst" else "a stranger"
            return f"would go {word} {would}, {stranger}, instead of {is_}"
    return ""


def _end(scene: Scene, port: str, key: np.void, end: str, echo_id: int) -> End:
    stated = scene.links.ports.get(port)
    host = stated.host if stated is not None and stated.host is not None else ""
    return End(port, host, address_of(key, end), number_of(key, end, echo_id))
