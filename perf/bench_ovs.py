"""The agent with real Open vSwitch: new connections, each of them a packet-in.

Every packet is the first of a UDP connection of a machine: security groups, a tenant's router with
SNAT, a provider's router with three uplinks, then VXLAN to a gateway.  Ryu's `simple_switch_13`
has the same switch; each of its packets has a MAC of its own, so that it is asked as often.  So
has a controller that has the agent's answers ready: its loss, and its delay, are the switch's.
OVN, where it is installed, is there for the delay.
"""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import socket
import statistics
import struct
import time
from collections.abc import Iterator

import cbench
import frames
import ovn
import pytest
import testbed
import workloads
from networks import hosts, udp
from record import OURS, Meter
from testbed import Bed

pytestmark = pytest.mark.skipif(
    not testbed.is_possible(), reason="needs root, network namespaces and Open vSwitch"
)
FAST, STEADY = 30_000, 10_000  # connections a second
RATES = (5000, 10_000, 20_000, 30_000, 50_000, 70_000, 100_000)  # for a second each
KNOWN = (0, 10_000, 100_000)  # connections that the host has already
DELAYS = 500_000  # the first of the connections whose first packets are timed
READY = "ready bytes"  # a controller that simulates nothing
OVN = "OVN"
COLD = "OVN, cold"  # nothing is left in the datapath from the connections before
SWITCH = "the switch alone"  # the same bytes once more
WRITTEN = "until it is written"
long = pytest.mark.long
WHO = (OURS, pytest.param(READY, marks=long))
with_ovn = pytest.mark.skipif(
    not ovn.is_possible(), reason="needs OVN: Debian's ovn-central and ovn-host"
)
AHEAD = "; OpenFlow flows ahead, no controller is visited; SNAT at the gateway, not at the edge"
NOTES = {OVN: AHEAD, COLD: f"{AHEAD}; the datapath's flows are deleted before each connection"}


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    if request.config.getoption("benchmark_disable"):
        pytest.skip("measures itself")
    with contextlib.ExitStack() as stack:
        yield Bed(stack)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    ("rate", "seconds"),
    [pytest.param(FAST, 2, marks=long), (FAST, 1), pytest.param(STEADY, 60, marks=long),
     (STEADY, 3)],
)  # fmt: skip
def test_new_connections(meter: Meter, bed: Bed, rate: int, seconds: int, who: str) -> None:
    count = rate * seconds
    if who == READY and rate != FAST:
        pytest.skip("the question is whose loss it is")

    def run() -> None:
        packets = list(testbed.connections(count))
        with bed.agent(ready=[(0, count)] if who == READY else ()) as pid:
            before, cpu = bed.arrived(), cbench.cpu_seconds(pid)
            took = bed.send(packets, rate)
            arrived = bed.settled(before, count)
            flows, cpu = bed.flows(), cbench.cpu_seconds(pid) - cpu
        offered = count / took
        note = (f"{offered:.0f}/s for {took:.0f} s offered; {flows} flows in the switch"
                f" afterwards; {cpu:.1f} s of CPU time of the controller")  # fmt: skip
        meter.note(f"OVS, first packets lost at {rate}/s", 100 * (1 - arrived / count), "%",
                   who=who, note=note, connections=count)  # fmt: skip
        if rate == FAST:
            meter.note("OVS, connections", arrived / took, "/s", who=who, note=note,
                       connections=count)  # fmt: skip

    meter.once(run)


@pytest.mark.parametrize("who", (OURS, READY))
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.long
def test_where_it_ends(meter: Meter, bed: Bed, rate: int, who: str) -> None:
    """A second at ever higher rates: the agent's losses, and the switch's own."""

    def run() -> None:
        packets = list(testbed.connections(rate))
        with bed.agent(ready=[(0, rate)] if who == READY else ()):
            before = bed.arrived()
            bed.send(packets, rate)
            lost = 1 - bed.settled(before, rate) / rate
        meter.note("OVS, delivered of a second's first packets", 100 * (1 - lost), "%", who=who,
                   rate=rate)  # fmt: skip

    meter.once(run)


@pytest.mark.parametrize("count", (pytest.param(20_000, marks=long), 3000))
def test_simple_switch(meter: Meter, bed: Bed, count: int) -> None:
    """What it delivers when it is offered as much as the agent."""

    def run() -> None:
        known = ("02:ff:00:00:00:02", "02:ff:00:00:00:01")
        learns = frames.ip_frame(known[1], known[0], udp("10.0.0.2", "10.0.0.1")).encode()
        packets = [
            (1, frames.ip_frame(known[0], workloads.mac(n), udp("10.0.0.1", "10.0.0.2")).encode())
            for n in range(1, count + 1)
        ]
        ryu = cbench.controller("ryu.app.simple_switch_13", testbed.PORT, inside=bed.host.name)
        with bed.controlled(ryu):
            time.sleep(1)
            bed.send([(2, learns)], 1000)
            time.sleep(1)
            before = bed.delivered()
            began = time.perf_counter()
            bed.send(packets, FAST)
            arrived = bed.settled(before, count, bed.delivered)
            took = time.perf_counter() - began - (testbed.QUIET_S if arrived < count else 0)
        meter.note("OVS, connections", arrived / took, "/s", who="simple_switch_13",
                   note=f"{arrived} of {count} delivered", connections=count)  # fmt: skip

    meter.once(run)


