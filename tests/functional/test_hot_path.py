"""The hot path drives a real Open vSwitch: what it says is what OVS does, and finds again.

```
  v1 (vm1)   v3 (vm3)   v4 (guest)          far ends, where the test sends and listens
     \\         |         /
          br-int  -- onehop-vx              the tunnel goes nowhere: nobody answers there
             |
     this test, as the controller
```
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest
import rig
from functional.nodes import Net, Node, Ovs
from rig import GATEWAY, MAC1, MAC2, MAC3, datagram, route, segment
from ryu.lib.packet import icmp, icmpv6, ipv4, ipv6, tcp, udp
from samples import built, ether_between

from onehop.engine import openflow, packet
from onehop.engine.datapath import Datapath
from onehop.engine.topology import Topology

DEVICES = {"vm1": "v1", "vm3": "v3", "guest": "v4"}
TUNNEL = "onehop-vx"
HELLO = bytes.fromhex("0400000800000000")
FEATURES_REQUEST = bytes.fromhex("0405000800000000")
SET_CONFIG = bytes.fromhex("0409000c000000000000ffff")
ECHO_REQUEST, ECHO_REPLY, ERROR, MULTIPART = 2, 3, 1, 19
DEADLINE_S = 10.0
OUT = datagram(GATEWAY, "192.0.2.7")


class Controlled:
    """An OVS, its far ends, and the hot path that answers it."""

    def __init__(self, node: Node, ovs: Ovs, connection: socket.socket, bundle_from: int) -> None:
        self.ovs = ovs
        self._bundle_from = bundle_from
        self.connection = connection
        self.topology = Topology()
        self.topology.update(rig.network())
        self.inside: dict[str, socket.socket] = {}
        self.unread = b""
        self.stats = b""
        self.errors: list[bytes] = []
        self.restart()
        connection.sendall(HELLO + FEATURES_REQUEST + SET_CONFIG + openflow.async_config())
        connection.sendall(openflow.static_flow(openflow.STATIC, 0, {}, [("controller",)]))
        self.settle()

    def restart(self) -> None:
        self.datapath = Datapath(self.topology, host="h1", bundle_from=self._bundle_from)
        self.datapath.set_tunnel_port(self.ovs.number(TUNNEL))
        for port, device in DEVICES.items():
            self.datapath.bind(port, self.ovs.number(device))

    def hear(self, seconds: float = 0.0) -> bool:
        """Answer what OVS says within `seconds`; whether it said something."""
        if not select.select([self.connection], [], [], seconds)[0]:
            return False
        data = self.unread + self.connection.recv(1 << 20)
        got = self.datapath.receive(data, time.monotonic_ns())
        self.unread = data[got.consumed :]
        self.connection.sendall(got.out)
        for message in got.slow:
            self._slow(message)
        return True

    def settle(self) -> None:
        """Until OVS has done all that it was told."""
        self._barrier = False
        self.connection.sendall(openflow.barrier_request(99))
        self._until(lambda: self._barrier, "the barrier")
        assert not self.errors, [error.hex() for error in self.errors]

    def send(self, data: bytes, port: str = "vm1") -> None:
        self.inside[port].send(data)

    def receive(self, port: str = "vm1") -> bytes:
        """The next packet that comes out of a port, the controller answering meanwhile."""
        found: list[bytes] = []

        def arrived() -> bool:
            readable = select.select([self.inside[port]], [], [], 0)[0]
            found.extend(end.recv(1 << 16) for end in readable)
            return bool(found)

        self._until(arrived, f"a packet out of {port}")
        return found[0]

    def flows(self) -> bytes:
        """OVS's statistics of our flows."""
        self.stats = b""
        self.settle()
        self.connection.sendall(self.datapath.stats_request(1, 0, 1))
        self._until(lambda: self.stats and not openflow.has_more(self.last), "statistics")
        return self.stats

    def learned(self, count: int) -> None:
        """Until so many flows are installed."""
        self._until(lambda: self.datapath.flow_count >= count, f"{count} flows")
        self.settle()

    def revalidated(self) -> None:
        """Until OVS's datapath acts by the flows that it has: a new one counts some time later."""
        data = datagram(MAC3, "10.0.0.3")

        def passes_unseen() -> bool:
            before = self.datapath.counters["packet_ins"]
            self.send(data)
            assert self.receive("vm3") == data
            self.settle()
            return self.datapath.counters["packet_ins"] == before

        self._until(passes_unseen, "a packet that takes its flow")

    def _until(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}"
            self.hear(0.02)

    def _slow(self, message: bytes) -> None:
        kind = message[1]
        if kind == ECHO_REQUEST:
            self.connection.sendall(bytes([4, ECHO_REPLY]) + message[2:])
        elif kind == MULTIPART:
            self.stats += message
            self.last = message
        elif kind == ERROR:
            self.errors.append(message)
        elif kind == 21:
            self._barrier = True


