"""What `onehop plan` finds: frozen values, and nothing that decides anything."""

from __future__ import annotations

from typing import Literal

import msgspec

Fate = Literal["cut", "rerouted", "waits"]
Direction = Literal["there", "back"]


class Fates(msgspec.Struct, frozen=True):
    """How many do not go on as they are."""

    cut: int = 0
    rerouted: int = 0
    waits: int = 0

    @property
    def all(self) -> int:
        """All of these."""
        return self.cut + self.rerouted + self.waits


class End(msgspec.Struct, frozen=True):
    """One end of a connection, as the packets say it there."""

    port: str  # the virtual port
    host: str
    address: str
    number: int  # TCP, UDP, SCTP: the port; ICMP: the identifier; else 0


class Connection(msgspec.Struct, frozen=True):
    """A live connection that would not go on as it is."""

    fate: Fate
    protocol: str
    source: End  # who opened it
    destination: End  # whom it was opened to, by the address that the source knows
    reached: End  # who answers it now
    direction: Direction  # which packets are affected; of both: there
    reason: str
    steps: tuple[str, ...]  # what would happen to its packets, in words


class Flow(msgspec.Struct, frozen=True):
    """Traffic whose connections nobody remembers, and that would not go on as it is."""

    fate: Fate
    host: str
    port: str  # where it comes in
    match: dict[str, str]  # which packets
    reason: str
    steps: tuple[str, ...]


class Flows(msgspec.Struct, frozen=True):
    """How many flows are installed, and what becomes of them."""

    installed: int = 0
    reviewed: int = 0  # looked at again because of what changes
    kept: int = 0  # of these: as they are
    rewritten: int = 0  # other actions
    dropping: int = 0  # forward now, and would drop
    opened: int = 0  # drop now, and would forward
    removed: int = 0  # their next packet is looked at, and decides


class Pair(msgspec.Struct, frozen=True):
    """What a new connection from one machine to another would get otherwise than now."""

    gains: bool
    source: str  # a port
    target: str  # a port, a floating IP or a VIP
    address: str  # the target's
    services: tuple[str, ...]  # icmp, tcp/80
    reason: str  # of what it loses


class Pairs(msgspec.Struct, frozen=True):
    """The pairs of machines that were looked at."""

    machines: int = 0
    of: int = 0  # machines that could have been
    asked: int = 0  # pairs of a machine and an address
    services: tuple[str, ...] = ()
    lose: tuple[Pair, ...] = ()
    gain: tuple[Pair, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """An object that would change."""

    kind: str
    name: str
    what: Literal["added", "changed", "removed"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would do."""

    changes: tuple[Change, ...]
    hosts: tuple[str, ...]  # whose agents have said what is live
    silent: dict[str, str]  # whose have not, and why
    connections: int = 0  # live ones that could be followed
    unplaced: int = 0  # remembered, and it is not known where their packets come in
    fates: Fates = Fates()
    affected: tuple[Connection, ...] = ()  # the worst `telling.MOST_TOLD`
    flows: Flows = Flows()
    traffic_fates: Fates = Fates()
    traffic: tuple[Flow, ...] = ()  # of each host the worst
    pairs: Pairs = Pairs()

    @property
    def cuts(self) -> int:
        """Connections and traffic that would be cut."""
        return self.fates.cut + self.traffic_fates.cut
