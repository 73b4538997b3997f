"""Packets that are quicker than the word about their connection: kept, and decided once."""

from __future__ import annotations

import msgspec
import pytest
from fake_switch import Flow, Out
from rig import GATEWAY, OUTSIDE, datagram
from ryu.lib.packet import icmp, ipv4, tcp, udp
from samples import built, ether_between
from test_connections import ASK, REPLY, SYN, SYN_ACK, VM2, Host, back, guarded, there
from test_nat_hot_path import FAR, PUBLIC, UPLINK, answer, headers, translating

from onehop.engine import model, openflow
from onehop.engine.datapath import Datapath

PATIENCE_NS = 50_000_000
MOST = 256


class Patient(Host):
    """A host that keeps what it may only not know yet."""

    def restart(self) -> None:
        super().restart()
        bound = {p: n for p, n in (("vm1", 1), ("vm2", VM2), ("vm3", 3)) if self.knows(p)}
        self.datapath = Datapath(
            self.topology, host=self.name, states=self.states, patience_ns=PATIENCE_NS
        )
        self.datapath.set_tunnel_port(50)
        for port, number in bound.items():
            self.datapath.bind(port, number)

    def knows(self, port: str) -> bool:
        return self.topology.get("port", port).host == self.name

    def reconsider(self) -> list[Out]:
        got = self.datapath.reconsider(self.now_ns)
        self.told += got.state
        self.switch.write(got.out)
        return self.switch.take()

    def hear(self, other: Host) -> list[Out]:
        super().hear(other)
        return self.reconsider()

    @property
    def flow(self) -> Flow:
        """The only one that comes from a verdict."""
        (found,) = [f for f in self.switch.flows.values() if f.cookie & openflow.DYNAMIC]
        return found

    def time_is_up(self) -> list[Out]:
        self.now_ns += PATIENCE_NS
        return self.reconsider()


def count(host: Host, name: str) -> int:
    return int(host.datapath.counters[name])


@pytest.fixture
def pair() -> tuple[Patient, Patient]:
    rows = guarded()
    return Patient("h1", rows), Patient("h2", rows)


@pytest.fixture
def gateway() -> tuple[Patient, Patient]:
    """vm1 on the one, translated; the uplink on the other."""
    return gateways()


def gateways(*more: model.Resource) -> tuple[Patient, Patient]:
    rows = [*translating(2), *more]
    one, two = Patient("h1", rows), Patient("h2", rows)
    two.datapath.bind("up1", UPLINK)
    return one, two


def test_reply_that_is_quicker_than_the_state_passes_when_it_comes(pair) -> None:
    h1, h2 = pair
    assert h2.send(REPLY, VM2) == []
    assert h2.dynamic_flows == 0
    h1.send(ASK)
    (out,) = h2.hear(h1)
    assert out.data == REPLY
    assert h2.time_is_up() == h2.reconsider() == [], "it has been delivered"
    assert h2.switch.receive(VM2, REPLY), "the next one takes a flow"
    assert count(h2, "early") == count(h2, "early_forwarded") == 1


def test_reply_to_nothing_is_dropped_when_its_time_is_up(pair) -> None:
    h1, h2 = pair
    assert h2.send(REPLY, VM2) == h2.reconsider() == []
    assert count(h2, "dropped") == h2.dynamic_flows == 0
    assert h2.time_is_up() == []
    assert count(h2, "dropped") == h2.dynamic_flows == 1
    h1.send(ASK)
    assert h2.hear(h1) == [], "too late for that one"
    assert h2.switch.receive(VM2, REPLY), "but not for others"


def test_a_flow_that_drops_for_now_still_asks(pair) -> None:
    """Between the peer's word and the change of the flow no reply is lost."""
    h1, h2 = pair
    h2.send(REPLY, VM2)
    h2.time_is_up()
    assert h2.flow.meter
    assert h2.send(REPLY, VM2) == [], "the flow is there, and asks"
    h1.send(ASK)
    (out,) = h2.hear(h1)
    assert out.data == REPLY
    assert h2.flow.meter is None


def test_state_of_other_connections_releases_nothing(pair) -> None:
    h1, h2 = pair
    assert h2.send(REPLY, VM2) == []
    h1.send(there(udp.udp(1001, 2000)))
    assert h2.hear(h1) == []
    h1.send(ASK)
    assert len(h2.hear(h1)) == 1


def test_replies_leave_in_their_order(pair) -> None:
    h1, h2 = pair
    replies = [back(udp.udp(2000, 1000), b"%d" % n) for n in range(5)]
    for reply in replies:
        assert h2.send(reply, VM2) == []
    h1.send(ASK)
    assert [out.data for out in h2.hear(h1)] == replies


def test_echo_reply_that_is_too_quick_passes_when_its_request_is_known(pair) -> None:
    h1, h2 = pair
    reply = back(icmp.icmp(0, 0, data=icmp.echo(7, 1, b"x")), b"")
    assert h2.send(reply, VM2) == []
    h1.send(there(icmp.icmp(8, 0, data=icmp.echo(7, 1, b"x")), b""))
    assert [out.data for out in h2.hear(h1)] == [reply]


def test_what_no_connection_was_looked_for_is_decided_at_once(pair) -> None:
    h1, _ = pair
    spoofed = REPLY.replace(b"\x0a\x00\x00\x02", b"\x0a\x00\x00\x09", 1)
    h1.send(spoofed)
    assert count(h1, "early") == 0
    assert count(h1, "dropped") == 1


