"""A gateway's FRR with a real Open vSwitch below it and a real router outside."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from functional.nodes import Net, Ovs, Wire, until

from onehop.controller.agent import frr_config, namespaces, uplinks
from onehop.controller.agent.desired import Desired, Uplink
from onehop.controller.agent.frr import CRASHES
from onehop.controller.agent.switch import Switch, SwitchPort
from onehop.engine.model import BgpPeer, LearnedRoute

HOST = f"oh{os.getpid()}"  # names the namespace: two test runs do not meet
OWN, OWN6 = "198.51.100.0/24", "2001:db8:1::/48"
OUTSIDE, OUTSIDE6 = "203.0.113.0/24", "2001:db8:2::/48"
UPLINK = Uplink(
    port="up1",
    device="up0",
    router="provider",
    asn=65010,
    mac="02:00:00:00:56:02",
    addresses=("10.56.1.2/24", "fd00:56:1::2/64"),
    peers=(
        BgpPeer(name="out4", port="up1", address="10.56.1.1", asn=65100),
        BgpPeer(name="out6", port="up1", address="fd00:56:1::1", asn=65100),
    ),
    networks=(OWN, OWN6),
)
FAR_END = Uplink(
    port="far",
    device="out0",
    router="outside",
    asn=65100,
    mac="02:00:00:00:56:01",
    addresses=("10.56.1.1/24", "fd00:56:1::1/64"),
    peers=(
        BgpPeer(name="gw4", port="far", address="10.56.1.2", asn=65010),
        BgpPeer(name="gw6", port="far", address="fd00:56:1::2", asn=65010),
    ),
    networks=(OUTSIDE, OUTSIDE6),
)
LEARNED = {
    (OUTSIDE, "10.56.1.1"),
    (OUTSIDE6, "fd00:56:1::1"),
}


class Gateway:
    """A node whose switch passes its uplink's FRR traffic, and the router at the other end."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.node, self.outside = net.node("gw"), net.node("out")
        self.wire = Wire(net.node("isp"), self.node, UPLINK.device, self.outside, FAR_END.device)
        self.ovs: Ovs = net.switch(self.node)
        self.run_dir = net.folder / "run"
        self.learned: frozenset[LearnedRoute] = frozenset()
        self.left_before = set(CRASHES.glob("*"))  # of others; process numbers come again
        self.started: list[uplinks.Uplinks] = []
        self._start_outside()
        self._plug()

    def start(self, uplink: Uplink = UPLINK) -> uplinks.Uplinks:
        """An agent's part of the work, from nothing or over what another one left."""
        started = uplinks.Uplinks(HOST, str(self.run_dir), self._on_routes)
        self.started.append(started)
        started.reconcile([uplink])
        return started

    def stop(self) -> None:
        """The agent's end; everything that it made stays."""
        for started in self.started:
            started.close()
        self.started = []

    def running(self) -> uplinks.Uplinks:
        """Uplinks that announce, their sessions up."""
        started = self.started[-1] if self.started else self.start()
        started.reconcile([UPLINK])
        self.connect()
        started.announce(True)
        until(lambda: self.routes == LEARNED, "routes learned")
        until(lambda: self.heard == {OWN, OWN6}, "own networks announced")
        return started

    @property
    def routes(self) -> set[tuple[str, str]]:
        return {(route.destination, route.next_hop_gateway) for route in self.learned}

    @property
    def heard(self) -> set[str]:
        """What the router outside has been told."""
        return self.outside.routes() | self.outside.routes("-6")

    @property
    def is_last_choice(self) -> bool:
        """Whether the router outside was asked to prefer others, and would (RFC 8326)."""
        said = [
            self.router.say("bgpd", f"show bgp {family} unicast {network}")
            for family, network in (("ipv4", OWN), ("ipv6", OWN6))
        ]
        return {"graceful-shutdown" in one and "localpref 0" in one for one in said} == {True}

    @property
    def namespace(self) -> str:
        return uplinks.namespace(HOST, UPLINK.port)

    @property
    def pids(self) -> list[int]:
        """FRR's processes, oldest first: zebra, bfdd, bgpd."""
        found = namespaces.ROOT.joinpath(self.namespace).exists() and namespaces.run(
            "ip", "netns", "pids", self.namespace
        )
        return sorted(int(pid) for pid in (found or "").split())

    def _on_routes(self, port: str, routes: frozenset[LearnedRoute]) -> None:
        assert port == UPLINK.port
        self.learned = routes

    def _start_outside(self) -> None:
        namespaces.configure(
            self.outside.name,
            FAR_END.device,
            mac=FAR_END.mac,
            mtu=1500,
            addresses=set(FAR_END.addresses),
        )
        config = frr_config.config(FAR_END, announcing=True)
        self.router = self.net.router(self.outside, config)

    def _plug(self) -> None:
        """Both devices in the bridge, as the agent plugs them: FRR's one before it is there."""
        here = Switch(self.ovs.remote, datapath="netdev", controller="tcp:127.0.0.1:6653")
        desired = Desired(host=HOST, tunnel_address="127.0.0.1", uplinks=(UPLINK,))
        here.reconcile([SwitchPort(UPLINK.device, UPLINK.port), *uplinks.ports(desired)])

        def numbered() -> bool:
            here.run()
            return here.settled

        until(numbered, "ports numbered")
        here.close()

    def connect(self) -> None:
        """Install the flows between the uplink and its FRR, once both have numbers."""
        devices = (UPLINK.device, uplinks.frr_device(UPLINK.port))
        until(lambda: all(map(self.ovs.number, devices)), "both devices numbered")
        self.ovs.add_flows(uplinks.static_flows(UPLINK, *map(self.ovs.number, devices)))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with contextlib.ExitStack() as stack:
        gateway = Gateway(Net(stack))
        stack.enter_context(gateway.net.inside(gateway.node))
        yield gateway
        gateway.stop()
        uplinks.clean(HOST, str(gateway.run_dir))


