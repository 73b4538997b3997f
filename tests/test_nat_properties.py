"""Many connections at once, each host with a table of its own that hears what the others make.

Properties of behaviour.md, whichever host an answer comes to: it arrives translated to what its
receiver expects; no two live connections look the same outside; a stored flow's verdict is the
same again; and what a verdict did not look at does not change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import frames
import translations
from frames import ICMP, ICMPV6, TCP, UDP, Ip
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import mac
from translations import OUTSIDE, SERVICE, UPSTREAM, VM, answer_to, only, packet_of, ports_of

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator
from onehop.engine.states import States, message
from onehop.engine.topology import Topology

FLOATING, VIP = "203.0.113.51", "203.0.113.80"
SECOND = 1_000_000_000
HOSTS = {"vm0": "h0", "vm1": "h1", "up1": "g1", "up2": "g2"}

Ends = tuple[str, str, int, int, int]  # source, destination, protocol, ports


def ends(ip: Ip) -> Ends:
    return (str(ip.src), str(ip.dst), ip.proto, *ports_of(ip))


@dataclass
class Hosts:
    """Each with its own table; what one creates, all hear of, as their groups would have it."""

    topology: Topology
    states: dict[str, States] = field(default_factory=dict)
    now_ns: int = 0

    def send(self, port: str, ip: Ip) -> Verdict:
        is_machine = port.startswith("vm")
        gateway = self.topology.get("port", "edge-net" if is_machine else port)
        assert isinstance(gateway, model.Port)
        own = mac(int(port[2:])) if is_machine else UPSTREAM
        data = frames.ip_frame(model.router_mac(gateway), own, ip).encode()
        states = self.states.setdefault(HOSTS[port], States(4096))
        simulator = Simulator(self.topology, states=states)
        verdict = simulator.simulate(data, port, self.now_ns)
        simulator.apply(verdict, self.now_ns)
        if verdict.kind == "forward" and verdict.created:
            for host in HOSTS.values():
                other = self.states.setdefault(host, States(4096))
                other.merge(message(verdict.created), self.now_ns)
        return verdict


def some_hosts(n_ports: int) -> Hosts:
    topology = Topology()
    members = [
        model.PoolMember(name=f"m{n}", pool="dns", address=VM[4][n], port=9090) for n in (0, 1)
    ]
    vip = model.Vip(
        name="dns", router="edge", address=VIP, port=53, protocol="udp", pool="dns"
    )  # fmt: skip
    topology.update(
        [
            *translations.resources(n_ports=n_ports),
            translations.floating(4, FLOATING, 1),
            *members,
            model.Pool(name="dns"),
            vip,
        ]
    )
    return Hosts(topology)


versions = st.sampled_from((4, 4, 6))
sports = st.integers(40000, 40003)


@st.composite
def openings(draw: st.DrawFn) -> tuple[str, Ip]:
    """Where it comes in, and the first packet of a connection."""
    version = draw(versions)
    proto = draw(st.sampled_from((UDP, TCP, ICMP if version == 4 else ICMPV6)))
    sport, dport = draw(sports), draw(st.sampled_from((53, 80)))
    port = draw(st.sampled_from(tuple(HOSTS)))
    if port.startswith("vm"):
        far = [OUTSIDE[version], OUTSIDE[version][:-1] + "8"]
        far += [FLOATING] if version == 4 else []
        far += [VIP, VIP] if (version, proto, dport) == (4, UDP, 53) else []
        src, dst = VM[version][int(port[2:])], draw(st.sampled_from(far))
    else:
        src = OUTSIDE[version][:-1] + "7"
        near = [SERVICE[version]] + ([FLOATING, VIP] if version == 4 else [])
        dst = draw(st.sampled_from(near))
        proto = {FLOATING: proto, VIP: UDP}.get(dst) or draw(st.sampled_from((UDP, TCP)))
        dport = {FLOATING: dport, VIP: 53}.get(dst, 80)
    return port, packet_of(proto, src, dst, sport, dport)


@settings(max_examples=60, deadline=None)
@given(st.lists(openings(), min_size=1, max_size=25), st.sampled_from((2, 4, 64)), st.data())
def test_every_answer_is_what_its_receiver_expects(
    opened: list[tuple[str, Ip]], n_ports: int, data: st.DataObject
) -> None:
    hosts = some_hosts(n_ports)
    live: dict[Ends, tuple[str, Ip, str]] = {}  # as seen by the far end
    for port, sent in opened:
        verdict = hosts.send(port, sent)
        if verdict.kind != "forward":
            assert verdict.reason == "no port left to translate to"
            continue
        where, seen = only(verdict)
        known = live.setdefault(ends(seen), (port, sent, where))
        assert known[1] == sent, "two connections look the same"
    for seen_ends, (port, sent, where) in live.items():
        src, dst, proto, sport, dport = seen_ends
        seen = packet_of(proto, src, dst, sport, dport)
        enters = data.draw(st.sampled_from(("up1", "up2"))) if where[:2] == "up" else where
        back_port, back = only(hosts.send(enters, answer_to(seen)))
        assert back_port[:2] == port[:2]
        assert port[:2] == "up" or back_port == port
        expected = answer_to(sent)
        assert ends(back) == ends(expected)
        assert back.payload[-4:] == expected.payload[-4:]


@settings(max_examples=40, deadline=None)
@given(openings(), st.data())
def test_what_was_not_looked_at_makes_no_difference(
    opened: tuple[str, Ip], data: st.DataObject
) -> None:
    port, sent = opened
    hosts = some_hosts(64)
    hosts.send(port, sent)
    verdict = hosts.send(port, sent)
    if not verdict.cacheable or verdict.kind != "forward":
        return
    looked_at = verdict.match.get("ipv4_src" if sent.version == 4 else "ipv6_src", (0, 0))[1]
    other = replace(
        sent,
        ttl=data.draw(st.integers(2, 255)),
        src=ip_address(int(sent.src) ^ (1 if not looked_at & 1 else 0)),
    )
    again = hosts.send(port, _resum(other))
    assert again.actions == verdict.actions


def _resum(ip: Ip) -> Ip:
    at = {UDP: 6, TCP: 16}.get(ip.proto, 2)
    return frames.with_checksum(ip, at)


@settings(max_examples=30, deadline=None)
@given(st.lists(openings(), min_size=1, max_size=10))
def test_silence_ends_a_translation_and_frees_its_port(opened: list[tuple[str, Ip]]) -> None:
    hosts = some_hosts(2)
    for port, sent in opened:
        hosts.send(port, sent)
    hosts.now_ns += 7500 * SECOND
    for states in hosts.states.values():
        assert not list(states.entries(hosts.now_ns))
    taken = set()
    for n in range(2):
        sent = packet_of(UDP, VM[4][0], OUTSIDE[4], 50000 + n)
        taken.add(ports_of(only(hosts.send("vm0", sent))[1])[0])
    assert taken == {translations.PORTS[0], translations.PORTS[0] + 1}
