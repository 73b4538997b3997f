"""Filters and the connections that they remember: named checks, each with real packets.

      vm1 ── c1 ════ underlay ════ c2 ── vm2       ports below 1024 are closed at every machine
               ╚═════════════════ g1…gN ── outside ── client1

1. Each check sends packets of its own and counts where they come out; nothing is asked of agents.
2. Replies are sent through a gateway of the check's choice, by a route of the outside router.
3. What a check changes of the topology is put back before the next one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Literal

import msgspec

from onehop.engine.model import Chain, Port, Rule, Topology
from onehop.lab import checks as waits
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.processes import kill
from onehop.lab.results import Check, Result, header
from onehop.lab.screen import Screen
from onehop.lab.state import LabError
from onehop.lab.up import apply
from onehop.lab.wiretap import Wiretap

CLOSED, OPEN = 100, 20_000  # UDP and TCP ports, by the lab's security group
PACKETS, TRIES = 100, 10
SILENCE_S = 90.0  # longer than a UDP connection is remembered
ARRIVE_S, READY_S = 0.5, 60.0
CHANGE_MS = 100.0  # from the store's answer to the last packet of the old rules
STREAM_S = 0.005
FILTER = "lab-filter"  # the chain of this scenario
Side = Literal["inbound_filter", "outbound_filter"]


def run(lab: Lab, screen: Screen) -> Result:
    """Go through all checks."""
    started_s = time.time()
    found = []
    with ExitStack() as stack:
        for what, check in _Scene(lab, stack).checks():
            screen.doing(what)
            found.append(check())
            screen.event(f"{found[-1].name}: {found[-1].detail}")
    return Result(**header("stateful", lab, found, started_s))


class _Scene:
    """The machines, the client, and a connection that is silent from the beginning."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self.lab, self._stack = lab, stack
        if len({machine.state.host for machine in lab.machines}) < 2:
            raise LabError("this scenario needs machines on two hosts")
        self.here, self.client = lab.machines[0], lab.clients[0]
        self.there = next(m for m in lab.machines if m.state.host != self.here.state.host)
        self.silent = self.talk(CLOSED + 1)
        self.silent_s = time.monotonic()

    def checks(self) -> Iterator[tuple[str, Callable[[], Check]]]:
        yield "a closed port", self.closed
        yield "an open port", self.open
        yield "a reply", self.reply
        yield "a reply through each gateway", self.any_gateway
        yield "a reply after all agents have started again", self.restart
        yield "a rule added to a live stream", self.live_rule
        yield "a rule on the ether type", self.ether_type
        yield "a rule on some bits of a MAC", self.masked_mac
        yield f"a reply after {SILENCE_S:.0f} s of silence", self.silence

    # The checks

    def closed(self) -> Check:
        marker = _marker()
        underlay = self.lab.node("underlay").pid
        hosts = [host.name for host in self.lab.hosts]
        with self.udp(self.there, CLOSED) as sink, Wiretap(underlay, hosts) as tap:
            with self.udp(self.here) as source:
                for _ in range(PACKETS):
                    source.sendto(marker, (self.there.address, CLOSED))
                    time.sleep(0.002)
            arrived = _count(sink, marker)
            seen = sum(link.sent for link in tap.count(lambda frame: marker in frame).values())
        detail = f"{PACKETS} sent, {arrived} arrived, {seen} on the underlay"
        return Check(
            "what the far side would drop never leaves its host", not arrived + seen, detail
        )

    def open(self) -> Check:
        with (
            self.there.socket() as server,
            self.here.socket() as source,
        ):
            server.bind((self.there.address, OPEN))
            server.listen()
            source.settimeout(ARRIVE_S * TRIES)
            source.connect((self.there.address, OPEN))
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"hello")
                said = source.recv(5)
        return Check("an open port takes connections", said == b"hello", f"{said.decode()!r} came")

    def reply(self) -> Check:
        inside, outside = self.udp(self.here, CLOSED), self.udp(self.client, OPEN)
        with inside, outside:
            before = self.replies(outside, inside, TRIES)
            self.hear(inside, outside)
            after = self.replies(outside, inside, TRIES)
        detail = f"of {TRIES} each, {before} came before the machine had sent, {after} after"
        return Check(
            "what a machine sends opens the way back", (before, after) == (0, TRIES), detail
        )

    def any_gateway(self) -> Check:
        inside, outside = self.talk(CLOSED + 2)
        came = {}
        for gateway in self.lab.gateways:
            with self.through(gateway.name):
                came[gateway.name] = self.replies(outside, inside, TRIES)
        detail = f"of {TRIES} each: {came}"
        return Check("replies come through any gateway", set(came.values()) == {TRIES}, detail)

    def restart(self) -> Check:
        gateways = [gateway.name for gateway in self.lab.gateways]
        with self.through(gateways[0]):
            inside, outside = self.talk(CLOSED + 3)
        for host in self.lab.hosts:
            kill(host.agent_pids())
            host.start_agent()
        waits.eventually(lambda: waits.agents_missing(self.lab, set(gateways)), READY_S)
        with self.through(gateways[-1]):
            came = self.replies(outside, inside, TRIES)
        detail = f"{came} of {TRIES}, through {gateways[-1]}"
        return Check("connections outlive all agents", came == TRIES, detail)

    def live_rule(self) -> Check:
        with self.udp(self.there, OPEN) as sink, _Stream(self.here, sink) as stream:
            with self.filtered(self.here, "inbound_filter", Rule(action="drop", protocol="udp")):
                added_s = time.time()
                time.sleep(ARRIVE_S)
            removed_s = time.time()
            time.sleep(ARRIVE_S)
        blocked_s = added_s + ARRIVE_S
        late_ms = 1e3 * (max(t for t in stream.arrived if t < blocked_s) - added_s)
        back_ms = 1e3 * (
            min((t for t in stream.arrived if t > blocked_s), default=inf) - removed_s
        )
        detail = (
            f"last packet {max(late_ms, 0):.0f} ms after the rule was stated, next one "
            f"{max(back_ms, 0):.0f} ms after it was gone; {CHANGE_MS:.0f} ms at most wanted"
        )
        return Check("a rule counts at once", max(late_ms, back_ms) <= CHANGE_MS, detail)

    def ether_type(self) -> Check:
        with self.filtered(self.here, "inbound_filter", Rule(action="drop", ether_type="ipv6")):
            six, four = self.reaches(self.there.address6), self.reaches(self.there.address)
        detail = f"IPv6: {six} of {TRIES} came, IPv4: {four}"
        return Check("IPv6 is blocked by its ether type", (six, four) == (0, TRIES), detail)

    def masked_mac(self) -> Check:
        came = []
        for first in ("02", "06"):  # the machines' MACs begin with 02
            rule = Rule(
                action="drop",
                source_mac=f"{first}:00:00:00:00:00",
                source_mac_mask="ff:00:00:00:00:00",
            )
            with self.filtered(self.there, "outbound_filter", rule):
                came.append(self.reaches(self.there.address))
        detail = f"of {TRIES} each, {came[0]} came where the bits are alike, {came[1]} where not"
        return Check("a MAC is compared in its masked bits", came == [0, TRIES], detail)

    def silence(self) -> Check:
        time.sleep(max(0.0, self.silent_s + SILENCE_S - time.monotonic()))
        inside, outside = self.silent
        came = self.replies(outside, inside, TRIES)
        return Check("a silent connection is forgotten", came == 0, f"{came} of {TRIES} came")

    # What they are made of

    def udp(self, node: Node, port: int = 0) -> socket.socket:
        sock = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((node.address, port))
        return sock

    def talk(self, port: int) -> tuple[socket.socket, socket.socket]:
        """A connection from the machine's closed port to the client, which has been heard."""
        inside = self._stack.enter_context(self.udp(self.here, port))
        outside = self._stack.enter_context(self.udp(self.client))
        self.hear(inside, outside)
        return inside, outside

    def hear(self, inside: socket.socket, outside: socket.socket) -> None:
        """Have the client hear the machine."""
        marker = _marker()
        for _ in range(TRIES):
            inside.sendto(marker, outside.getsockname())
            if _count(outside, marker, ARRIVE_S / TRIES):
                return
        raise LabError(f"{self.client.name} does not hear {self.here.name}")

    def replies(self, outside: socket.socket, inside: socket.socket, count: int) -> int:
        """How many of `count` replies of the client come to the machine."""
        marker = _marker()
        for _ in range(count):
            outside.sendto(marker, inside.getsockname())
        return _count(inside, marker)

    def reaches(self, address: str) -> int:
        """How many of a few datagrams from the one machine come to the other."""
        marker, family = _marker(), socket.AF_INET6 if ":" in address else socket.AF_INET
        with (
            self.there.socket(family, socket.SOCK_DGRAM) as sink,
            self.here.socket(family, socket.SOCK_DGRAM) as source,
        ):
            sink.bind((address, OPEN))
            for _ in range(TRIES):
                source.sendto(marker, (address, OPEN))
            return _count(sink, marker)

    @contextmanager
    def through(self, gateway: str) -> Iterator[None]:
        """Have the outside send what is for the machine through one gateway."""
        uplink = next(u for u in self.lab.plan.uplinks if u.host == gateway)
        address = next(a for a in uplink.gateway if "." in a)
        outside = self.lab.node("outside")
        outside.sh(f"ip route replace {self.here.address} via {address}")
        try:
            yield
        finally:
            outside.sh(f"ip route delete {self.here.address}")

    @contextmanager
    def filtered(self, machine: Node, side: Side, rule: Rule) -> Iterator[None]:
        """Have the machine's port filter by this rule."""
        before = self.lab.topology
        apply(self.lab, with_filter(before, machine.name, side, rule))
        try:
            yield
        finally:
            apply(self.lab)


