"""Connections on the hot path: remembered, followed, told to peers, forgotten."""

from __future__ import annotations

import struct

import msgspec
import pytest
from fake_switch import FakeSwitch, Out
from rig import GUEST, MAC1, MAC2, MAC3, TUNNEL, VM1, VM3, Rig, machine, network
from ryu.lib.packet import icmp, ipv4, tcp, udp
from samples import built, ether_between

from onehop.engine import openflow
from onehop.engine.datapath import Datapath
from onehop.engine.effects import Effect
from onehop.engine.model import Port, PortGroup, Resource, SecurityGroup, SecurityRule
from onehop.engine.states import Entry, States
from onehop.engine.topology import Topology

SECOND = 1_000_000_000
VM2 = 2
PLACES = {"h1": {"vm1": VM1, "vm3": VM3, "guest": GUEST}, "h2": {"vm2": VM2}}


def guarded() -> list[Resource]:
    """vm1 may only open connections; vm2 accepts those to port 2000 and echo requests."""
    rules = tuple(
        SecurityRule(direction="ingress", protocol=name, ports="2000") for name in ("udp", "tcp")
    )
    echo = SecurityRule(direction="ingress", protocol="icmp", icmp_type=8)
    groups = [SecurityGroup(name="shut"), SecurityGroup(name="open", rules=(*rules, echo))]
    chosen = {"vm1": ("shut",), "vm2": ("open",)}
    return [
        msgspec.structs.replace(each, security_groups=chosen[each.name])
        if isinstance(each, Port) and each.name in chosen
        else each
        for each in network()
    ] + groups


class Host(Rig):
    """The hot path of one of several hosts of one network, and what it tells the others."""

    def __init__(self, name: str, resources: list[Resource], **options: int) -> None:
        self.name, self.options = name, options
        self.topology = Topology()
        self.topology.update(resources)
        self.states = States(**options)
        self.switch = FakeSwitch()
        self.effects: list[Effect] = []
        self.told: list[tuple[str, bytes]] = []
        self.now_ns = 1000 * SECOND
        self.restart()
        self.switch.write(openflow.async_config())
        self.switch.write(openflow.static_flow(openflow.STATIC | 1, 0, {}, [("controller",)]))

    def restart(self) -> None:
        self.datapath = Datapath(
            self.topology, host=self.name, states=self.states, idle_ns=20 * SECOND
        )
        self.datapath.set_tunnel_port(TUNNEL)
        for port, number in PLACES[self.name].items():
            self.datapath.bind(port, number)

    def answer(self) -> list[Out]:
        got = self.datapath.receive(self.switch.heard(), self.now_ns)
        self.told += got.state
        self.effects += got.effects
        self.switch.write(got.out)
        return self.switch.take()

    def hear(self, other: Host) -> None:
        """What `other` has told this one."""
        for host, message in other.told:
            if host == self.name:
                self.switch.write(self.datapath.merge(message, self.now_ns))
        other.told.clear()

    def wait(self, seconds: float) -> None:
        """Time passes in steps, in which the switch is asked for its flows, and state expires."""
        until = self.now_ns + int(seconds * SECOND)
        while self.now_ns < until:
            self.now_ns = min(self.now_ns + SECOND, until)
            self.switch.write(self.datapath.go_on(self.now_ns))
            while self.switch.to_agent:
                self.answer()

    def entries(self) -> list[Entry]:
        return list(self.states.entries(self.now_ns))


def hosts(*more: Resource, **options: int) -> tuple[Host, Host]:
    resources = [*guarded(), *more]
    return Host("h1", resources, **options), Host("h2", resources, **options)


def there(payload: object, body: bytes = b"hello") -> bytes:
    return built(
        ether_between(MAC1, MAC2, 0x0800),
        ipv4.ipv4(src="10.0.0.1", dst="10.0.0.2", proto=protocol(payload), ttl=64),
        payload, body,
    )  # fmt: skip


def back(payload: object, body: bytes = b"hello") -> bytes:
    return built(
        ether_between(MAC2, MAC1, 0x0800),
        ipv4.ipv4(src="10.0.0.2", dst="10.0.0.1", proto=protocol(payload), ttl=64),
        payload, body,
    )  # fmt: skip


def between(sender: int, receiver: int, payload: object) -> bytes:
    """From one machine to another, by their numbers."""
    macs = {1: MAC1, 2: MAC2, 3: MAC3}
    return built(
        ether_between(macs[sender], macs[receiver], 0x0800),
        ipv4.ipv4(
            src=f"10.0.0.{sender}", dst=f"10.0.0.{receiver}", proto=protocol(payload), ttl=64
        ),
        payload, b"hello",
    )  # fmt: skip


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def protocol(payload: object) -> int:
    return {udp.udp: 17, tcp.tcp: 6, icmp.icmp: 1}[type(payload)]


