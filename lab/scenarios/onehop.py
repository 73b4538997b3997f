"""Packets counted on every underlay link: one tunnel hop, and only where one is needed.

          underlay switch
   ┌─────┬─────┬─────┬─────┐      a tap on each link counts the tunnelled frames that carry
   c1    c2    …     g1    …      the packets of this scenario, and no others

machine to machine          one hop each, from host to host, past every gateway
machine to the outside      one hop each, from the host to the gateway where it leaves
ARP for a known address     never on the underlay
packet without a route      never on the underlay, and the sender is told
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from ipaddress import ip_address

import msgspec

from onehop.engine.model import Topology
from onehop.lab import checks as waits
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.results import Check, Crossing, OnehopResult, header
from onehop.lab.screen import Screen
from onehop.lab.state import LabError
from onehop.lab.up import apply
from onehop.lab.wiretap import Seen, Wanted, Wiretap

PACKETS = 200
ARPS = 5
NOWHERE = "203.0.113.9"  # TEST-NET-3 (RFC 5737)
WAIT_S = 10.0
_ARRIVE_S = 0.3
_IP_RECVERR = 11
_ANYWHERE = ("0.0.0.0/0", "::/0")


def run(lab: Lab, screen: Screen) -> OnehopResult:
    """Send, and count where packets go."""
    started_s = time.time()
    scene = _Scene(lab)
    crossings, found = [], []
    for what, act in (
        ("machine to machine", scene.machine_to_machine),
        ("machine to the outside", scene.machine_to_outside),
        ("ARP for a known address", scene.arp),
        ("packet without a route", scene.no_route),
    ):
        screen.doing(what)
        crossing, check = act(what)
        crossings.append(crossing)
        found.append(check)
        screen.event(f"{what}: {check.detail}")
    return OnehopResult(crossings=tuple(crossings), **header("onehop", lab, found, started_s))


class _Scene:
    """The machines that send, and the taps."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        if len({machine.state.host for machine in lab.machines}) < 2:
            raise LabError("this scenario needs machines on two hosts")
        self.here = lab.machines[0]
        self.there = next(m for m in lab.machines if m.state.host != self.here.state.host)
        self.gateways = [gateway.name for gateway in lab.gateways]

    def machine_to_machine(self, what: str) -> tuple[Crossing, Check]:
        seen, arrived = self._send(self.there)
        one, other = self.here.state.host, self.there.state.host
        crossing = _crossing(what, PACKETS, seen)
        passed = (
            arrived == PACKETS
            and _sent(seen) == {one: PACKETS}
            and _delivered(seen) == {other: PACKETS}
        )
        detail = (
            f"{arrived} of {PACKETS} arrived; sent on {_sent(seen)}, delivered on "
            f"{_delivered(seen)}; through gateways: {_through(seen, self.gateways)}"
        )
        return crossing, Check("machine to machine is one hop, past the gateways", passed, detail)

    def machine_to_outside(self, what: str) -> tuple[Crossing, Check]:
        seen, arrived = self._send(self.lab.clients[0])
        out = _delivered(seen)
        passed = (
            arrived == PACKETS
            and _sent(seen) == {self.here.state.host: PACKETS}
            and sum(out.values()) == PACKETS
            and set(out) <= set(self.gateways)
        )
        detail = f"{arrived} of {PACKETS} arrived; sent on {_sent(seen)}, delivered on {out}"
        name = "machine to the outside is one hop"
        return _crossing(what, PACKETS, seen), Check(name, passed, detail)

    def arp(self, what: str) -> tuple[Crossing, Check]:
        wanted = _arp_for(self.there.address)
        answered = 0
        with self._tap() as tap:
            for _ in range(ARPS):
                self.here.sh(f"ip neigh flush dev eth0; ip neigh flush to {self.there.address}")
                ping = ["ping", "-c1", "-W1", self.there.address]
                answered += self.here.run(ping, check=False).returncode == 0
            seen = tap.count(wanted)
        crossing = _crossing(what, ARPS, seen)
        detail = f"{answered} of {ARPS} answered; on the underlay: {sum(_sent(seen).values())}"
        passed = answered == ARPS and not _sent(seen)
        return crossing, Check("an ARP for a known address stays on its host", passed, detail)

    def no_route(self, what: str) -> tuple[Crossing, Check]:
        marker = _marker("no-route")
        try:
            apply(self.lab, without_default(self.lab.topology))
            waits.eventually(lambda: "" if _told(self.here) else "a route is left", WAIT_S)
            with self._tap() as tap:
                told = sum(_told(self.here, marker) for _ in range(ARPS))
                _datagrams(self.here, NOWHERE, 9, marker, PACKETS)
                time.sleep(_ARRIVE_S)
                seen = tap.count(lambda frame: marker in frame)
        finally:
            apply(self.lab)
            self.lab.wait_ready(3 * WAIT_S)
        detail = (
            f"{told} of {ARPS} told that the network is unreachable; "
            f"{PACKETS} more sent; on the underlay: {sum(_sent(seen).values())}"
        )
        passed = told == ARPS and not _sent(seen)
        crossing = _crossing(what, PACKETS + ARPS, seen)
        return crossing, Check("a packet without a route stays on its host", passed, detail)

    def _send(self, target: Node) -> tuple[dict[str, Seen], int]:
        """Send marked datagrams; what the links saw, and how many arrived."""
        marker = _marker(target.name)
        with target.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
            sink.bind((target.address, 0))
            port = sink.getsockname()[1]
            _datagrams(self.here, target.address, port, _marker("warm"), 3)
            time.sleep(_ARRIVE_S)
            with self._tap() as tap:
                _datagrams(self.here, target.address, port, marker, PACKETS)
                time.sleep(_ARRIVE_S)
                return tap.count(lambda frame: marker in frame), _arrived(sink, marker)

    def _tap(self) -> Wiretap:
        return Wiretap(self.lab.node("underlay").pid, [host.name for host in self.lab.hosts])