@pytest.fixture(params=(0, 1), ids=("one by one", "in bundles"))
def switch(net: Net, request: pytest.FixtureRequest) -> Iterator[Controlled]:
    node = net.node("hot")
    node.ip("link", "set", "lo", "up")
    ovs = net.switch(node)
    for device in DEVICES.values():
        node.ip("link", "add", device, "type", "veth", "peer", "name", f"{device}x")
        for end in (device, f"{device}x"):
            node.run("ethtool", "-K", end, "tx", "off")
            node.run("sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            node.ip("link", "set", end, "up")
    with contextlib.ExitStack() as stack:
        with net.inside(node):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 6653)))
            ends = {
                port: stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
                for port in DEVICES
            }
            for port, end in ends.items():
                end.bind((f"{DEVICES[port]}x", 3))
        _make_bridge(ovs)
        listening.settimeout(DEADLINE_S)
        connection = stack.enter_context(listening.accept()[0])
        controlled = Controlled(node, ovs, connection, request.param)
        controlled.inside = ends
        yield controlled


def _make_bridge(ovs: Ovs) -> None:
    commands = ["--", "add-br", "br-int", "--", "set", "bridge", "br-int"]
    commands += ["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13"]
    commands += ["other_config:disable-in-band=true"]
    for device in DEVICES.values():
        commands += ["--", "add-port", "br-int", device]
    commands += ["--", "add-port", "br-int", TUNNEL, "--", "set", "interface", TUNNEL]
    commands += ["type=vxlan", "options:remote_ip=flow", "options:key=flow"]
    ovs.vsctl(*commands[1:], "--", "set-controller", "br-int", "tcp:127.0.0.1:6653")


def test_a_machine_reaches_the_next_one(switch: Controlled) -> None:
    data = datagram(MAC3, "10.0.0.3")
    switch.send(data)
    assert switch.receive("vm3") == data
    switch.revalidated()
    assert switch.datapath.counters["flows_installed"] == 1


@pytest.mark.parametrize("flow_is_there", [False, True])
def test_each_router_answers_when_the_ttl_runs_out_there(
    switch: Controlled, flow_is_there: bool
) -> None:
    if flow_is_there:
        switch.send(OUT)
        switch.learned(1)
        switch.revalidated()
    for ttl, router in ((1, "10.0.0.254"), (2, "10.9.0.2"), (1, "10.0.0.254")):
        switch.send(datagram(GATEWAY, "192.0.2.7", ttl=ttl))
        key = packet.parse_key(switch.receive())
        assert (key["icmp_type"], key["ipv4_src"]) == (11, router)