class _Stream:
    """Datagrams every few milliseconds; when they came (seconds, as `time.time`)."""

    def __init__(self, source: Node, sink: socket.socket) -> None:
        self.arrived: list[float] = []
        self._sink, self._stop = sink, threading.Event()
        self._source = source.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._source.connect(sink.getsockname())
        self._threads = [threading.Thread(target=job) for job in (self._send, self._receive)]

    def __enter__(self) -> _Stream:
        self._sink.settimeout(0.1)
        for thread in self._threads:
            thread.start()
        waits.eventually(lambda: "" if self.arrived else "the stream does not arrive", READY_S)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._source.close()

    def _send(self) -> None:
        while not self._stop.wait(STREAM_S):
            self._source.send(b"onehop")

    def _receive(self) -> None:
        while not self._stop.is_set():
            try:
                self._sink.recv(64)
            except TimeoutError:
                continue
            self.arrived.append(time.time())


def with_filter(topology: Topology, port: str, side: Side, rule: Rule) -> Topology:
    """`topology` with a chain of one rule at one port."""

    def filtered(found: Port) -> Port:
        return msgspec.structs.replace(found, **{side: FILTER}) if found.name == port else found

    ports: Sequence[Port] = [filtered(found) for found in topology.ports]
    chains = (*topology.chains, Chain(name=FILTER, rules=(rule,)))
    return msgspec.structs.replace(topology, ports=tuple(ports), chains=chains)


def _marker() -> bytes:
    return f"onehop-{time.time_ns()}".encode()


def _count(sink: socket.socket, marker: bytes, wait_s: float = ARRIVE_S) -> int:
    """How often `marker` comes before nothing comes for a while."""
    sink.settimeout(wait_s)
    found = 0
    while True:
        try:
            found += sink.recv(256) == marker
        except TimeoutError:
            return found
