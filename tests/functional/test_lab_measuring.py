"""The measuring programs on a real wire between two namespaces: each says what happened on it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from onehop.lab.checks import eventually
from onehop.lab.gaps import gaps, longest
from onehop.lab.nodes import Node
from onehop.lab.probe import Direction, Endpoint, Prober
from onehop.lab.processes import started
from onehop.lab.received import Receivers
from onehop.lab.sessions import Listener, Pair, Sessions, Tally
from onehop.lab.state import NodeState, Role
from onehop.lab.traffic import Traffic
from onehop.lab.wiretap import Wiretap

HERE, THERE = "10.1.1.1", "10.1.1.2"


class Wire(NamedTuple):
    """Two nodes, `machine` and `client`, and what is between them."""

    machine: Node
    client: Node

    def cut(self) -> None:
        self.client.sh("ip link set eth0 down")

    def mend(self) -> None:
        self.client.sh("ip link set eth0 up")

    @property
    def ends(self) -> tuple[Endpoint, Endpoint]:
        return Endpoint(self.machine.pid, HERE), Endpoint(self.client.pid, THERE)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with contextlib.ExitStack() as stack:
        machine = _node(stack, "machine", HERE)
        client = _node(stack, "client", THERE)
        machine.sh(f"ip link add eth0 type veth peer name eth0 netns {client.pid}")
        for node in (machine, client):
            node.sh(
                f"ip link set lo up; ip link set eth0 up; ip addr add {node.address}/24 dev eth0"
            )
        yield Wire(machine, client)


def _node(stack: contextlib.ExitStack, role: Role, address: str) -> Node:
    process = subprocess.Popen(["unshare", "--net", "--mount", "sleep", "infinity"])
    stack.callback(process.wait)
    stack.callback(process.kill)
    own = os.readlink("/proc/self/ns/mnt")
    until(lambda: os.readlink(f"/proc/{process.pid}/ns/mnt") != own, "a namespace")
    return Node(
        NodeState(
            name=role,
            role=role,
            pid=process.pid,
            started=started(process.pid) or 0,
            directory="/tmp",
            interface="eth0",
            addresses=(f"{address}/24",),
        )
    )


def until(condition: Callable[[], object], what: str) -> None:
    eventually(lambda: "" if condition() else f"no {what}", 20.0, 0.01)


def test_a_probe_stream_shows_the_time_for_which_the_wire_was_cut(
    wire: Wire, tmp_path: Path
) -> None:
    here, there = wire.ends
    prober = Prober(tmp_path, [Direction("up", here, there, (30000, 30001))])
    prober.aim({"up": [30000]})
    until(lambda: prober.status()["up", 30000].received > 10, "packet")
    wire.cut()
    cut_ns = time.time_ns()
    sent = prober.status()["up", 30000].sent
    until(lambda: prober.status()["up", 30000].sent > sent + 100, "lost packet")
    mend_ns = time.time_ns()
    wire.mend()
    mended = prober.status()["up", 30000].received
    until(lambda: prober.status()["up", 30000].received > mended + 10, "packet after the cut")
    (stream,) = prober.stop()
    found = gaps(stream.sent, stream.received, end_ns=time.time_ns())
    gap = longest(found, start_ns=cut_ns, end_ns=mend_ns)
    assert gap and gap.start_ns <= cut_ns + 50_000_000 and gap.end_ns >= mend_ns


def test_connections_outlive_an_interruption_and_a_reset_breaks_them(wire: Wire) -> None:
    out = Pair("out", wire.machine.pid, HERE, THERE)
    back = Pair("back", wire.client.pid, THERE, HERE)
    listeners = [Listener(wire.client.pid, THERE), Listener(wire.machine.pid, HERE)]
    sessions = Sessions([out, out, back], listeners)
    assert sessions.wait_open() == 3
    wire.cut()
    wire.mend()
    assert sessions.stop().by_kind == {"out": Tally(2, 2, 0), "back": Tally(1, 1, 0)}
    sessions = Sessions([out, out, back], listeners)
    assert sessions.wait_open() == 3
    wire.machine.sh("ss --kill --tcp state established dport = :7006")
    outcome = sessions.stop()
    assert outcome.by_kind == {"out": Tally(2, 2, 2), "back": Tally(1, 1, 0)}
    assert len(outcome.reasons) == 2 and all("abort" in reason for reason in outcome.reasons)


def test_the_kernel_counts_what_receivers_got(wire: Wire) -> None:
    with wire.client.socket() as listener, wire.machine.socket() as sender:
        listener.bind((THERE, 5201))
        listener.listen()
        sender.connect((THERE, 5201))
        sender.sendall(bytes(100_000))
        with Receivers([wire.client.pid], [5201]) as receivers:
            until(lambda: receivers.read() == 100_000, "count of 100000 bytes")
        with Receivers([wire.client.pid], [5202]) as others:
            assert others.read() == 0


@pytest.mark.parametrize("direction", ["downstream", "upstream"])
def test_load_arrives_at_the_receivers_of_its_direction(wire: Wire, direction: str) -> None:
    with (
        Traffic([wire.machine], [wire.client], direction, streams=2) as traffic,  # type: ignore[arg-type]
        traffic.receivers() as receivers,
    ):
        until(lambda: receivers.read() > 1_000_000, "megabyte received")
        traffic.check()


@pytest.mark.parametrize("direction", ["downstream", "upstream"])
def test_who_sends_an_offered_load_cannot_send_it_in_bursts(wire: Wire, direction: str) -> None:
    sender = wire.client if direction == "downstream" else wire.machine
    offered = Traffic(
        [wire.machine],
        [wire.client],
        direction,
        streams=2,
        offered_bps=8e6,  # type: ignore[arg-type]
    )
    with offered, offered.receivers() as receivers:
        until(lambda: receivers.read() > 100_000, "load received")
        shaped = {node: node.sh("tc qdisc show dev eth0") for node in (wire.client, wire.machine)}
    assert [node for node, qdisc in shaped.items() if "tbf" in qdisc] == [sender]
    assert "rate 10Mbit" in shaped[sender]
    assert "tbf" not in sender.sh("tc qdisc show dev eth0")


def test_a_tap_counts_marked_frames_inside_tunnels_and_tells_their_way(wire: Wire) -> None:
    with (
        Wiretap(wire.client.pid, ["eth0"]) as tap,
        wire.machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
        wire.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as back,
    ):
        vxlan = struct.pack("!II", 1 << 27, 7 << 8)
        for _ in range(3):
            out.sendto(vxlan + b"inner frame, marked", (THERE, 4789))
        back.sendto(vxlan + b"inner frame, marked", (HERE, 4789))
        out.sendto(vxlan + b"another", (THERE, 4789))
        out.sendto(b"marked, but no tunnel", (THERE, 4790))
        assert tap.count(lambda frame: b"marked" in frame) == {"eth0": (3, 1)}
