"""Filters, security groups, and what never reaches the underlay."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from math import inf

import msgspec

from onehop.engine.model import Chain, Rule, Topology
from onehop.lab import checks as waits
from onehop.lab.acceptance.scene import (
    ARRIVE_S,
    CLOSED,
    OPEN,
    READY_S,
    TRIES,
    Scene,
    Step,
    Talk,
    counted,
    exchange,
    made_marker,
    sent,
    udp,
    with_fields,
)
from onehop.lab.nodes import Node
from onehop.lab.results import Check
from onehop.lab.wiretap import Wiretap

PACKETS = 100
CHANGE_MS = 100.0  # from the store's answer to the last packet of the old rules
STREAM_S = 0.005
FILTER = "lab-filter"  # the chain of these checks


def steps(scene: Scene) -> Iterator[Step]:
    filters = _Filters(scene)
    yield "a closed port", filters.closed
    yield "an open port", filters.open
    yield "a reply", filters.reply
    yield "a rule added to a live stream", filters.live_rule
    yield "a rule on the ether type", filters.ether_type
    yield "a rule on some bits of a MAC", filters.masked_mac


class _Filters:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.here, self.there = scene, scene.here, scene.there

    def closed(self) -> Check:
        marker, lab = made_marker(), self.scene.lab
        underlay, hosts = lab.node("underlay").pid, [host.name for host in lab.hosts]
        with udp(self.there, CLOSED) as sink, Wiretap(underlay, hosts) as tap:
            for source, address in (
                (self.here, self.there.address),
                (self.scene.client, self.scene.public),  # by another machine's floating IP
            ):
                with udp(source) as one:
                    for _ in range(PACKETS):
                        one.sendto(marker, (address, CLOSED))
                        time.sleep(0.002)
            arrived = counted(sink, marker)
            seen = sum(link.sent for link in tap.count(lambda frame: marker in frame).values())
        detail = f"{2 * PACKETS} sent, {arrived} arrived, {seen} on the underlay"
        name = "what the far side would drop never reaches the underlay"
        return Check(name, not arrived + seen, detail)

    def open(self) -> Check:
        seen = exchange(self.here, self.there, self.there.address)
        detail = f"the one sees {seen or 'nothing'}"
        return Check("an open port takes connections", seen == self.here.address, detail)

    def reply(self) -> Check:
        """From the outside to a floating IP, whose port is closed to strangers."""
        scene = self.scene
        inside, outside = scene.udp(self.here, CLOSED), scene.udp(scene.client, OPEN)
        unasked = Talk(inside, outside, (scene.public, CLOSED))
        before = scene.replies(unasked)
        after = scene.replies(Talk(inside, outside, scene.hear(inside, outside)))
        detail = f"of {TRIES} each, {before} came before the machine had sent, {after} after"
        name = "what a machine sends opens the way back"
        return Check(name, (before, after) == (0, TRIES), detail)

    def live_rule(self) -> Check:
        rule = Rule(action="drop", protocol="udp")
        with udp(self.there, OPEN) as sink, _Stream(self.here, sink) as stream:
            with self.scene.stated(with_filter(self.here.name, "inbound_filter", rule)):
                added_s = time.time()
                time.sleep(ARRIVE_S)
            removed_s = time.time()
            time.sleep(ARRIVE_S)
        blocked_s = added_s + ARRIVE_S
        late_ms = 1e3 * (max(t for t in stream.arrived if t < blocked_s) - added_s)
        again = min((t for t in stream.arrived if t > blocked_s), default=inf)
        back_ms = 1e3 * (again - removed_s)
        detail = (
            f"last packet {max(late_ms, 0):.0f} ms after the rule was stated, next one "
            f"{max(back_ms, 0):.0f} ms after it was gone; {CHANGE_MS:.0f} ms at most wanted"
        )
        return Check("a rule counts at once", max(late_ms, back_ms) <= CHANGE_MS, detail)

    def ether_type(self) -> Check:
        rule = Rule(action="drop", ether_type="ipv6")
        with self.scene.stated(with_filter(self.here.name, "inbound_filter", rule)):
            six, four = self._reaches(socket.AF_INET6), self._reaches(socket.AF_INET)
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
            with self.scene.stated(with_filter(self.there.name, "outbound_filter", rule)):
                came.append(self._reaches(socket.AF_INET))
        detail = f"of {TRIES} each, {came[0]} came where the bits are alike, {came[1]} where not"
        return Check("a MAC is compared in its masked bits", came == [0, TRIES], detail)

    def _reaches(self, family: int) -> int:
        """How many of a few datagrams from the one machine come to the other."""
        with udp(self.there, OPEN, family) as sink, udp(self.here, 0, family) as source:
            return sent(source, sink.getsockname()[:2], sink)


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


def with_filter(port: str, side: str, rule: Rule) -> Callable[[Topology], Topology]:
    """A topology with a chain of one rule at one side of a port."""

    def changed(topology: Topology) -> Topology:
        chains = (*topology.chains, Chain(name=FILTER, rules=(rule,)))
        filtered = with_fields("ports", {port: {side: FILTER}})(topology)
        return msgspec.structs.replace(filtered, chains=chains)

    return changed
