"""The store loses its leader, again and again, and then all of its servers at once.

    leader killed ── another leads ── started again   (KILLS times, under writes)
    all killed ── SILENCE_S without a store ── all started ── agents take up what is stated

Pings between two machines, and between a machine and the outside, count what is lost all the time.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from onehop.controller.errors import InputError
from onehop.lab import stores
from onehop.lab.checks import eventually
from onehop.lab.hosts import command_line
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.results import Check, Result, header
from onehop.lab.screen import Screen
from onehop.lab.writing import Counts, Writer, gap_s

KILLS = 5
SETTLE_S = 3.0  # before a leader is killed, and before it is started again
SILENCE_S = 60.0
GAP_S = 2.0  # in which writes must go on
RESUME_S = 30.0
PING_S = 0.02
MARKED = "after-the-silence"


def run(lab: Lab, screen: Screen, kills: int = KILLS, silence_s: float = SILENCE_S) -> Result:
    """Kill leaders, then everything."""
    if lab.state.options.store < 3:
        raise InputError("scenario store: the lab has one store; bring it up with --store 3")
    started_s = time.time()
    found = [*_leaders(lab, screen, kills), *_silence(lab, screen, silence_s)]
    return Result(**header("store", lab, found, started_s))


def _leaders(lab: Lab, screen: Screen, kills: int) -> Iterator[Check]:
    gaps: list[float] = []
    with _pings(lab) as pings:
        writer = Writer(lab.state.store)
        try:
            for number in range(1, kills + 1):
                screen.doing(f"leader {number} of {kills} dies while clients write")
                gaps.append(_kill_leader(lab, writer))
                screen.event(f"a leader died: the next write after {gaps[-1] * 1000:.0f} ms")
        finally:
            counts = writer.end()
    yield _written(counts)
    worst = ", ".join(f"{gap * 1000:.0f}" for gap in gaps)
    yield Check(f"written again within {GAP_S:.0f} s", max(gaps) <= GAP_S, f"{worst} ms")
    yield _forwarded("forwarding while leaders die", pings)


def _kill_leader(lab: Lab, writer: Writer) -> float:
    """Kill the leader and start it again; how long nothing could be written."""
    time.sleep(SETTLE_S)
    leader = stores.leader(lab)
    at = time.monotonic()
    stores.kill_one(lab, leader)
    try:
        time.sleep(SETTLE_S)
    finally:
        stores.start_one(lab, leader)
    return gap_s([t for t in writer.times if t > at - SETTLE_S], at)


def _written(counts: Counts) -> Check:
    good = counts.accepted > 0 and not counts.lost and not counts.twice
    words = f"{counts.accepted} accepted, {counts.lost} lost, {counts.twice} doubled"
    return Check("every accepted write is there, once", good, words)


def _silence(lab: Lab, screen: Screen, silence_s: float) -> Iterator[Check]:
    numbers = range(1, lab.state.options.store + 1)
    tried = made = 0
    with _pings(lab) as pings:
        screen.doing(f"{silence_s:.0f} s without any store")
        for number in numbers:
            stores.kill_one(lab, number)
        end = time.monotonic() + silence_s
        try:
            while time.monotonic() < end:
                time.sleep(1.0)
                tried, made = tried + 1, made + _connects(lab)
        finally:
            for number in numbers:
                stores.start_one(lab, number)
        back = time.monotonic()
        _state_something(lab)
        resumed = _resumed(lab)
    yield _forwarded(f"forwarding in {silence_s:.0f} s without a store", pings)
    yield Check("new connections without a store", made == tried > 0, f"{made} of {tried}")
    took = f"all in {time.monotonic() - back:.1f} s" if not resumed else resumed
    yield Check("agents resume by themselves", not resumed, took)


def _connects(lab: Lab) -> bool:
    """Whether a machine can open a new connection to another one."""
    caller, other = lab.machines[:2]
    with other.socket() as listener, caller.socket() as client:
        listener.bind((other.address, 0))
        listener.listen()
        client.settimeout(2.0)
        try:
            client.connect(listener.getsockname())
        except OSError:
            return False
    return True


def _state_something(lab: Lab) -> None:
    """State what every agent must then know, as soon as there is a store again."""
    words = ["create", "address-group", MARKED, "--store", lab.state.store]
    command_line([*words, "--timeout", f"{RESUME_S:.0f}"])


def _resumed(lab: Lab) -> str:
    """Which agents do not know what was stated after the silence, in the end."""
    number = len(lab.topology.address_groups) + 1

    def missing() -> str:
        statuses = {host.name: host.agent_status() or {} for host in lab.hosts}
        late = [n for n, s in statuses.items() if s.get("rows", {}).get("address_group") != number]
        return f"not told: {' '.join(late)}" if late else ""

    try:
        eventually(missing, RESUME_S)
    except RuntimeError as error:
        return str(error)
    finally:
        command_line(["delete", "address-group", MARKED, "--store", lab.state.store])
    return ""


class _Ping:
    """Pings from one node to another, counted."""

    def __init__(self, node: Node, address: str, what: str) -> None:
        self.what, self.sent, self.lost = what, 0, 0
        self._process = node.popen(["ping", "-q", "-n", "-i", str(PING_S), "-W", "2", address])

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            said, _ = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        if counts := re.search(r"(\d+) packets transmitted, (\d+) received", said):
            self.sent, self.lost = int(counts[1]), int(counts[1]) - int(counts[2])


@contextmanager
def _pings(lab: Lab) -> Iterator[list[_Ping]]:
    first, second = lab.machines[:2]
    found = [_Ping(first, second.address, "between machines")]
    found.append(_Ping(first, lab.clients[0].address, "to the outside"))
    try:
        yield found
    finally:
        for ping in found:
            ping.end()


def _forwarded(name: str, pings: list[_Ping]) -> Check:
    words = "; ".join(f"{ping.lost} of {ping.sent} pings lost {ping.what}" for ping in pings)
    return Check(name, all(ping.sent and not ping.lost for ping in pings), words)