def test_router_answers_a_guarded_machine_at_once(pair) -> None:
    h1, _ = pair
    ping = built(
        ether_between("02:00:00:00:00:01", GATEWAY, 0x0800),
        ipv4.ipv4(src="10.0.0.1", dst="10.0.0.254", proto=1),
        icmp.icmp(8, 0, data=icmp.echo(7, 1, b"x")),
    )
    assert len(h1.send(ping)) == 1
    closed = datagram(GATEWAY, "10.0.0.254")
    assert len(h1.send(closed)) == 1, "port unreachable"
    last_hop = datagram(GATEWAY, FAR, ttl=1)
    assert len(h1.send(last_hop)) == 1, "time exceeded"
    assert count(h1, "early") == 0


def test_answer_from_outside_waits_for_its_translation(gateway) -> None:
    one, two = gateway
    (out,) = one.send(datagram(GATEWAY, FAR))
    sent = headers(out)[2]
    blackhole = model.Route(router="far", destination=f"{PUBLIC}/32", type="blackhole")
    two.update(blackhole)
    assert two.send(answer(two, sent.src_port), UPLINK) == []
    (back_,) = two.hear(one)
    assert headers(back_)[1] == "10.0.0.1"
    assert headers(back_)[2].dst_port == 1000


def test_router_says_that_nobody_listens_only_when_the_time_is_up() -> None:
    """Where the router's own address is what connections are translated to."""
    own = "10.8.1.1"
    rows = [
        model.Chain(
            name="out",
            rules=(
                model.Rule(
                    action="snat",
                    out_ports=("up1",),
                    targets=(model.NatTarget(first_address=own),),
                ),
            ),
        ),
        model.NatBlock(host="h1", address=own, first_port=20000, n_ports=2),
    ]
    one, two = gateways(*rows)
    (out,) = one.send(datagram(GATEWAY, FAR))
    mac = model.router_mac(two.topology.get("port", "up1"))

    def answer_to(port: int) -> bytes:
        return datagram(mac, own, src_mac=OUTSIDE, src=FAR, src_port=2000, dst_port=port)

    assert two.send(answer_to(headers(out)[2].src_port), UPLINK) == []
    (back_,) = two.hear(one)
    assert headers(back_)[1] == "10.0.0.1"
    assert two.time_is_up() == [], "and no error comes after it"
    assert two.send(answer_to(30000), UPLINK) == []
    (error,) = two.time_is_up()
    assert (error.port, headers(error)[2].type, headers(error)[2].code) == (UPLINK, 3, 3)
    assert two.time_is_up() == []


def test_syn_ack_is_not_taken_for_the_beginning_of_something() -> None:
    """vm2's group lets it open connections, so its answers would pass: as new ones."""
    rows = [
        msgspec.structs.replace(row, security_groups=()) if row.name == "vm1" else row
        for row in guarded()
    ]
    h1, h2 = Patient("h1", rows), Patient("h2", rows)
    assert h2.send(back(SYN_ACK), VM2) == []
    assert h2.entries() == []
    h1.send(there(SYN))
    (out,) = h2.hear(h1)
    assert out.data == back(SYN_ACK)
    assert [(e.source, e.state) for e in h2.entries()] == [("10.0.0.1", "established")]


def test_answer_of_a_member_is_not_taken_for_the_beginning_of_something() -> None:
    """What leaves by up1 is translated, so the answer would pass: from another address."""
    vip = "203.0.113.80"
    one, two = gateways(
        model.Pool(name="dns"),
        model.PoolMember(name="m", pool="dns", address="10.0.0.1", port=1000),
        model.Vip(name="v", router="far", address=vip, port=53, pool="dns", protocol="udp"),
    )
    mac = model.router_mac(two.topology.get("port", "up1"))
    query = datagram(mac, vip, src_mac=OUTSIDE, src=FAR, src_port=2000, dst_port=53)
    assert one.send(datagram(GATEWAY, FAR)) == one.entries() == []
    two.send(query, UPLINK)
    (out,) = one.hear(two)
    assert (headers(out)[0], headers(out)[2].src_port) == (vip, 53)
    assert len(one.send(datagram(GATEWAY, FAR, src_port=1001))) == 1, "it serves nobody there"


def test_segment_in_the_middle_of_a_connection_is_decided_at_once(pair) -> None:
    h1, _ = pair
    h1.send(there(tcp.tcp(1000, 2000, bits=16)))
    assert count(h1, "early") == 0


def test_what_is_too_much_is_decided_at_once(pair) -> None:
    _, h2 = pair
    for port in range(MOST + 10):
        h2.send(back(udp.udp(2000, 3000 + port)), VM2)
    assert count(h2, "early") == MOST
    assert count(h2, "dropped") == 10
    h2.time_is_up()
    assert count(h2, "dropped") == MOST + 10
    assert h2.send(REPLY, VM2) == []
    assert count(h2, "early") == MOST + 1, "there is room again"


def test_bytes_are_bounded_too(pair) -> None:
    _, h2 = pair
    for port in range(40):
        h2.send(back(udp.udp(2000, 3000 + port), bytes(40_000)), VM2)
    assert 20 < count(h2, "early") < 30
    assert count(h2, "early") + count(h2, "dropped") == 40


def test_host_that_has_no_peers_to_wait_for_decides_at_once() -> None:
    h2 = Host("h2", guarded())
    h2.send(REPLY, VM2)
    assert count(h2, "dropped") == 1


def test_port_that_went_away_meanwhile_gets_no_flow(pair) -> None:
    h1, h2 = pair
    h2.send(REPLY, VM2)
    h2.datapath.bind("vm2", 0)
    h1.send(ASK)
    h2.hear(h1)
    assert h2.dynamic_flows == 0
    assert h2.time_is_up() == []
