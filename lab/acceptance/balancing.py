"""The load balancer: who gets the connections to a VIP, and who keeps them."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import sqrt

import msgspec

from onehop.engine.model import HealthMonitor, PoolMember, Topology
from onehop.lab.acceptance.scene import PATIENCE_S, READY_S, Scene, Step, udp, with_fields
from onehop.lab.acceptance.servers import Servers, connect, echoes
from onehop.lab.checks import eventually
from onehop.lab.hosts import command_line
from onehop.lab.results import Check
from onehop.lab.state import LabError

REQUESTS, WEIGHTS = 400, (1, 3, 9)
SIGMAS = 3.5  # of the sampling error: missed by chance once in some hundred runs
STICKY, LASTING, NEW = 40, 24, 40
AFFINITY_S = 60
MONITOR = HealthMonitor(name="lab-monitor", interval_s=1.0, timeout_s=0.8, rise=2, fall=2)
LEFT_S = MONITOR.fall * MONITOR.interval_s + MONITOR.timeout_s + 0.5  # half a second for all else


def steps(scene: Scene) -> Iterator[Step]:
    balancing = _Balancing(scene)
    yield f"{REQUESTS} requests by weight", balancing.weights
    yield "requests by UDP", balancing.datagrams
    yield "affinity", balancing.sticky
    yield "a member that is drained", balancing.drained
    yield "a member that is gone", balancing.gone
    yield "a member that fails", balancing.failed
    yield "a pool without members", balancing.refused


class _Balancing:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.client = scene, scene.client
        topology = scene.lab.topology
        self.vip, self.udp = scene.vip, scene.udp_vip
        self.members: list[PoolMember] = [
            member for member in topology.pool_members if member.pool == self.vip.pool
        ]
        if len(self.members) != len(WEIGHTS):
            raise LabError(f"this scenario needs a pool of {len(WEIGHTS)} members")

    def weights(self) -> Check:
        weights = {m.name: w for m, w in zip(self.members, WEIGHTS, strict=True)}
        changed = with_fields("pool_members", {n: {"weight": w} for n, w in weights.items()})
        with self._servers(), self.scene.stated(changed):
            got = self._requests(REQUESTS)
        shares = {name: weight / sum(WEIGHTS) for name, weight in weights.items()}
        passed = sum(got.values()) == REQUESTS and all(
            abs(got[name] - REQUESTS * p) <= SIGMAS * sqrt(REQUESTS * p * (1 - p))
            for name, p in shares.items()
        )
        wanted = " ".join(f"{REQUESTS * p:.0f}" for p in shares.values())
        detail = f"of {REQUESTS}, {_told(got)}; {wanted} within {SIGMAS} sigmas wanted"
        return Check("connections are shared by weight", passed, detail)

    def datagrams(self) -> Check:
        with self._servers():
            got = Counter(filter(None, (self._datagram() for _ in range(NEW))))
        passed = sum(got.values()) == NEW and len(got) == len(self.members)
        return Check("UDP is shared too", passed, f"of {NEW}, {_told(got)}")

    def sticky(self) -> Check:
        changed = with_fields("vips", {self.vip.name: {"affinity_s": AFFINITY_S}})
        with self._servers(), self.scene.stated(changed):
            got = self._requests(STICKY)
        passed = list(got.values()) == [STICKY]
        return Check("affinity keeps a client at one member", passed, f"of {STICKY}, {_told(got)}")

    def drained(self) -> Check:
        drained = self.members[0].name
        changed = with_fields("pool_members", {drained: {"admin_state_up": False}})
        with ExitStack() as stack:
            stack.enter_context(self._servers())
            lasting = [self._connect(stack) for _ in range(LASTING)]
            stack.enter_context(self.scene.stated(changed))
            new = self._requests(NEW)
            kept = Counter(name for name, sock in lasting if echoes(sock))
        opened = Counter(name for name, _ in lasting)
        passed = kept == opened and opened[drained] > 0 and sum(new.values()) == NEW
        detail = f"kept {_told(kept)} of {_told(opened)}; new {_told(new)}"
        name = "a drained member keeps its connections and gets no new ones"
        return Check(name, passed and new[drained] == 0, detail)

    def gone(self) -> Check:
        gone = self.members[0].name
        with ExitStack() as stack:
            stack.enter_context(self._servers())
            lasting = [self._connect(stack) for _ in range(LASTING)]
            others = Counter(name for name, _ in lasting if name != gone)
            stack.enter_context(self.scene.stated(without_member(gone)))
            new = self._requests(NEW)
            kept = Counter(name for name, sock in lasting if name != gone and echoes(sock))
        passed = kept == others and sum(new.values()) == NEW and new[gone] == 0
        detail = f"others kept {_told(kept)} of {_told(others)}; new {_told(new)}"
        return Check("a member that is gone touches nobody else's connections", passed, detail)

    def failed(self) -> Check:
        """A member that takes no more connections, found out by a monitor."""
        failed = self.members[0].name
        with ExitStack() as stack:
            servers = stack.enter_context(self._servers())
            stack.enter_context(self.scene.stated(with_monitor(self.vip.pool)))
            eventually(self._not_healthy, READY_S)
            lasting = [self._connect(stack) for _ in range(LASTING)]
            others = Counter(name for name, _ in lasting if name != failed)
            servers.fail(failed)
            moved_s = self._refusals_end_s(LEFT_S)
            new = self._requests(NEW)
            kept = Counter(name for name, sock in lasting if name != failed and echoes(sock))
        passed = kept == others and sum(new.values()) == NEW and new[failed] == 0
        detail = (
            f"refused for {moved_s:.1f} s ({LEFT_S:.1f} s at most wanted); others kept "
            f"{_told(kept)} of {_told(others)}; new {_told(new)}"
        )
        return Check("a member that fails is left within the health interval", passed, detail)

    def _not_healthy(self) -> str:
        asked = ["get", "pool-members", "-o", "json", "--store", self.scene.lab.state.store]
        found = msgspec.json.decode(command_line(asked))
        ill = [m["name"] for m in found if m.get("health", {}).get("state") != "healthy"]
        return f"not healthy: {' '.join(ill)}" if ill else ""

    def _refusals_end_s(self, within_s: float) -> float:
        """How long after now a connection was refused last."""
        began_s = last_s = time.monotonic()
        while (now_s := time.monotonic()) - began_s < within_s:
            with self.client.socket() as sock:
                last_s = last_s if connect(sock, self.vip) else now_s
            time.sleep(0.02)
        return last_s - began_s

    def refused(self) -> Check:
        down = {member.name: {"admin_state_up": False} for member in self.members}
        began_s = time.monotonic()
        with self.scene.stated(with_fields("pool_members", down)), self.client.socket() as sock:
            sock.settimeout(PATIENCE_S)
            try:
                sock.connect((self.vip.address, self.vip.port))
                said = "accepted"
            except ConnectionRefusedError:
                said = "refused"
            except TimeoutError:
                said = f"silence, {time.monotonic() - began_s:.0f} s"
        return Check("a pool without members refuses", said == "refused", said)

    def _servers(self) -> Servers:
        return Servers(self.scene.lab, self.members)

    def _requests(self, count: int) -> Counter[str]:
        """Who answered how many connections; those without an answer count as nobody's."""
        found: Counter[str] = Counter()
        for _ in range(count):
            with ExitStack() as stack:
                name, _sock = self._connect(stack)
                found[name] += bool(name)
        return found

    def _connect(self, stack: ExitStack) -> tuple[str, socket.socket]:
        """A connection to the VIP, and whom it has; "" for nobody."""
        sock = stack.enter_context(self.client.socket())
        return connect(sock, self.vip), sock

    def _datagram(self) -> str:
        with udp(self.client) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect((self.udp.address, self.udp.port))
            try:
                sock.send(b"who?")
                return sock.recv(64).decode()
            except OSError:
                return ""


def with_monitor(pool: str) -> Callable[[Topology], Topology]:
    """A topology with a monitor of a pool."""

    def changed(topology: Topology) -> Topology:
        monitored = with_fields("pools", {pool: {"monitor": MONITOR.name}})(topology)
        return msgspec.structs.replace(monitored, health_monitors=(MONITOR,))

    return changed


def without_member(name: str) -> Callable[[Topology], Topology]:
    """A topology without a member of a pool."""

    def changed(topology: Topology) -> Topology:
        left = tuple(member for member in topology.pool_members if member.name != name)
        return msgspec.structs.replace(topology, pool_members=left)

    return changed


def _told(got: Counter[str]) -> str:
    return (
        ", ".join(f"{name or 'nobody'} {count}" for name, count in sorted(got.items())) or "none"
    )
