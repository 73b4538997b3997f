"""Where the switch and the engine disagree.

1. What the engine says is noted in the moment in which the switch is asked, on the connection that
   its flows go: there is no race with packets or changes.
2. What differs is looked at once more, after `AGAIN_S`, and told only if it differs again: an
   entry that has expired, or a port that was just plugged in, has been dealt with by then.
3. Flows are looked at `SLICE` at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from onehop.controller import questions as ask
from onehop.controller.agent.core import Core
from onehop.controller.agent.held import Reader, Wish
from onehop.engine import openflow
from onehop.engine.inspect import canonical

SLICE = 512  # flows
MOST_SLICES = 256  # the switch looks at all of its flows for each
AGAIN_S = 2.5  # entries that have expired are gone after 2 s
PAUSE_S = 0.01  # between two slices
FOREIGN = (Wish(0, openflow.CLASS_MASK), Wish(3 << 62, openflow.CLASS_MASK))

Key = tuple[int, int, bytes]  # table, priority, match
Look = Callable[[], "Found"]


class Should(NamedTuple):
    """A flow as the engine says."""

    cookie: int
    noted: bytes  # its instructions, as the switch was told
    would: bytes | None  # as they would be now; None: it would be deleted


class Found(NamedTuple):
    """What one look has shown."""

    compared: int
    differences: list[ask.Difference]


def audit(core: Core, reader: Reader, now_ns: Callable[[], int]) -> Iterator[ask.Answer]:
    """The differences, and how much was compared."""
    slices = _slices(core.packets.datapath.flow_count)
    looks: list[Look] = [
        lambda: _compare(reader, [Wish(openflow.STATIC, openflow.CLASS_MASK)], _static(core)),
        lambda: _compare(reader, FOREIGN, {}),
        *(_dynamic(core, reader, now_ns, i, slices) for i in range(slices)),
    ]
    suspects: list[tuple[Look, Found]] = []
    compared = []
    for look in looks:
        found = look()
        compared.append(found.compared)
        if found.differences:
            suspects.append((look, found))
        time.sleep(PAUSE_S)
    if suspects:
        yield ask.Waiting()
        time.sleep(AGAIN_S)
    for look, before in suspects:
        yield from _still(before, look())
    yield ask.Audited(static=compared[0], dynamic=sum(compared[2:]))


def _still(before: Found, after: Found) -> Iterator[ask.Difference]:
    seen = {(each.what, each.table, each.priority, each.match) for each in before.differences}
    for each in after.differences:
        if (each.what, each.table, each.priority, each.match) in seen:
            yield each


def _slices(flows: int) -> int:
    """How many, a power of two."""
    return min(1 << max(0, (flows // SLICE).bit_length()), MOST_SLICES)


def _dynamic(
    core: Core, reader: Reader, now_ns: Callable[[], int], number: int, slices: int
) -> Look:
    wish = Wish(openflow.DYNAMIC | number, openflow.CLASS_MASK | slices - 1)

    def look() -> Found:
        datapath = core.packets.datapath
        installed = datapath.installed(range(number, datapath.room, slices), now_ns())
        should = {
            (flow.table, flow.priority, flow.match): Should(flow.cookie, flow.noted, flow.would)
            for flow in installed
        }
        return _compare(reader, [wish], should)

    return look


def _static(core: Core) -> dict[Key, Should]:
    should = {}
    for cookie, flow in core.static_flows(core.state).items() if core.state else ():
        told = openflow.static_instructions(flow.actions)
        key = (flow.table, flow.priority, openflow.static_match(dict(flow.match)))
        should[key] = Should(cookie, told, told)
    return should


def _compare(reader: Reader, wishes: Sequence[Wish], should: dict[Key, Should]) -> Found:
    differences, missing = [], dict(should)
    with reader.asked(wishes) as replies:
        for message in replies:
            for held in openflow.flow_stats(message):
                match = canonical(held.match) if held.cookie >> 62 == 2 else held.match
                key = (held.table, held.priority, match)
                expected = missing.pop(key, None)
                what = _judged(held, expected)
                if what:
                    differences.append(_difference(what, key, held, expected))
            time.sleep(0)
    differences += [
        _difference("missing", key, None, expected)
        for key, expected in missing.items()
        if expected.would is not None
    ]
    return Found(len(should), differences)


def _judged(
    held: openflow.FlowStats, should: Should | None
) -> Literal["", "foreign", "different", "outdated"]:
    if should is None:
        return "foreign"
    if held.instructions == should.would and held.cookie == should.cookie:
        return ""
    return "outdated" if held.instructions == should.noted else "different"


def _difference(
    what: Literal["missing", "foreign", "different", "outdated"],
    key: Key,
    held: openflow.FlowStats | None,
    should: Should | None,
) -> ask.Difference:
    return ask.Difference(
        what=what,
        table=key[0],
        priority=key[1],
        match=key[2],
        cookie=held.cookie if held else should.cookie if should else 0,
        held=held.instructions if held else None,
        should=should.would if should else None,
    )
