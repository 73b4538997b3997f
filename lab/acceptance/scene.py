"""Who the checks send packets between, and the ways they do it.

      vm1 ── c1 ════ underlay ════ c2 ── vm2       ports below 1024 are closed at every machine
               ╚═════════════════ g1…gN ── outside ── client1

1. `here` has a floating IP, `there` has none and lives on another host.
2. Whoever answers, answers whom it has seen: translated addresses are taken from packets.
3. Packets from the outside take a gateway of the check's choice, by a route of its router.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple

import msgspec

from onehop.engine.model import Resource, Rule, Topology, Vip
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.results import Check
from onehop.lab.state import LabError
from onehop.lab.up import apply

CLOSED, OPEN = 100, 20_000  # UDP and TCP ports, by the lab's security group
TRIES = 10
ARRIVE_S = 0.5
PATIENCE_S = 3.0
READY_S = 60.0

Step = tuple[str, Callable[[], Check]]  # what is being done, and its check


class Talk(NamedTuple):
    """A UDP connection from a machine to the client, which has been heard."""

    inside: socket.socket
    outside: socket.socket
    seen: tuple[str, int]  # whom the client sees


class Scene:
    """The machines and the client."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self.lab, self._stack = lab, stack
        self.here, self.client = lab.reachable(), lab.clients[0]
        self.public = lab.public(self.here)
        others = [m for m in lab.machines if m.state.host != self.here.state.host]
        hidden = [machine for machine in others if not lab.public(machine)]
        if self.public == self.here.address or not hidden:
            raise LabError(
                "this scenario needs a machine with a floating IP, and one without on another host"
            )
        self.there = hidden[0]
        self.gateways = [gateway.name for gateway in lab.gateways]
        self._closed = count(CLOSED + 1)
        vips: dict[str, Vip] = {vip.protocol: vip for vip in lab.topology.vips}
        if set(vips) != {"tcp", "udp"}:
            raise LabError("this scenario needs a VIP of TCP and one of UDP")
        self.vip, self.udp_vip = vips["tcp"], vips["udp"]

    def free_closed(self) -> int:
        """A port that is closed to strangers, and that no other check uses."""
        return next(self._closed)

    def udp(self, node: Node, port: int = 0) -> socket.socket:
        """A socket that lives as long as the scenario."""
        return self._stack.enter_context(udp(node, port))

    def talk(self, machine: Node, port: int = 0) -> Talk:
        """Have the client hear the machine."""
        inside, outside = self.udp(machine, port), self.udp(self.client)
        return Talk(inside, outside, self.hear(inside, outside))

    def hear(self, inside: socket.socket, outside: socket.socket) -> tuple[str, int]:
        marker = made_marker()
        outside.settimeout(ARRIVE_S)
        for _ in range(TRIES):
            inside.sendto(marker, outside.getsockname())
            try:
                said, seen = outside.recvfrom(256)
            except TimeoutError:
                continue
            if said == marker:
                return str(seen[0]), int(seen[1])
        raise LabError(f"{self.client.name} does not hear {inside.getsockname()[0]}")

    def replies(self, talk: Talk) -> int:
        """How many of a few replies of the client come to the machine."""
        return sent(talk.outside, talk.seen, talk.inside)

    @contextmanager
    def through(self, gateway: str, address: str) -> Iterator[None]:
        """Have the outside send what is for `address` through one gateway."""
        uplink = next(u for u in self.lab.plan.uplinks if u.host == gateway)
        hop = next(a for a in uplink.gateway if "." in a)
        outside = self.lab.node("outside")
        outside.sh(f"ip route replace {address} via {hop}")
        try:
            yield
        finally:
            outside.sh(f"ip route delete {address}")

    @contextmanager
    def stated(self, changed: Callable[[Topology], Topology]) -> Iterator[None]:
        """Have the topology be another one."""
        apply(self.lab, changed(self.lab.topology))
        try:
            yield
        finally:
            apply(self.lab)


def udp(node: Node, port: int = 0, family: int = socket.AF_INET) -> socket.socket:
    sock = node.socket(family, socket.SOCK_DGRAM)
    sock.bind((node.address6 if family == socket.AF_INET6 else node.address, port))
    return sock


def made_marker() -> bytes:
    return f"onehop-{time.time_ns()}".encode()


def sent(source: socket.socket, to: tuple[str, int], sink: socket.socket, n: int = TRIES) -> int:
    """How many of `n` datagrams come to the sink."""
    marker = made_marker()
    for _ in range(n):
        source.sendto(marker, to)
    return counted(sink, marker)


def counted(sink: socket.socket, marker: bytes, wait_s: float = ARRIVE_S) -> int:
    """How often `marker` comes before nothing comes for a while."""
    sink.settimeout(wait_s)
    found = 0
    while True:
        try:
            found += sink.recv(256) == marker
        except TimeoutError:
            return found


def exchange(source: Node, target: Node, address: str, port: int = OPEN) -> str:
    """Speak TCP with `target` at `address`: whom the target sees, or "" where they don't meet."""
    with target.socket() as server, source.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((target.address, port))
        server.listen()
        server.settimeout(PATIENCE_S)
        client.settimeout(PATIENCE_S)
        try:
            client.connect((address, port))
            accepted, seen = server.accept()
            with accepted:
                accepted.settimeout(PATIENCE_S)
                client.sendall(b"ask")
                heard = accepted.recv(16)
                accepted.sendall(heard + b"ed")
                return str(seen[0]) if client.recv(16) == b"asked" else ""
        except OSError:
            return ""


def with_rules(chain: str, first: Sequence[Rule]) -> Callable[[Topology], Topology]:
    """A topology with rules before those that a chain has."""

    def changed(topology: Topology) -> Topology:
        chains = tuple(
            msgspec.structs.replace(found, rules=(*first, *found.rules))
            if found.name == chain
            else found
            for found in topology.chains
        )
        return msgspec.structs.replace(topology, chains=chains)

    return changed


def with_fields(
    plural: str, fields: Mapping[str, Mapping[str, object]]
) -> Callable[[Topology], Topology]:
    """A topology with other fields of some resources of one kind, by name."""

    def changed(topology: Topology) -> Topology:
        held: tuple[Resource, ...] = getattr(topology, plural)
        found = tuple(msgspec.structs.replace(r, **fields.get(r.name, {})) for r in held)
        return msgspec.structs.replace(topology, **{plural: found})

    return changed
