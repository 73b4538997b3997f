"""The lab's nodes and wires with real packets, before any agent runs in them."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from onehop.lab import outside, platform, processes, up
from onehop.lab.checks import eventually
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.progress import Stages
from onehop.lab.state import LabError
from onehop.lab.topo import generate, plan

RATE_MBIT = 50


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONEHOP_LAB_DIR", f"/run/onehop-lab-{os.getpid()}")  # FRR's user must see it
        topology = generate(1, 1)
        here = platform.detect()
        options = platform.defaults(here, computes=1, gateways=1, uplink_mbit=RATE_MBIT)
        try:
            with Stages() as stages:
                made = up.hold(options, here, plan(topology), up.claim(), stages)
            for host in made.hosts:
                host.boot()
            yield made
        finally:
            up.down()


@pytest.fixture
def speaking(lab: Lab) -> Node:
    """The gateway, with its uplink's address in the kernel, as FRR will have it elsewhere."""
    gateway = lab.node("g1")
    gateway.sh(
        "ip address replace 10.56.1.2/24 dev uplink\n"
        "ip route replace default via 10.56.1.1\n"
        "ethtool -K uplink tx off gso off tso off > /dev/null"
    )
    return gateway


def reaches(node: Node, address: str) -> bool:
    command = ["ping", "-c1", "-W1", address]
    return node.run(command, check=False).returncode == 0


def until_reaches(node: Node, address: str) -> None:
    eventually(lambda: "" if reaches(node, address) else f"no answer from {address}", 10.0)


def test_hosts_reach_each_other_over_the_underlay_by_their_own_switch(lab: Lab) -> None:
    until_reaches(lab.node("c1"), lab.node("g1").address)
    assert "br-phy" in lab.node("c1").run(["ovs-vsctl", "list-br"]).stdout


def test_the_wire_carries_its_rate_in_both_directions_and_counts_it(
    lab: Lab, speaking: Node
) -> None:
    client = lab.node("client1")
    until_reaches(speaking, client.address)
    for reverse in ((), ("-R",)):
        server = client.popen(["iperf3", "-s", "-1", "--forceflush"])
        assert server.stdout
        while "listening" not in server.stdout.readline():
            pass
        before, start = lab.uplink_counters()["g1"], time.monotonic()
        speaking.run(["iperf3", "-c", client.address, "-t", "2", "-P2", *reverse])
        after, seconds = lab.uplink_counters()["g1"], time.monotonic() - start
        server.communicate()
        down, upwards = after.down_bytes - before.down_bytes, after.up_bytes - before.up_bytes
        sent = down if reverse else upwards
        assert 0.6 < sent * 8 / seconds / (RATE_MBIT * 1e6) <= 1.1


def test_silence_keeps_the_carrier_and_loses_the_packets(lab: Lab, speaking: Node) -> None:
    gateway, client, compute = lab.gateway("g1"), lab.node("client1"), lab.node("c1")
    until_reaches(speaking, client.address)
    gateway.stop("silent")
    try:
        assert speaking.run(["cat", "/sys/class/net/uplink/carrier"]).stdout.strip() == "1"
        assert not reaches(speaking, client.address)
        assert not reaches(compute, gateway.address)
    finally:
        lab.node("isp").sh("bridge link set dev g1-in state 3")
        lab.node("underlay").sh("bridge link set dev g1 state 3")
    until_reaches(speaking, client.address)
    until_reaches(compute, gateway.address)


def test_a_lost_link_shows_at_both_ends_and_leaves_the_underlay(lab: Lab, speaking: Node) -> None:
    gateway = lab.gateway("g1")
    gateway.stop("link")
    try:
        for node, device in ((speaking, "uplink"), (lab.node("outside"), "g1")):
            carrier = node.run(["cat", f"/sys/class/net/{device}/carrier"]).stdout.strip()
            assert carrier == "0"
        until_reaches(lab.node("c1"), gateway.address)
    finally:
        lab.node("isp").sh("ip link set g1-in up\nip link set g1-out up")
    until_reaches(speaking, lab.node("client1").address)


def test_a_killed_host_is_dead_and_boots_again_over_its_remains(lab: Lab) -> None:
    gateway, compute = lab.gateway("g1"), lab.node("c1")
    gateway.stop("kill")
    assert not reaches(compute, gateway.address)
    gateway.boot()
    until_reaches(compute, gateway.address)


def test_the_outside_router_speaks_bgp_in_both_families(lab: Lab) -> None:
    outside.start(lab.node("outside"), plan(generate(1, 1)))
    said = outside.show(lab.node("outside"), "show bgp summary")
    assert "10.56.1.2" in said and "fd00:56:1::2" in said


def test_a_machine_lives_on_its_host_with_the_stated_mac(lab: Lab) -> None:
    machine = lab.node("vm1")
    assert machine.state.host == "c1"
    assert "02:00:0a:00:00:01" in machine.run(["ip", "link", "show", "eth0"]).stdout
    assert "vm1" in lab.node("c1").counters()


def test_a_second_lab_is_refused_with_a_hint(lab: Lab) -> None:
    with pytest.raises(LabError, match="lab down"):
        up.claim()


def test_a_command_that_fails_says_where_and_why(lab: Lab) -> None:
    with pytest.raises(LabError, match="node vm1: ls /nowhere: .*No such file"):
        lab.node("vm1").run(["ls", "/nowhere"])
    with pytest.raises(LabError, match="node vm9: there is none"):
        lab.node("vm9")


def test_a_lab_comes_up_over_the_remains_of_a_crash(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEHOP_LAB_DIR", str(tmp_path / "crashed"))
    directory = up.claim()
    with pytest.raises(LabError, match="being brought up"):
        up.claim()
    (directory / "maker.json").write_text("[1, 0]")  # no process began then
    (directory / "left").touch()
    assert not (up.claim() / "left").exists()
    up.down()


@pytest.mark.parametrize("crash", [signal.SIGKILL, None])
def test_down_leaves_nothing_also_after_a_crash(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, crash: signal.Signals | None
) -> None:
    monkeypatch.setenv("ONEHOP_LAB_DIR", str(tmp_path / "crashed"))
    here = platform.detect()
    options = platform.defaults(here, computes=1, gateways=1)
    with Stages() as stages:
        made = up.hold(options, here, plan(generate(1, 1)), up.claim(), stages)
    made.host("c1").boot()
    if crash:
        for pid in (made.state.holder_pid, made.node("underlay").pid):
            os.kill(pid, crash)
        eventually(lambda: "alive" if processes.started(made.node("underlay").pid) else "", 5.0)
    assert up.down()["processes"] > 0
    assert processes.of_lab(str(tmp_path / "crashed")) == []
    assert not (tmp_path / "crashed").exists()
    assert up.down() == {"labs": 0, "processes": 0}