@pytest.mark.parametrize(
    "who", (*WHO, pytest.param(OVN, marks=with_ovn), pytest.param(COLD, marks=with_ovn))
)
@pytest.mark.parametrize("pairs", (pytest.param(200, marks=long), 40))
def test_first_packet_delay(meter: Meter, bed: Bed, pairs: int, who: str) -> None:
    """From the machine to the underlay: a connection's first packet, and its second."""

    def run() -> None:
        timed = []
        with rival(bed, who, pairs), testbed.listening(bed.underlay) as sink:
            bed.forget()  # what rivals before it left there: the connections are the same
            before = bed.upcalls()
            for machine, frame in testbed.connections(pairs, first=DELAYS):
                if who == COLD:
                    bed.forget()
                timed.append([delay(bed, sink, machine, frame) for _ in range(2)])
            upcalls = bed.upcalls() - before
        more = sorted(1e3 * (first - second) for first, second in timed)
        after = 1e3 * statistics.median(second for _, second in timed)
        note = (f"over the second packet's ({after:.2f} ms), idle system; {upcalls} upcalls"
                f"{NOTES.get(who, '')}")  # fmt: skip
        for name, value in (
            ("p50", statistics.median(more)),
            ("p99", more[len(more) * 99 // 100]),
        ):
            meter.note(f"first-packet delay {name}", value, "ms", who=who, rounds=pairs, note=note,
                       pairs=pairs)  # fmt: skip

    meter.once(run)


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.long
def test_delay_among_connections(meter: Meter, bed: Bed, known: int) -> None:
    """Whether a first packet waits longer where there are many connections already."""

    def run() -> None:
        with bed.agent():
            before = bed.arrived()
            bed.send(list(testbed.connections(known)), STEADY)
            assert bed.settled(before, known) == known
            with testbed.listening(bed.underlay) as sink:
                delays = [
                    1e3 * delay(bed, sink, machine, frame)
                    for machine, frame in testbed.connections(100, first=DELAYS)
                ]
        meter.note("OVS, a first packet's delay, median", statistics.median(delays), "ms",
                   rounds=len(delays), connections=known)  # fmt: skip

    meter.once(run)


def rival(bed: Bed, who: str, pairs: int) -> contextlib.AbstractContextManager[object]:
    """Whoever decides about the switch's packets."""
    if who in (OVN, COLD):
        return ovn.answering(bed)
    return bed.agent(ready=[(DELAYS, pairs)] if who == READY else ())


def delay(bed: Bed, sink: socket.socket, machine: int, frame: bytes) -> float:
    """Until this very packet is on the underlay, in s."""
    time.sleep(0.02)  # an idle system; and the first packet's flow counts when the second comes
    marker = struct.pack("!Q", time.monotonic_ns())
    marked = frame[:42] + marker
    sent = time.perf_counter()
    bed.send([(machine, marked)], 1e9)
    while not sink.recv(2048).endswith(marker):
        pass
    return time.perf_counter() - sent


@pytest.mark.parametrize(
    ("machines", "changes"),
    [pytest.param(200, 100, marks=long), pytest.param(60, 100, marks=long), (20, 30)],
)
def test_topology_change(
    meter: Meter, bed: Bed, tmp_path: pathlib.Path, machines: int, changes: int
) -> None:
    """From the store's step to the barrier's answer: only the flows to who moved change."""

    def run() -> None:
        bed.plug_more(machines)
        result = tmp_path / "changes.json"
        settings = {"ONEHOP_HOST": "h1", "ONEHOP_LISTEN": f"127.0.0.1:{testbed.PORT}",
                    "CHANGE_MACHINES": str(machines), "CHANGES": str(changes),
                    "CHANGE_RESULT": str(result)}  # fmt: skip
        app = cbench.controller("change_app", testbed.PORT, inside=bed.host.name, **settings)
        with bed.controlled(app):
            end = time.monotonic() + 120
            while not result.exists():
                assert time.monotonic() < end, "the changes do not come to an end"
                time.sleep(0.1)
            said = json.loads(result.read_text())
            moved = bed.flows_to(next(h.tunnel_address for h in hosts(3) if h.name == "h0"))
        flows = machines * workloads.OTHERS
        assert said["flows"] == flows
        assert all(change["touched"] == [machines, 0] for change in said["changes"])
        assert moved == machines * changes, "the switch's own flows"
        for who, key in ((OURS, "ms"), (SWITCH, "switch_ms"), (WRITTEN, "decided_ms")):
            times = sorted(change[key] for change in said["changes"])
            for name, part in (("p50", 0.5), ("p99", 0.99)):
                value = times[math.ceil(part * changes) - 1]
                meter.note(f"OVS, topology change {name}", value, "ms", who=who, rounds=changes,
                           flows=flows, note=f"a machine moves: {machines} flows")  # fmt: skip

    meter.once(run)
