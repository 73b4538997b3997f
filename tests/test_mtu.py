"""Routers' ports with an MTU: what is too long, who is told, and which flows there are."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import rig
from frames import Ip
from networks import Network, answers, outputs, udp
from rig import GATEWAY, MAC1, TUNNEL, VM1, Rig
from ryu.lib.packet import ipv4
from ryu.lib.packet import udp as ryu_udp
from samples import built, ether_between
from test_router import to_router, two_subnets

from onehop.controller.agent import lengths, statics
from onehop.engine import model, openflow, packet
from onehop.engine.limits import limits_of, mark_of
from onehop.engine.model import Resource

WAYS = [("10.0.0.10", "10.0.1.12"), ("fd00::10", "fd00:0:0:1::12")]


def limited(mtu: int | None, port: str = "r-b") -> list[Resource]:
    return [
        msgspec.structs.replace(r, mtu=mtu) if isinstance(r, model.Port) and r.name == port else r
        for r in two_subnets()
    ]


def long(src: str, dst: str, length: int, *, df: bool = True) -> Ip:
    """A datagram of so many bytes."""
    head = len(udp(src, dst).encode()) - len(udp(src, dst).payload)
    padded = udp(src, dst).payload[:8].ljust(length - head, b"x")
    sent = replace(udp(src, dst), payload=padded, dont_fragment=df and "." in src)
    assert len(sent.encode()) == length
    return sent


@pytest.mark.parametrize(("src", "dst"), WAYS)
def test_what_is_too_long_is_answered_with_the_mtu(src: str, dst: str) -> None:
    network = Network(limited(1400))
    sent = long(src, dst, 1401)
    verdict = network.send("vm0", to_router(network, sent))
    assert (verdict.kind, verdict.reason) == ("consumed", "over the egress MTU")
    ((port, told),) = answers(verdict)
    assert port == "vm0"
    assert told.body.payload[:2] == (b"\x03\x04" if "." in src else b"\x02\x00")
    assert told.body.payload[4:8] == (1400).to_bytes(4, "big")


@pytest.mark.parametrize(("src", "dst"), WAYS)
def test_what_is_just_short_enough_passes_and_its_flow_is_for_such_only(
    src: str, dst: str
) -> None:
    network = Network(limited(1400))
    verdict = network.send("vm0", to_router(network, long(src, dst, 1400)))
    assert (outputs(verdict), verdict.cacheable) == (["vm2"], True)
    assert verdict.match["len_class"] == (0, 1)


def test_ipv4_that_may_be_fragmented_is_dropped_and_says_why() -> None:
    network = Network(limited(1400))
    verdict = network.send("vm0", to_router(network, long(*WAYS[0], 1401, df=False)))
    assert (verdict.kind, verdict.emitted, verdict.cacheable) == ("consumed", (), False)
    assert "does not fragment" in verdict.reason


def test_only_flows_by_way_of_a_limited_port_look_at_the_length() -> None:
    network = Network([*limited(1400, "r-a")])
    verdict = network.send("vm0", to_router(network, long(*WAYS[0], 1401)))
    assert (outputs(verdict), "len_class" in verdict.match) == (["vm2"], False)


def test_bytes_behind_the_packet_do_not_count_but_make_no_flow() -> None:
    network = Network(limited(1400))
    frame = replace(to_router(network, long(*WAYS[0], 1400)), padding=bytes(9))
    verdict = network.send("vm0", frame)
    assert (outputs(verdict), verdict.cacheable) == (["vm2"], False)


def test_each_limit_has_its_bit() -> None:
    network = Network(limited(1400))
    network.topology.update([msgspec.structs.replace(
        next(r for r in two_subnets() if r.name == "r-a"), mtu=1300)])  # fmt: skip
    assert network.topology.limits == (1300, 1400)
    verdict = network.send("vm0", to_router(network, long(*WAYS[0], 1350)))
    assert verdict.match["len_class"] == (0, 2)


def test_limits_are_named_by_their_content() -> None:
    assert limits_of([1500, 1400, 1500]) == (1400, 1500)
    assert mark_of((1400,)) != mark_of((1500,)) != mark_of(())


# The switch


def datagram(length: int) -> bytes:
    return built(
        ether_between(MAC1, GATEWAY, 0x0800),
        ipv4.ipv4(src="10.0.0.1", dst="192.0.2.7", proto=17, flags=2),
        ryu_udp.udp(1000, 2000),
        bytes(length - 28),
    )


def with_mtu(*mtus: int) -> list[Resource]:
    named = dict(zip(("up1", "near-far"), mtus, strict=False))
    return [
        msgspec.structs.replace(r, mtu=named[r.name])
        if isinstance(r, model.Port) and r.name in named
        else r
        for r in rig.network()
    ]


class Measured(Rig):
    """A rig whose switch compares lengths as the agent would have it."""

    def __init__(self, *mtus: int) -> None:
        super().__init__(with_mtu(*mtus))
        self.installed: set[int] = set()
        self.measure()

    def measure(self) -> None:
        flows = lengths.static_flows([VM1, rig.VM3], self.topology.limits)
        wanted = {statics.cookie(flow): flow for flow in flows}
        self.switch.write(statics.changes(self.installed, wanted))
        self.installed = set(wanted)

    def limit(self, *mtus: int) -> None:
        self.update(*with_mtu(*mtus))
        self.measure()


def mtu_told(outs: list) -> int:
    (out,) = outs
    key = packet.parse_key(out.data)
    assert (out.port, key["icmp_type"], key["icmp_code"]) == (VM1, 3, 4)
    return int.from_bytes(out.data[40:42], "big")


@pytest.mark.parametrize("mtus", [(1400,), (1400, 1450), (1450, 1400)])
def test_a_flow_takes_short_packets_and_leaves_long_ones(mtus: tuple[int, ...]) -> None:
    rig_ = Measured(*mtus)
    lowest = min(mtus)
    assert [out.port for out in rig_.send(datagram(lowest))] == [TUNNEL]
    before = rig_.datapath.counters["packet_ins"]
    assert [out.port for out in rig_.send(datagram(lowest))] == [TUNNEL]
    assert rig_.datapath.counters["packet_ins"] == before
    assert mtu_told(rig_.send(datagram(lowest + 1))) == lowest
    assert mtu_told(rig_.send(datagram(1451))) == mtus[-1]
    assert rig_.dynamic_flows == 1
    assert rig_.datapath.counters["stopped: over the egress MTU"] == 2


def test_another_list_of_lengths_deletes_the_flows_that_were_made_for_the_old_one() -> None:
    rig_ = Measured(1400)
    rig_.send(datagram(1400))
    rig_.limit(1400, 1300)
    assert rig_.dynamic_flows == 0
    assert mtu_told(rig_.send(datagram(1400))) == 1300
    assert [out.port for out in rig_.send(datagram(1300))] == [TUNNEL]


def test_flows_for_any_length_stay_where_there_are_limits_and_where_there_are_none() -> None:
    rig_ = Measured()
    rig_.send(datagram(1400))
    rig_.send(rig.datagram(rig.MAC3, "10.0.0.3"))
    assert rig_.dynamic_flows == 2
    rig_.limit(1300)
    assert rig_.dynamic_flows == 1
    assert mtu_told(rig_.send(datagram(1400))) == 1300


def test_flows_are_adopted_if_they_were_made_for_the_same_lengths() -> None:
    rig_ = Measured(1400)
    rig_.send(datagram(1400))
    stats = rig_.stats()
    rig_.restart()
    assert rig_.datapath.adopt(stats, rig_.now_ns) == b""
    assert rig_.datapath.flow_count == 1
    rig_.topology.update(with_mtu(1400, 1300))
    rig_.restart()
    rig_.switch.write(rig_.datapath.adopt(stats, rig_.now_ns))
    assert (rig_.datapath.flow_count, rig_.dynamic_flows) == (0, 0)


def test_a_topology_without_mtus_has_no_flows_that_compare_lengths() -> None:
    assert list(lengths.static_flows([1, 2], ())) == []


def test_there_are_as_many_comparisons_as_lengths() -> None:
    flows = list(lengths.static_flows([1], (1300, 1400, 1500)))
    compared = [a for flow in flows for a in flow.actions if a[0] == "compare_length"]
    assert compared == [
        ("compare_length", mtu + 14, i) for i, mtu in enumerate((1300, 1400, 1500))
    ]
    assert flows[-1].table == openflow.LIMITED
