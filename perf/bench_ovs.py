"""The agent with real Open vSwitch: new connections, each of them a packet-in.

Every packet is the first of a UDP connection of a machine: security groups, a tenant's router with
SNAT, a provider's router with three uplinks, then VXLAN to a gateway.  Ryu's `simple_switch_13`
has the same switch; each of its packets has a MAC of its own, so that it is asked as often.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import time
from collections.abc import Iterator

import frames
import pytest
import testbed
import workloads
from networks import udp
from record import Meter
from testbed import Bed

from onehop.controller.agent import namespaces

pytestmark = pytest.mark.skipif(
    not testbed.is_possible(), reason="needs root, network namespaces and Open vSwitch"
)
ENTRIES = 1 << 22
FAST, STEADY = 30_000, 10_000  # connections a second
PAIRS = 200  # first packets whose delay is measured
RYU_MACS = 20_000


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    if request.config.getoption("benchmark_disable"):
        pytest.skip("measures itself")
    with contextlib.ExitStack() as stack:
        yield Bed(stack)


@contextlib.contextmanager
def agent(bed: Bed) -> Iterator[int]:
    settings = {"ONEHOP_HOST": "h1", "ONEHOP_LISTEN": "127.0.0.1:6653",
                "ONEHOP_STATE_ENTRIES": str(ENTRIES)}  # fmt: skip
    with bed.controlled("agent_app", **settings) as pid:
        probes = connections(100, first=900_000)
        end = time.monotonic() + 30
        while True:  # it answers, and the tunnels know their next hops
            before = bed.arrived()
            bed.send([next(probes) for _ in range(4)], 1000)
            if bed.settled(before, 4) == 4:
                break
            assert time.monotonic() < end, "the agent does not come to life"
        yield pid


def connections(count: int, first: int = 0) -> Iterator[tuple[int, bytes]]:
    """The first packets of so many connections of all machines: `BATCH` of one, then the next."""
    resources = workloads.keyed(workloads.stateful(workloads.MACHINES))
    gateway = workloads.gateway_mac(resources)
    made = {
        machine: bytearray(
            frames.ip_frame(gateway, workloads.mac(machine),
                            udp(workloads.address(0, machine), "198.51.100.0")).encode()
        )
        for machine in range(1, workloads.MACHINES + 1)
    }  # fmt: skip
    for n in range(first, first + count):
        machine = 1 + n // testbed.BATCH % workloads.MACHINES
        frame = made[machine]
        frame[33] = 1 + n % 200
        frame[34:36] = struct.pack("!H", 1024 + n // 200 % 64_000)
        frame[24:26] = frame[40:42] = b"\0\0"
        frame[24:26] = frames.checksum(frame[14:34]).to_bytes(2, "big")
        yield machine, bytes(frame)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [(FAST, 2), pytest.param(STEADY, 60, marks=pytest.mark.long), (STEADY, 10)],
)
def test_new_connections(meter: Meter, bed: Bed, rate: int, seconds: int) -> None:
    def run() -> None:
        count = rate * seconds
        packets = list(connections(count))
        with agent(bed):
            before = bed.arrived()
            took = bed.send(packets, rate)
            arrived = bed.settled(before, count)
            flows = bed.flows()
        offered = count / took
        note = f"{offered:.0f}/s for {took:.0f} s offered; {flows} flows in the switch afterwards"
        meter.note(f"OVS, first packets lost at {rate}/s", 100 * (1 - arrived / count), "%",
                   note=note, connections=count)  # fmt: skip
        if rate == FAST:
            meter.note("OVS, connections", arrived / took, "/s", note=note, connections=count)

    meter.once(run)


def test_simple_switch(meter: Meter, bed: Bed) -> None:
    """What it delivers when it is offered as much as the agent."""

    def run() -> None:
        known = ("02:ff:00:00:00:02", "02:ff:00:00:00:01")
        learns = frames.ip_frame(known[1], known[0], udp("10.0.0.2", "10.0.0.1")).encode()
        packets = [
            (1, frames.ip_frame(known[0], workloads.mac(n), udp("10.0.0.1", "10.0.0.2")).encode())
            for n in range(1, RYU_MACS + 1)
        ]
        with bed.controlled("ryu.app.simple_switch_13"):
            time.sleep(1)
            bed.send([(2, learns)], 1000)
            time.sleep(1)
            where = {"device": "vm2", "node": bed.machines}
            before = bed.arrived(**where)  # type: ignore[arg-type]
            began = time.perf_counter()
            bed.send(packets, FAST)
            arrived = bed.settled(before, RYU_MACS, **where)
            took = time.perf_counter() - began - testbed.QUIET_S
        meter.note("OVS, connections", arrived / took, "/s", who="simple_switch_13",
                   note=f"{arrived} of {RYU_MACS} delivered", connections=60_000)  # fmt: skip

    meter.once(run)


def test_first_packet_delay(meter: Meter, bed: Bed) -> None:
    """From the machine to the underlay: a connection's first packet, and its second."""

    def run() -> None:
        with agent(bed), listening(bed) as sink:
            pairs = [
                [delay(bed, sink, machine, frame) for _ in range(2)]
                for machine, frame in connections(PAIRS, first=500_000)
            ]
        more = sorted(1e3 * (first - second) for first, second in pairs)
        note = "over the second packet's, idle system"
        for name, value in (
            ("p50", statistics.median(more)),
            ("p99", more[len(more) * 99 // 100]),
        ):
            meter.note(f"first-packet delay {name}", value, "ms", rounds=len(more), note=note)

    meter.once(run)


@contextlib.contextmanager
def listening(bed: Bed) -> Iterator[socket.socket]:
    """What comes out of the tunnels."""
    with namespaces.entered(bed.underlay.name):
        sink = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sink.bind(("eth0", 0))
    with contextlib.closing(sink):
        sink.settimeout(5)
        yield sink


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
