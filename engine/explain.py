"""A verdict in words.

1. Frozen values only; nothing here decides anything.
2. `match` names a field as `onehop.engine.packet.parse_key` does; value and mask are integers.
   MACs and addresses are integers too.
3. `STEPS` is in the order of StepCode in walk.pxd.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

import msgspec

from onehop.engine.effects import MacLearned, NeighborLearned, NeighborWanted
from onehop.engine.states import Entry
from onehop.engine.verdict import REASONS

Kind = Literal["drop", "forward", "consumed", "await", "loop"]


class Action(msgspec.Struct, frozen=True):
    """One step of what a switch does to the packet, in the form `packet.rewrite` takes."""

    action: str  # set_eth_src, set_eth_dst, dec_ttl, output, flood
    value: str | int = 0  # a MAC, or the name of the port or bridge
    except_port: str = ""  # flood: not to this port
    host: str = ""  # flood: only to this host's ports


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
    created: tuple[Entry, ...]  # what is remembered about its connection
    used: tuple[Entry, ...]  # the same, found: only the keys
    tags: tuple[str, ...]  # names of what it depends on
    tag_ids: tuple[int, ...]  # the same as `Topology.update` reports them
    steps: tuple[str, ...]  # the walk in words


STEPS = (
    "enters {device} by {port}",
    "leaves {device} by {port}",
    "goes out of the network by {port}",
    "goes to every other port of {device}",
    "{device} learns that {mac} is at {port}",
    "{device} knows that {mac} is at {port}",
    "{device} does not know where {mac} is",
    "{device} answers for {address}",
    "{port} learns the MAC of {address}",
    "{device} has a route to {prefix}",
    "{value} equal routes: one by the connection's hash",
    "next hop {address} by {port}",
    "{port} does not know the MAC of {address}, and asks",
    "{device} tells the sender: {error}",
    "{device} answers the echo request",
    "{reason}",
    "",  # tags are listed by themselves
    "",
    "{device} resets the connection",
    "{port}: rule {value} of {chain}: {action}",
    "{device} tells the sender that it is refused",
    "new source {address}",
    "new destination {address}",
    "{device}: {told}",
)
TOLD = (  # in the order of Told in lease.pxd
    "nothing to answer",
    "this cannot be answered",
    "the machine is offered {address}",
    "the machine has {address}",
    "the machine is refused what it asks for: it has {address}",
    "the machine at {address} is told the rest",
    "the machine is offered {address}",
    "the machine is told what it asks about {address}",
    "the machine at {address} is told of its router",
)
ERRORS = (  # in the order of IcmpError in craft.pxd
    "no route",
    "host unreachable",
    "prohibited",
    "TTL exceeded",
    "packet too big",
    "port unreachable",
    "protocol unreachable",
)
ACTIONS = (  # in the order of RuleAction in chain.pxd
    "accept", "drop", "reject", "return", "jump", "snat", "dnat", "reverse snat", "reverse dnat",
)  # fmt: skip
ERROR_STEP, REASON_STEP, RULE_STEP, TOLD_STEP = 13, 15, 19, STEPS.index("{device}: {told}")


def step_in_words(
    code: int, is_crafted: bool, device: str, port: str, value: int, data: bytes, chain: str = ""
) -> str:
    """One step of the walk; "" where it is none to tell people about."""
    address = _address(data, value & 0xFF if code == TOLD_STEP else value)
    text = STEPS[code].format(
        device=device,
        port=port,
        value=value,
        mac=data[:6].hex(":"),
        address=address,
        prefix=f"{_address(data, value >> 8)}/{value & 0xFF}",
        error=ERRORS[value] if code == ERROR_STEP else "",
        reason=REASONS[value] if code == REASON_STEP else "",
        chain=chain,
        action=ACTIONS[data[4]] if code == RULE_STEP else "",
        told=TOLD[value >> 8].format(address=address) if code == TOLD_STEP else "",
    )
    return f"  its own packet: {text}" if text and is_crafted else text


def _address(data: bytes, family: int) -> str:
    return str(ip_address(data[:4] if family == 4 else data))