def segment(flags: int) -> tcp.tcp:
    return tcp.tcp(1000, 2000, bits=flags)


def answer(flags: int) -> tcp.tcp:
    return tcp.tcp(2000, 1000, bits=flags)


ASK, REPLY = there(udp.udp(1000, 2000)), back(udp.udp(2000, 1000))
SYN, SYN_ACK, ACK = segment(2), answer(18), segment(16)


def states(host: Host) -> set[str]:
    return {entry.state for entry in host.entries()}


# Replies


def test_a_reply_passes_where_the_connection_is_known_from_a_peer() -> None:
    h1, h2 = hosts()
    assert h1.send(ASK)
    assert {host for host, _ in h1.told} == {"h2"}
    h2.hear(h1)
    assert h2.send(REPLY, VM2)


def test_an_answer_to_nothing_is_dropped_before_it_leaves_its_host() -> None:
    _, h2 = hosts()
    assert h2.send(REPLY, VM2) == []


def test_what_was_dropped_passes_as_soon_as_a_peer_tells_of_the_connection() -> None:
    h1, h2 = hosts()
    assert h2.send(REPLY, VM2) == []
    h1.send(ASK)
    h2.hear(h1)
    assert h2.send(REPLY, VM2)


def test_what_was_dropped_passes_as_soon_as_the_same_host_opens_the_connection() -> None:
    h1, _ = hosts()
    ask, reply = between(1, 3, udp.udp(1000, 2000)), between(3, 1, udp.udp(2000, 1000))
    assert h1.send(reply, VM3) == []
    assert h1.send(ask)
    assert h1.send(reply, VM3)


def test_a_connection_is_told_before_its_packet_leaves() -> None:
    h1, _ = hosts()
    h1.switch.receive(VM1, ASK)
    got = h1.datapath.receive(h1.switch.heard(), h1.now_ns)
    assert got.state
    assert got.out, "one answer holds both: the caller sends the state first"


def test_a_dropped_packet_leaves_nothing_behind() -> None:
    h1, _ = hosts()
    assert h1.send(there(udp.udp(1000, 2001))) == []
    assert h1.entries() == []
    assert h1.told == []


def test_the_hosts_of_a_stateful_port_group_hear_of_it_too() -> None:
    h1, h2 = hosts(PortGroup(name="pair", ports=("vm2", "up2"), stateful=True))
    h1.send(ASK)
    assert {host for host, _ in h1.told} == {"h2", "h3"}
    h2.hear(h1)
    h2.topology.update([PortGroup(name="pair", ports=("vm2", "up2"), stateful=False)])
    h2.send(REPLY, VM2)
    assert {host for host, _ in h2.told} <= {"h1"}


# Silence and use


def test_after_silence_a_reply_is_dropped() -> None:
    h1, h2 = hosts()
    h1.send(ASK)
    h2.hear(h1)
    assert h2.send(REPLY, VM2)
    h2.wait(90)
    assert h2.entries() == []
    assert h2.send(REPLY, VM2) == []


def test_packets_that_take_a_flow_keep_their_connection_alive_everywhere() -> None:
    h1, h2 = hosts()
    h1.send(ASK)
    h2.hear(h1)
    for _ in range(20):
        for host in (h1, h2):
            host.wait(10)
        assert h1.switch.receive(VM1, ASK), "without the hot path"
        h2.hear(h1)
    assert h2.send(REPLY, VM2), "which h2 saw no packet of"


def test_flows_whose_connection_has_expired_are_simulated_again() -> None:
    h1, _ = hosts()
    h1.send(ASK)
    assert h1.dynamic_flows
    h1.now_ns += 63 * SECOND
    h1.switch.write(h1.datapath.go_on(h1.now_ns))
    assert h1.dynamic_flows == 0


# TCP


def test_tcp_is_followed_from_its_first_segment_to_its_last() -> None:
    h1, h2 = hosts()
    seen = []
    for sender, port, other, data in (
        (h1, VM1, h2, there(SYN)),
        (h2, VM2, h1, back(SYN_ACK)),
        (h1, VM1, h2, there(ACK)),
        (h1, VM1, h2, there(segment(17))),
        (h2, VM2, h1, back(answer(17))),
        (h2, VM2, h1, back(answer(4))),
    ):
        assert sender.send(data, port)
        other.hear(sender)
        assert states(h1) == states(h2)
        seen += states(sender)
    assert seen == ["half-open", "established", "established", "closing", "closing", "closed"]


def test_segments_that_change_nothing_take_a_flow_and_the_others_visit() -> None:
    h1, h2 = hosts()
    h1.send(there(SYN))
    assert h1.dynamic_flows == 0
    h2.hear(h1)
    h2.send(back(SYN_ACK), VM2)
    h1.hear(h2)
    h1.send(there(ACK))
    assert h1.switch.receive(VM1, there(segment(24))), "data: without the hot path"
    assert h1.switch.receive(VM1, there(segment(17))) == [], "the last segment is for it to see"


