"""What would happen to many packets, to whole conversations and to flows: nothing is changed."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onehop.engine.states import States
from onehop.engine.topology import Topology

Array = npt.NDArray[Any]

KEY: np.dtype[np.void]  # a packet's header: packet.FlowKey
PROBE: np.dtype[np.void]  # a packet to be: `key`, `echo_id`, and `table`, an index of the tables
OUTCOME: np.dtype[np.void]  # what became of it; `key` and `echo_id` as it leaves
NOBODY: int  # `port` and `host` of what leaves nowhere, or at several ports
KINDS: tuple[str, ...]  # by `kind`
NOT_SENT: int  # the `kind` of the answer to a packet that did not arrive at one port

class Rehearsed(NamedTuple):
    there: Array  # OUTCOMEs, in the order of the probes
    back: Array  # of the answers
    tags: npt.NDArray[np.uint64]  # of each probe `there.n_tags`, then `back.n_tags`

class HeldFlows(NamedTuple):
    keys: Array  # KEYs
    masks: Array
    places: list[int]  # of each, among what was given

def rehearse(
    topology: Topology,
    tables: Sequence[States],
    table_of_host: npt.NDArray[np.uint32],
    probes: Array,
    *,
    now_ns: int = ...,
    seed: int = ...,
) -> Rehearsed:
    """Send each packet, and what its receiver would answer to it.

    `table_of_host` has the place of each host's table, by the host's index; hosts beyond its end
    have that of the packet. What a packet remembers is there when it is answered, and gone when
    the next one is sent.
    """

def review(
    topology: Topology,
    table: States,
    flows: HeldFlows,
    *,
    now_ns: int = ...,
    seed: int = ...,
) -> Rehearsed:
    """Look at flows again as `Datapath.invalidate` does; `back` is empty.

    `is_told` says whether the match tells enough for the verdict, `is_cacheable` whether it holds
    for more than one packet. A flow without both would be deleted, and its next packet looked at.
    """

def held_flows(flows: Iterable[bytes], ports: Iterable[tuple[int, int]]) -> HeldFlows:
    """The flows with these matches (OXM); `ports`: OVS's number and our index of each port.

    Left out are those at other ports, and matches that are none of ours.
    """

def match_of(key: np.void, mask: np.void) -> dict[str, tuple[int | str, int | str]]:
    """Value and mask of each field that a flow matches."""

def answer(outcome: np.void) -> np.void:
    """The PROBE of what the receiver sends back."""

def frame(probe: np.void) -> bytes:
    """A packet as short as can be with this header."""