def conversations() -> list[bytes]:
    """Packets whose flows match each field that a flow can match."""
    over4 = {
        6: (tcp.tcp(1000, 80),),
        17: (udp.udp(53, 5353),),
        1: (icmp.icmp(8, 0, data=icmp.echo(1, 2)),),
        132: (bytes(12),),
        47: (bytes(8),),
    }
    over6 = {6: (tcp.tcp(7, 8),), 17: (udp.udp(9, 10),)}
    over6[58] = (icmpv6.icmpv6(128, 0, data=icmpv6.echo(1, 2)),)
    found = [
        built(ether_between(MAC1, GATEWAY, 0x0800), ipv4.ipv4(
            src="10.0.0.1", dst="192.0.2.7", proto=proto), *above)
        for proto, above in over4.items()
    ]  # fmt: skip
    found += [
        built(ether_between(MAC1, GATEWAY, 0x0800), ipv4.ipv4(
            src="10.0.0.1", dst="198.51.100.7", proto=17, offset=offset, flags=1), bytes(16))
        for offset in (0, 8)
    ]  # fmt: skip
    found += [
        built(ether_between(MAC1, MAC3, 0x86DD), ipv6.ipv6(
            src="fd00::1", dst="fd00::3", nxt=proto), *above)
        for proto, above in over6.items()
    ]  # fmt: skip
    found += [datagram(MAC2, "10.0.0.2"), datagram("02:00:00:00:00:42", "10.0.0.42")]
    tagged = [{"action": "set_vlan", "value": 0x6005}]
    found += [packet.rewrite(data, tagged) for data in found[-1:]]
    return found + [datagram(GATEWAY, "127.0.0.1"), segment(GATEWAY, "203.0.113.9", 4000)]


def test_ovs_gives_every_flow_back_as_it_was_told(switch: Controlled) -> None:
    switch.topology.update([route("far", "up2", "10.8.2.2")])  # ports matter
    for data in conversations():
        switch.send(data)
        before = switch.datapath.counters["packet_ins"]
        switch._until(lambda n=before: switch.datapath.counters["packet_ins"] > n, "packet-in")
    installed = switch.datapath.flow_count
    stats = switch.flows()
    assert len(openflow.flow_stats(stats)) == installed >= 10
    switch.restart()
    assert switch.datapath.adopt(stats, 0) == b""
    assert switch.datapath.flow_count == installed


def test_changes_and_deletions_are_what_ovs_does(switch: Controlled) -> None:
    switch.send(OUT)
    switch.learned(1)
    (before,) = openflow.flow_stats(switch.flows())
    tags = switch.topology.update(
        [route("far", "up2", "10.8.2.2")], [("route", "far 0.0.0.0/0 up1 10.8.1.2")]
    )
    switch.connection.sendall(switch.datapath.invalidate(tags, 0))
    (after,) = openflow.flow_stats(switch.flows())
    assert after.instructions != before.instructions
    assert (after.cookie, after.match) == (before.cookie, before.match)
    tags = switch.topology.update([], [("route", "far 0.0.0.0/0 up2 10.8.2.2")])
    switch.connection.sendall(switch.datapath.invalidate(tags, 0))
    assert openflow.flow_stats(switch.flows()) == []


def test_static_flows_are_given_back_as_they_were_told(switch: Controlled) -> None:
    match = {"in_port": 1, "arp_op": 2, "arp_tpa": "10.0.0.0/8"}
    actions = [("set_tunnel", "172.31.0.9", 77), ("output", 2), ("controller",)]
    cookie = openflow.STATIC | 5
    switch.connection.sendall(openflow.static_flow(cookie, 300, match, actions))
    switch.stats = b""
    switch.connection.sendall(openflow.flow_stats_request(1, cookie, (1 << 64) - 1))
    switch._until(lambda: switch.stats, "statistics")
    (found,) = openflow.flow_stats(switch.stats)
    assert (found.cookie, found.priority) == (cookie, 300)
    assert found.match == openflow.static_match(match)
    assert found.instructions == openflow.static_instructions(actions)
    switch.connection.sendall(openflow.delete_strict(300, match))
    switch.stats = b""
    switch.connection.sendall(openflow.flow_stats_request(1, cookie, (1 << 64) - 1))
    switch._until(lambda: switch.stats, "statistics")
    assert openflow.flow_stats(switch.stats) == []