def test_announces_nothing_until_told_and_learns_meanwhile(gateway: Gateway) -> None:
    started = gateway.start()
    gateway.connect()
    until(lambda: gateway.routes == LEARNED, "routes learned")
    assert started.status()["up1"] == {
        "state": "running",
        "announcing": False,
        "draining": False,
        "routes": 2,
    }
    assert gateway.heard == set()
    started.announce(True)
    until(lambda: gateway.heard == {OWN, OWN6}, "own networks announced")


def test_next_agent_adopts_what_runs(gateway: Gateway) -> None:
    gateway.running()
    gateway.stop()
    before, gateway.learned = gateway.pids, frozenset()
    adopting = gateway.start()
    until(lambda: gateway.routes == LEARNED, "routes read")
    assert gateway.pids == before
    assert adopting.status()["up1"]["announcing"] is True
    assert gateway.heard == {OWN, OWN6}


def test_changes_reach_running_daemons(gateway: Gateway) -> None:
    started = gateway.running()
    before = gateway.pids
    addresses = (*UPLINK.addresses, "10.56.1.3/24")
    changed = msgspec.structs.replace(UPLINK, networks=("192.0.2.0/24",), addresses=addresses)
    started.reconcile([changed])
    until(lambda: gateway.heard == {"192.0.2.0/24"}, "one network instead of two")
    shown = namespaces.run("ip", "-n", gateway.namespace, "-brief", "addr", "show", "uplink")
    assert set(addresses) <= set(shown.split())
    assert gateway.pids == before
    assert gateway.routes == LEARNED


def test_isolated_gateway_withdraws_and_announces_again(gateway: Gateway) -> None:
    started = gateway.running()
    started.announce(False)
    until(lambda: gateway.heard == set(), "withdrawn")
    until(lambda: gateway.routes == LEARNED, "routes learned in a new session")
    assert gateway.heard == set()
    started.announce(True)
    until(lambda: gateway.heard == {OWN, OWN6}, "own networks announced")


def test_drained_gateway_goes_on_announcing_and_learning_as_the_last_choice(
    gateway: Gateway,
) -> None:
    started = gateway.running()
    before = gateway.pids
    for draining in (True, False):
        started.reconcile([msgspec.structs.replace(UPLINK, draining=draining)])
        until(lambda d=draining: gateway.is_last_choice == d, f"draining: {draining}")  # type: ignore[misc]
        assert gateway.heard == {OWN, OWN6}
        assert gateway.routes == LEARNED
    assert gateway.pids == before


def test_silent_loss_withdraws_both_ways_and_heals(gateway: Gateway) -> None:
    gateway.running()
    gateway.wire.silent(lost=True)
    until(lambda: not gateway.routes, "withdrawn by BFD, not by the hold time", seconds=2.5)
    until(lambda: not gateway.heard, "the outside has noticed")
    gateway.wire.silent(lost=False)
    until(lambda: gateway.routes == LEARNED and gateway.heard == {OWN, OWN6}, "healed")


def test_carrier_loss_passed_on_withdraws_and_heals(gateway: Gateway) -> None:
    started = gateway.running()
    started.carrier(UPLINK.port, False)
    until(lambda: not gateway.routes, "learned routes withdrawn", seconds=2.5)
    started.carrier(UPLINK.port, True)
    until(lambda: gateway.routes == LEARNED and gateway.heard == {OWN, OWN6}, "healed")


def test_killed_daemon_is_replaced_and_its_routes_go_first(gateway: Gateway) -> None:
    gateway.running()
    before = gateway.pids
    os.kill(min(before), signal.SIGKILL)
    until(lambda: not gateway.routes, "stale routes withdrawn")
    until(lambda: gateway.routes == LEARNED and gateway.heard == {OWN, OWN6}, "healed")
    assert not set(before) & set(gateway.pids)


def test_uplink_that_is_no_more_leaves_nothing(gateway: Gateway) -> None:
    started = gateway.running()
    before = gateway.pids
    started.reconcile([])
    until(lambda: not gateway.run_dir.joinpath("frr").exists(), "removed")
    assert not gateway.learned
    assert_nothing_left(gateway, before)


def test_clean_leaves_nothing_of_a_dead_agent(gateway: Gateway) -> None:
    started = gateway.start()
    until(lambda: started.status()["up1"]["state"] == "running", "running")
    before = gateway.pids
    gateway.stop()
    uplinks.clean(HOST, str(gateway.run_dir))
    assert_nothing_left(gateway, before)


def test_missing_device_is_reported_and_tried_again(gateway: Gateway) -> None:
    started = gateway.start(msgspec.structs.replace(UPLINK, device="nowhere"))
    until(lambda: "nowhere" in str(started.status()["up1"]["state"]), "reported")
    started.reconcile([UPLINK])
    until(lambda: started.status()["up1"]["state"] == "running", "works once it is right")


def assert_nothing_left(gateway: Gateway, pids: list[int]) -> None:
    assert len(pids) == 3
    assert not [pid for pid in pids if runs(pid)]
    left = {folder for pid in pids for folder in CRASHES.glob(f"*.{pid}")}
    assert not left - gateway.left_before
    assert not namespaces.ROOT.joinpath(gateway.namespace).exists()
    assert uplinks.frr_device(UPLINK.port) not in namespaces.run("ip", "-brief", "link")
    assert not gateway.run_dir.joinpath("frr").exists()


def runs(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False