def test_a_segment_that_only_ends_a_connection_opens_none() -> None:
    h1, _ = hosts()
    h1.send(there(segment(4)))
    h1.send(there(segment(17)))
    assert h1.entries() == []


# ICMP


def test_an_echo_reply_needs_its_request() -> None:
    h1, h2 = hosts()
    request = there(icmp.icmp(8, 0, data=icmp.echo(7, 1, b"x")), b"")
    reply = back(icmp.icmp(0, 0, data=icmp.echo(7, 1, b"x")), b"")
    other = back(icmp.icmp(0, 0, data=icmp.echo(8, 1, b"x")), b"")
    assert h2.send(reply, VM2) == []
    assert h1.send(request)
    h2.hear(h1)
    assert h2.send(reply, VM2)
    assert h2.send(other, VM2) == [], "another identifier"


def test_an_error_about_a_connection_passes_and_about_nothing_does_not() -> None:
    h1, h2 = hosts()
    h1.send(ASK)
    h2.hear(h1)
    about = icmp.icmp(3, 3, data=icmp.dest_unreach(data=ASK[14:42]))
    assert h2.send(back(about, b""), VM2)
    stranger = there(udp.udp(1001, 2000))
    about = icmp.icmp(3, 3, data=icmp.dest_unreach(data=stranger[14:42]))
    assert h2.send(back(about, b""), VM2) == []


# Bounds and restarts


def test_a_flood_reaches_more_guarded_machines_than_one_packet_opens_connections() -> None:
    rules = (SecurityRule(direction="ingress", protocol="udp"),)
    many = [
        msgspec.structs.replace(
            machine(f"m{n}", "h1", n, f"02:00:00:00:01:{n:02x}"), security_groups=("any",)
        )
        for n in range(10, 50)
    ]
    h1 = Host("h1", [*guarded(), SecurityGroup(name="any", rules=rules), *many])
    for port in many:
        h1.datapath.bind(port.name, int(port.tunnel_key))
    ask = between(1, 2, udp.udp(1000, 2000)).replace(octets(MAC2), octets("02:00:00:00:00:77"))
    reached = {out.port for out in h1.send(ask)}
    assert reached >= {port.tunnel_key for port in many}


def test_a_connection_that_there_is_no_room_for_is_refused_and_old_ones_go_on() -> None:
    h1, _ = hosts(capacity=8)
    passed = [bool(h1.send(there(udp.udp(port, 2000)))) for port in range(1000, 1020)]
    assert any(passed) and not all(passed)
    assert h1.datapath.counters["stopped: too many connections"] == passed.count(False)
    assert h1.datapath.counters["state_refused"] >= passed.count(False)
    assert h1.send(there(udp.udp(1000, 2000)))


def test_flows_of_known_connections_are_adopted_after_a_restart() -> None:
    h1, h2 = hosts()
    h1.send(ASK)
    h1.send(there(SYN))
    h2.hear(h1)
    h2.send(back(SYN_ACK), VM2)
    h1.hear(h2)
    h1.send(there(ACK))
    before = dict(h1.switch.flows)
    h1.restart()
    assert h1.datapath.adopt(h1.stats(), h1.now_ns) == b""
    assert h1.datapath.flow_count == 2
    assert h1.switch.flows == before


def test_tcp_flags_are_read_as_open_vswitch_says_them() -> None:
    """OVS 3.1 answers an OpenFlow 1.3 controller with ONF's experimenter field."""
    h1, _ = hosts()
    h1.send(there(SYN))
    h1.send(there(ACK))
    (flow,) = openflow.flow_stats(h1.stats())
    nxm = bytes.fromhex("0001450400000007")
    assert nxm in flow.match
    match = flow.match.replace(nxm, bytes.fromhex("ffff55084f4e460000000007"))
    h1.restart()
    h1.datapath.adopt(stats_reply(flow, match), h1.now_ns)
    assert h1.datapath.counters["flows_adopted"] == 1


def stats_reply(flow: openflow.FlowStats, match: bytes) -> bytes:
    match = struct.pack("!HH", 1, 4 + len(match)) + match
    match += bytes(-len(match) % 8)
    body = struct.pack(
        "!HBxIIHHHH4xQQQ", 48 + len(match) + len(flow.instructions), 0, 0, 0, flow.priority,
        0, 0, 0, flow.cookie, 0, 0,
    )  # fmt: skip
    body += match + flow.instructions
    return struct.pack("!BBHIHH4x", 4, 19, 16 + len(body), 7, 1, 0) + body


@pytest.mark.parametrize("data", [b"", b"oh", b"oh\1\0\0\0\0\1", bytes(100)])
def test_any_message_from_a_peer_is_safe(data: bytes) -> None:
    h1, _ = hosts()
    assert h1.datapath.merge(data, h1.now_ns) == b""
