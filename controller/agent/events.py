"""What happens to an agent (events) and what it does about it (commands): two closed unions.

1. An event is a fact, a command is an order; neither holds anything that can change.
2. Times are nanoseconds of one monotonic clock, except where a name ends in ``_s``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from onehop.controller.agent.desired import Desired, Monitor
from onehop.engine.model import LearnedRoute, Resource

Names = Sequence[tuple[str, str]]  # (kind, name)


class OfPort(msgspec.Struct, frozen=True):
    """A port as OpenFlow tells it."""

    device: str
    number: int
    link_up: bool  # its carrier
    live: bool  # OFPPS_LIVE; of a port with BFD: its session is up and the far side forwards


class StoreStep(msgspec.Struct, frozen=True):
    """One consistent change of what the store holds; the first one holds all of it."""

    put: Sequence[Resource] = ()
    remove: Names = ()


class StoreLink(msgspec.Struct, frozen=True):
    """The connection to the store came or went."""

    connected: bool


class SwitchUp(msgspec.Struct, frozen=True):
    """The switch has connected, and these are its ports."""

    ports: Sequence[OfPort]


class SwitchDown(msgspec.Struct, frozen=True):
    """The switch's connection is gone."""


class SwitchSettled(msgspec.Struct, frozen=True):
    """The switch's database says what it should; these devices have a port number."""

    devices: frozenset[str]


class PortChanged(msgspec.Struct, frozen=True):
    """A port was added or changed."""

    port: OfPort


class PortGone(msgspec.Struct, frozen=True):
    """A port was deleted."""

    device: str


class RoutesLearned(msgspec.Struct, frozen=True):
    """All the routes that BGP knows at an uplink now."""

    port: str
    routes: frozenset[LearnedRoute]


class SwitchRefused(msgspec.Struct, frozen=True):
    """The switch answered something that it was sent with an error."""

    reason: str


class StateCame(msgspec.Struct, frozen=True):
    """Another host's agent told about connections."""

    host: str
    messages: Sequence[bytes]


class StateFetched(msgspec.Struct, frozen=True):
    """Every other host's agent has told all that it knows."""


class UnderlayMeasured(msgspec.Struct, frozen=True):
    """The longest IP packet that the underlay takes from this host."""

    mtu: int


class MemberJudged(msgspec.Struct, frozen=True):
    """A health monitor of this host thinks something else of a member than before."""

    member: str
    healthy: bool
    reason: str  # why not


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""

    clock_s: float  # seconds since the epoch


Event = (
    StoreStep
    | StoreLink
    | SwitchUp
    | SwitchDown
    | SwitchSettled
    | PortChanged
    | PortGone
    | RoutesLearned
    | SwitchRefused
    | StateCame
    | StateFetched
    | UnderlayMeasured
    | MemberJudged
    | Tick
)


class Send(msgspec.Struct, frozen=True):
    """Write these OpenFlow messages to the switch."""

    data: bytes


class TellState(msgspec.Struct, frozen=True):
    """Tell another host's agent about connections; before whatever is ordered after this."""

    host: str
    message: bytes


class WantState(msgspec.Struct, frozen=True):
    """Ask the other hosts' agents for what they know of connections that pass here."""

    addresses: Sequence[str] = ()  # of these; none: of all


class PutState(msgspec.Struct, frozen=True):
    """Write these rows of this host to the store."""

    resources: Sequence[Resource]


class RemoveState(msgspec.Struct, frozen=True):
    """Remove these rows of this host from the store."""

    names: Names


class Reconcile(msgspec.Struct, frozen=True):
    """Have the drivers bring this about."""

    desired: Desired
    serving: bool | None  # other hosts may send here; None: leave what they were told before


class Announce(msgspec.Struct, frozen=True):
    """Have the uplinks announce their networks, or withdraw them."""

    announcing: bool


class Carrier(msgspec.Struct, frozen=True):
    """Tell an uplink's FRR that its link went down or came up."""

    port: str
    up: bool


class Watch(msgspec.Struct, frozen=True):
    """Have the members of pools asked by these monitors."""

    monitors: Sequence[Monitor]


class Log(msgspec.Struct, frozen=True):
    """Tell the operator."""

    text: str


Command = (
    Send
    | TellState
    | WantState
    | PutState
    | RemoveState
    | Reconcile
    | Announce
    | Carrier
    | Watch
    | Log
)