def without_default(topology: Topology) -> Topology:
    """The topology without its routes to everywhere."""
    left = tuple(route for route in topology.routes if route.destination not in _ANYWHERE)
    return msgspec.structs.replace(topology, routes=left)


def _marker(what: str) -> bytes:
    return f"onehop-{what}-{time.time_ns()}".encode()


def _datagrams(node: Node, address: str, port: int, marker: bytes, count: int) -> None:
    """Half of them on one connection, half each on a connection of its own."""
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for _ in range(count - count // 2):
            one.sendto(marker, (address, port))
            time.sleep(0.002)
    for _ in range(count // 2):
        with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(marker, (address, port))
            time.sleep(0.002)


def _arrived(sink: socket.socket, marker: bytes) -> int:
    sink.setblocking(False)  # noqa: FBT003
    found = 0
    while True:
        try:
            found += sink.recv(256) == marker
        except BlockingIOError:
            return found


def _told(node: Node, marker: bytes = b"onehop") -> bool:
    """Whether a datagram to nowhere is answered by: the network is unreachable."""
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.settimeout(0.5)
        sock.connect((NOWHERE, 9))
        sock.send(marker)
        try:
            sock.recv(16)
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def _arp_for(address: str) -> Wanted:
    target = ip_address(address).packed

    def wanted(frame: bytes) -> bool:
        return frame[12:14] == b"\x08\x06" and target in (frame[28:32], frame[38:42])

    return wanted


def _crossing(what: str, sent: int, seen: dict[str, Seen]) -> Crossing:
    links = {name: link.sent + link.delivered for name, link in seen.items()}
    return Crossing(
        what=what,
        sent=sent,
        links={name: count for name, count in links.items() if count},
        hops=sum(_sent(seen).values()) / sent,
    )


def _sent(seen: dict[str, Seen]) -> dict[str, int]:
    return {name: link.sent for name, link in seen.items() if link.sent}


def _delivered(seen: dict[str, Seen]) -> dict[str, int]:
    return {name: link.delivered for name, link in seen.items() if link.delivered}


def _through(seen: dict[str, Seen], gateways: Iterable[str]) -> int:
    return sum(seen[name].sent + seen[name].delivered for name in gateways)
