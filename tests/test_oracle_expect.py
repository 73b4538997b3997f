"""A flow that waits for an answer is the one that the answer gets where nobody told of it.

Every host is there twice: one hears of connections and of their answers, its twin of connections.
"""

from __future__ import annotations

import msgspec
import translations
from fake_switch import FakeSwitch, Out
from frames import UDP, Ip, ip_frame
from hypothesis import given, settings
from networks import mac
from rig import TUNNEL
from test_connections import Host
from test_expect import flows, tags, told, visits
from test_nat_properties import FLOATING, HOSTS, VIP, openings
from translations import UPSTREAM, VM

from onehop.engine import model, openflow
from onehop.engine.datapath import Datapath
from onehop.engine.states import States
from onehop.engine.topology import Topology

PLACE = 5  # every host has one port


def rows() -> list[model.Resource]:
    """SNAT, DNAT, a floating IP and a VIP."""
    members = [
        model.PoolMember(name=f"m{n}", pool="dns", address=VM[4][n], port=9090) for n in (0, 1)
    ]
    vip = model.Vip(name="dns", router="edge", address=VIP, port=53, protocol="udp", pool="dns")
    found = [*translations.resources(), translations.floating(4, FLOATING, 1), *members, vip]
    found.append(model.Pool(name="dns"))
    return [
        msgspec.structs.replace(row, tunnel_key=n) if hasattr(row, "tunnel_key") else row
        for n, row in enumerate(found, 1)
    ]


class Place(Host):
    """The host of one port."""

    def __init__(self, port: str, topology: Topology) -> None:
        self.port, self.name, self.topology = port, HOSTS[port], topology
        self.states = States(4096)
        self.switch = FakeSwitch()
        self.effects, self.told, self.now_ns = [], [], 1
        self.datapath = Datapath(topology, host=self.name, states=self.states)
        self.datapath.set_tunnel_port(TUNNEL)
        self.datapath.bind(port, PLACE)
        self.switch.write(openflow.static_flow(openflow.STATIC | 1, 0, {}, [("controller",)]))


def answer_to(data: bytes) -> bytes:
    """MACs, addresses and ports exchanged: the checksums stay right."""
    first, size = (26, 4) if data[12:14] == b"\x08\0" else (22, 16)
    mid, end = first + size, first + 2 * size
    addresses = data[mid:end] + data[first:mid]
    ports = data[end + 2 : end + 4] + data[end : end + 2]
    return data[6:12] + data[:6] + data[12:first] + addresses + ports + data[end + 4 :]


def where(out: Out, resources: list[model.Resource], sender: str) -> str:
    if out.port != TUNNEL:
        return sender
    (port,) = (
        r.name
        for r in resources
        if isinstance(r, model.Port) and r.tunnel_key == out.tunnel_id and r.name in HOSTS
    )
    return port


@settings(max_examples=150, deadline=None)
@given(openings().filter(lambda opened: opened[1].proto == UDP))
def test_it_is_the_flow_that_the_answer_gets(opened: tuple[str, Ip]) -> None:
    sender, ip = opened
    resources = rows()
    topology = Topology()
    topology.update(resources)
    gateway = topology.get("port", "edge-net" if sender.startswith("vm") else sender)
    own = mac(int(sender[2:])) if sender.startswith("vm") else UPSTREAM
    one = Place(sender, topology)
    (out,) = one.send(ip_frame(model.router_mac(gateway), own, ip).encode(), PLACE)
    receiver = where(out, resources, sender)
    if not one.entries():  # a floating IP: its flows are not of one connection each
        return
    if receiver == sender:
        before = visits(one)
        assert len(one.send(answer_to(out.data), PLACE)) == 1
        assert visits(one) == before
        return
    two, plain = Place(receiver, topology), Place(receiver, topology)
    told(one, plain)
    two.hear(one)
    waiting = flows(two)
    expected = plain.send(answer_to(out.data), PLACE)
    assert waiting == flows(plain)
    assert two.send(answer_to(out.data), PLACE) == expected
    assert len(expected) == 1
    assert (visits(two), visits(plain)) == (0, 1)
    assert (flows(two), tags(two)) == (flows(plain), tags(plain))
    assert two.entries() == plain.entries()
