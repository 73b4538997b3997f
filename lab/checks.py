"""Whether the lab works, asked of the lab itself: packets that cross it, agents that answer.

Every wait polls a condition until a deadline and, when that passes, says what was still missing.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from onehop.lab.nodes import Node
from onehop.lab.state import LabError

if TYPE_CHECKING:
    from onehop.lab.lab import Lab

Step = Callable[[str], None]
PROBES = 64  # connections of one look; each crosses any one of three gateways with odds 1 to 2


def eventually(missing: Callable[[], str], timeout_s: float, every_s: float = 0.1) -> None:
    """Until `missing` returns nothing; a LabError with what it returned last when time is up."""
    deadline = time.monotonic() + timeout_s
    while still := missing():
        if time.monotonic() > deadline:
            raise LabError(f"after {timeout_s:.0f} s: {still}")
        time.sleep(every_s)


def wait_ready(lab: Lab, timeout_s: float, gateways: Iterable[str] | None = None) -> None:
    """Until the agents are live and each machine's traffic crosses all of `gateways`."""
    wanted = set(gateways) if gateways is not None else {g.name for g in lab.gateways}
    deadline = time.monotonic() + timeout_s
    eventually(lambda: agents_missing(lab, wanted), timeout_s, 0.25)
    eventually(lambda: reach_missing(lab, wanted), max(deadline - time.monotonic(), 1.0))


def agents_missing(lab: Lab, gateways: set[str]) -> str:
    """The hosts whose agents do not forward yet."""
    hosts = [h for h in lab.hosts if h.state.role == "compute" or h.name in gateways]
    waiting = [h.name for h in hosts if not (h.agent_status() or {}).get("live")]
    return f"agents not live: {' '.join(waiting)}" if waiting else ""


def reach_missing(lab: Lab, gateways: set[str]) -> str:
    """What still keeps the machines from the outside through exactly `gateways`."""
    uplinks = [uplink for uplink in lab.plan.uplinks if uplink.host in gateways]
    for family, sign in ((socket.AF_INET, "."), (socket.AF_INET6, ":")):
        speaking = {u.host for u in uplinks if any(sign in address for address in u.outside)}
        if speaking and (missing := _family_missing(lab, speaking, family)):
            return missing
    return ""


def _family_missing(lab: Lab, gateways: set[str], family: int) -> str:
    client, version = lab.clients[0], 4 if family == socket.AF_INET else 6
    before = lab.uplink_counters()
    for machine in lab.machines:
        answered = probe(machine, client, PROBES, family=family)
        if not all(answered):
            told = f"{sum(answered)} of {len(answered)} IPv{version} datagrams"
            return f"{machine.name}: {client.name} answered {told}"
    after = lab.uplink_counters()
    used = {n for n in after if after[n].up_packets - before[n].up_packets >= PROBES // 8}
    return _difference(gateways, used)


def _difference(wanted: set[str], used: set[str]) -> str:
    unused, stray = sorted(wanted - used), sorted(used - wanted)
    reasons = [f"no traffic through {' '.join(unused)}"] if unused else []
    reasons += [f"traffic through {' '.join(stray)}"] if stray else []
    return "; ".join(reasons)


def probe(
    machine: Node, client: Node, count: int, *, family: int = socket.AF_INET, wait_s: float = 0.5
) -> list[bool]:
    """Send `count` datagrams, each a connection of its own, and say which were answered."""
    if not (has(machine, family) and has(client, family)):
        return []
    sockets = [machine.socket(family, socket.SOCK_DGRAM) for _ in range(count)]
    with Echo(client, family) as echo:
        try:
            for one in sockets:
                _send(one, echo.address)
            return echo.answered(sockets, wait_s)
        finally:
            for one in sockets:
                one.close()


def has(node: Node, family: int) -> bool:
    """Whether the node has an address of `family`."""
    sign = "." if family == socket.AF_INET else ":"
    return any(sign in address for address in node.state.addresses)


class Echo:
    """Answers datagrams in a node, from this process."""

    def __init__(self, node: Node, family: int) -> None:
        self.socket = node.socket(family, socket.SOCK_DGRAM)
        own = node.address if family == socket.AF_INET else node.address6
        self.socket.bind((own, 0))
        self.address = self.socket.getsockname()[:2]

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def answered(self, sockets: list[socket.socket], wait_s: float) -> list[bool]:
        """Echo and collect until all of `sockets` have their answer, or for `wait_s`."""
        waiting = set(sockets)
        deadline = time.monotonic() + wait_s
        while waiting and (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.socket, *waiting], [], [], left)
            for one in readable:
                self._take(one, waiting)
        return [one not in waiting for one in sockets]

    def _take(self, one: socket.socket, waiting: set[socket.socket]) -> None:
        try:
            data, peer = one.recvfrom(64)
        except OSError:  # an ICMP error instead of an answer
            return
        if one is self.socket:
            one.sendto(data, peer)
        else:
            waiting.discard(one)


def _send(one: socket.socket, address: tuple[str, int]) -> None:
    with suppress(OSError):  # an ICMP error that an earlier datagram brought back
        one.sendto(b"onehop", address)


def status(lab: Lab) -> dict[str, Any]:
    """The lab in one dictionary, node by node."""
    return {
        "ready": lab.state.ready,
        "platform": lab.state.platform,
        "options": lab.state.options,
        "nodes": [node_status(lab, name) for name in lab.state.nodes],
    }


def node_status(lab: Lab, name: str) -> dict[str, Any]:
    state = lab.state.nodes[name]
    found: dict[str, Any] = {
        "name": name,
        "role": state.role,
        "pid": state.pid,
        "alive": lab.node(name).alive,
        "addresses": list(state.addresses),
    }
    if state.role in ("compute", "gateway"):
        found["agent"] = lab.host(name).agent_status()
    return found
