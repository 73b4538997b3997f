"""How a packet's length comes into a match: flows that compare it and note the outcome in reg0.

```
table 0, by exterior port    reg0 = mark; longer than limit 0?  -> bit 0     then table 1
table i                      bits 0..i-1 set: longer than limit i? -> bit i  then table i + 1
                             otherwise                                       then LIMITED
LIMITED                      the flows that are for some lengths; a miss goes to the controller
```

1. These flows are met by what no flow in table 0 is for: most flows are for any length.
2. Each comparison is made only where the one before came out "longer": Open vSwitch follows both
   outcomes of each, and there are as many paths as lengths, not two to that power.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onehop.controller.agent.desired import Action, StaticFlow
from onehop.engine import openflow
from onehop.engine.limits import ETHERNET_BYTES, mark_of

BY_PORT, LONGER, SHORTER, MISS = 20, 20, 10, 0  # priorities


def static_flows(in_ports: Iterable[int], limits: tuple[int, ...]) -> Iterator[StaticFlow]:
    """The flows that compare the lengths of what comes in by these ports; none without limits."""
    if not limits:
        return
    mark = mark_of(limits) << 16
    for number in in_ports:
        actions = (("set", "reg0", mark), *_compare(limits, 0))
        yield StaticFlow(BY_PORT, (("in_port", number),), actions)
    for table in range(1, len(limits)):
        longer = (("reg0", mark | (1 << table) - 1),)
        yield StaticFlow(LONGER, longer, _compare(limits, table), table)
        yield StaticFlow(SHORTER, (), (("goto", openflow.LIMITED),), table)
    yield StaticFlow(MISS, (), (("controller",),), openflow.LIMITED)


def _compare(limits: tuple[int, ...], number: int) -> tuple[Action, ...]:
    last = number == len(limits) - 1
    frame_bytes = min(limits[number] + ETHERNET_BYTES, 0xFFFF)
    following = openflow.LIMITED if last else number + 1
    return (("compare_length", frame_bytes, number), ("goto", following))
