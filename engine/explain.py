"""A verdict in words.

1. Frozen values only; nothing here decides anything.
2. `match` names a field as `onehop.engine.packet.parse_key` does; value and mask are integers.
   MACs and addresses are integers too: `in_words` formats them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from onehop.engine.effects import MacLearned, NeighborLearned, NeighborWanted

Kind = Literal["drop", "forward", "consumed", "await", "loop"]


class Action(msgspec.Struct, frozen=True):
    """One step of what a switch does to the packet, in the form `packet.rewrite` takes."""

    action: str  # set_eth_src, set_eth_dst, dec_ttl, output, flood
    value: str | int = 0  # a MAC, or the name of the port or bridge
    except_port: str = ""  # flood: not to this port


class Emitted(msgspec.Struct, frozen=True):
    """A packet that the network itself sends."""

    packet: bytes
    actions: tuple[Action, ...]


class Output(msgspec.Struct, frozen=True):
    """A copy of the packet that leaves the network."""

    port: str
    packet: bytes  # as it leaves


class Verdict(msgspec.Struct, frozen=True):
    """What happens to one packet, and to every packet like it."""

    kind: Kind
    reason: str  # why it was dropped or consumed; "" where it is forwarded
    cacheable: bool
    in_port: str
    match: dict[str, tuple[int, int]]  # field -> (value, mask): what the verdict depends on
    actions: tuple[Action, ...]
    outputs: tuple[Output, ...]  # where the packet leaves, floods spelled out
    emitted: tuple[Emitted, ...]
    emitted_outputs: tuple[Output, ...]
    learned: tuple[MacLearned | NeighborLearned, ...]
    awaited: NeighborWanted | None
    tags: tuple[str, ...]  # names of what it depends on
    steps: tuple[str, ...]  # the walk in words
