"""The hot path of one switch: what it installs, changes, adopts, counts and forgets."""

import contextlib
from collections import Counter

import pytest
import rig
from hypothesis import given
from hypothesis import strategies as st
from rig import (
    GATEWAY,
    GUEST,
    MAC1,
    MAC2,
    MAC3,
    OUTSIDE,
    VM1,
    VM3,
    Rig,
    datagram,
    neighbor,
    route,
    segment,
    to_port,
    tunnelled,
)  # fmt: skip
from ryu.lib.packet import arp
from samples import SAMPLES, built, ether_between

from onehop.controller.agent import messages
from onehop.engine import openflow, packet
from onehop.engine.effects import MacLearned, NeighborLearned, NeighborWanted, PacketRefused
from onehop.engine.model import Port

OUT = datagram(GATEWAY, "192.0.2.7")
SECOND = 1_000_000_000


def kinds(out: bytes) -> list[str]:
    """The names of the messages in `out`."""
    found = []
    while out:
        found.append({13: "packet_out", 14: f"flow_mod {out[25]}"}[out[1]])
        out = out[int.from_bytes(out[2:4], "big") :]
    return found


# Packets


def test_the_first_packet_follows_its_flow_and_the_next_ones_take_it() -> None:
    r = Rig()
    data = datagram(MAC3, "10.0.0.3")
    assert r.send(data) == [to_port(VM3, data)]
    assert r.switch.messages[-2:] == ["flow_mod", "packet_out"]
    assert r.switch.receive(VM1, data) == [to_port(VM3, data)], "without the hot path"


def test_a_remote_port_is_one_tunnelled_copy_with_the_ports_key() -> None:
    data = datagram(MAC2, "10.0.0.2")
    assert Rig().send(data) == [tunnelled(2, data)]


def test_a_flood_is_one_copy_per_port_here_and_per_host_elsewhere() -> None:
    r = Rig()
    data = datagram("02:00:00:00:00:42", "10.0.0.42")
    expected = [to_port(VM3, data), to_port(GUEST, data), tunnelled(100, data)]
    assert sorted(r.send(data)) == sorted(expected)


def test_a_routed_packet_has_new_macs_and_a_ttl_for_each_router() -> None:
    (out,) = Rig().send(OUT)
    key = packet.parse_key(out.data)
    assert (out.tunnel_id, out.tunnel_dst) == (11, "172.31.0.2")
    assert (key["eth_dst"], key["ip_ttl"]) == (OUTSIDE[:-1] + "1", 62)
    assert packet.checksums_ok(out.data)


def test_a_tunnel_goes_to_an_ipv6_host_too() -> None:
    r = Rig()
    r.update(route("far", "up2", "10.8.2.2"), remove=(("route", "far 0.0.0.0/0 up1 10.8.1.2"),))
    (out,) = r.send(OUT)
    assert (out.tunnel_id, out.tunnel_dst) == (12, "fd00:31::3")


@pytest.mark.parametrize(("ttl", "answers"), [(1, "10.0.0.254"), (2, "10.9.0.2")])
@pytest.mark.parametrize("flow_is_there", [False, True])
def test_each_router_on_the_way_answers_for_its_ttl(
    ttl: int, answers: str, flow_is_there: bool
) -> None:
    r = Rig()
    if flow_is_there:
        r.send(OUT)
    (out,) = r.send(datagram(GATEWAY, "192.0.2.7", ttl=ttl))
    key = packet.parse_key(out.data)
    assert (out.port, key["ipv4_src"], key["icmp_type"]) == (VM1, answers, 11)
    assert r.dynamic_flows == flow_is_there


def test_arp_for_a_known_address_is_answered_and_stays_here() -> None:
    r = Rig()
    asked = built(
        ether_between(MAC1, "ff:ff:ff:ff:ff:ff", 0x0806),
        arp.arp_ip(1, MAC1, "10.0.0.1", "00:00:00:00:00:00", "10.0.0.2"),
    )
    (out,) = r.send(asked)
    assert out.port == VM1 and packet.parse_key(out.data)["arp_sha"] == MAC2
    assert r.dynamic_flows == 0


def test_a_flood_of_equal_packets_makes_one_flow() -> None:
    r = Rig()
    data = datagram(MAC3, "10.0.0.3")
    for _ in range(5):
        r.switch.receive(VM1, data)
    assert r.answer() == [to_port(VM3, data)] * 5
    assert r.datapath.counters["duplicates"] == 4
    assert r.switch.messages.count("flow_mod") == 2, "the table miss and one more"


def test_a_flow_that_somebody_deletes_is_installed_again() -> None:
    r = Rig()
    data = datagram(MAC3, "10.0.0.3")
    r.send(data)
    (key,) = [key for key, flow in r.switch.flows.items() if flow.cookie >> 62 == 2]
    cookie = r.switch.flows.pop(key).cookie
    assert r.send(data)
    assert r.dynamic_flows == 0, "it might be on its way"
    r.now_ns += 2 * 10**9
    assert r.send(data)
    assert r.switch.flows[key].cookie == cookie


def test_messages_that_are_no_packet_ins_are_handed_on_in_order() -> None:
    r = Rig()
    r.switch.receive(VM1, datagram(MAC3, "10.0.0.3"))
    packet_in = r.switch.heard()
    echo, barrier = openflow.barrier_request(1), openflow.barrier_request(2)
    got = r.datapath.receive(memoryview(echo + packet_in + barrier + packet_in[:20]), 0)
    assert got.slow == [echo, barrier]
    assert got.consumed == len(echo + packet_in + barrier)
    assert kinds(got.out) == ["flow_mod 0", "packet_out"]


def test_a_message_in_pieces_waits_for_the_rest() -> None:
    r = Rig()
    r.switch.receive(VM1, OUT)
    whole = r.switch.heard()
    for cut in (0, 1, 7, 8, len(whole) - 1):
        assert r.datapath.receive(whole[:cut], 0) == (0, b"", [], [], [])
    assert r.datapath.receive(whole, 0).consumed == len(whole)


def test_another_protocol_is_an_error() -> None:
    with pytest.raises(ValueError, match="not OpenFlow 1.3: version 1"):
        Rig().datapath.receive(b"\x01\x0a\x00\x08\0\0\0\0", 0)


def test_a_packet_from_a_port_that_nobody_bound_is_counted() -> None:
    r = Rig()
    assert r.send(OUT, in_port=44) == []
    assert r.datapath.counters["unknown_port"] == 1


def test_a_packet_that_contradicts_itself_is_counted() -> None:
    r = Rig()
    r.switch._packet_in(VM1, b"short", 0, 0, 0)
    assert r.answer() == []
    assert r.datapath.counters["malformed"] == 1


@given(st.binary(max_size=120), st.integers(0, 255))
def test_any_packet_in_is_safe(data: bytes, kind: int) -> None:
    r = Rig()
    r.switch._packet_in(VM1, data, 0, 0, 0)
    heard = bytearray(r.switch.heard())
    r.datapath.receive(heard, 0)
    for at in range(8, min(len(heard), 40)):
        damaged = bytearray(heard)
        damaged[at] = kind
        assert r.datapath.receive(damaged, 0).consumed == len(heard)


# Effects


def test_a_learned_mac_is_told_once_and_known_at_once() -> None:
    r = Rig()
    mac = "02:00:00:00:00:77"
    r.send(datagram(MAC3, "10.0.0.3", src_mac=mac, src="10.0.0.7"), in_port=GUEST)
    assert r.effects == [MacLearned("net", 0, mac, "guest")]
    back = datagram(mac, "10.0.0.7")
    assert r.send(back) == [to_port(GUEST, back)]
    assert len(r.effects) == 1


def test_a_flow_that_flooded_is_narrowed_when_the_mac_is_learned() -> None:
    r = Rig()
    mac = "02:00:00:00:00:77"
    back = datagram(mac, "10.0.0.7")
    assert len(r.send(back)) == 3
    r.send(datagram(MAC3, "10.0.0.3", src_mac=mac, src="10.0.0.7"), in_port=GUEST)
    assert r.switch.receive(VM1, back) == [to_port(GUEST, back)], "without the hot path"


def test_a_packet_whose_next_hop_is_unknown_waits_and_goes_on() -> None:
    r = Rig([x for x in rig.network() if x.KIND != "neighbor"])
    (asked,) = r.send(OUT)
    assert asked.tunnel_id == 11 and packet.parse_key(asked.data)["arp_tpa"] == "10.8.1.2"
    (wanted,) = r.effects
    assert wanted == NeighborWanted("up1", "10.8.1.2", OUT, "vm1")
    r.update(neighbor(1))
    got = r.datapath.inject(OUT, "vm1", r.now_ns)
    r.switch.write(got.out)
    (out,) = r.switch.take()
    assert out.tunnel_id == 11 and r.dynamic_flows == 1


def test_a_request_is_sent_again() -> None:
    r = Rig()
    r.switch.write(r.datapath.solicit("up1", "10.8.1.9", r.now_ns).out)
    (out,) = r.switch.take()
    assert packet.parse_key(out.data)["arp_tpa"] == "10.8.1.9"


def test_giving_up_answers_host_unreachable() -> None:
    r = Rig([x for x in rig.network() if x.KIND != "neighbor"])
    r.send(OUT)
    r.switch.write(r.datapath.unreachable(OUT, "vm1", r.now_ns).out)
    (out,) = r.switch.take()
    key = packet.parse_key(out.data)
    assert (out.port, key["icmp_type"], key["icmp_code"]) == (VM1, 3, 1)


def test_a_neighbor_that_speaks_is_learned() -> None:
    r = Rig([x for x in rig.network() if x.KIND != "neighbor"])
    r.topology.update([Port(name="up1", device="far", host="h1", interface="eth1", tunnel_key=11,
                            addresses=("10.8.1.1/24",))])  # fmt: skip
    r.datapath.bind("up1", 9)
    said = built(
        ether_between(OUTSIDE, "ff:ff:ff:ff:ff:ff", 0x0806),
        arp.arp_ip(1, OUTSIDE, "10.8.1.2", "00:00:00:00:00:00", "10.8.1.1"),
    )
    r.send(said, in_port=9)
    assert r.effects == [NeighborLearned("up1", "10.8.1.2", OUTSIDE)]
    assert [out.port for out in r.send(OUT)] == [9]


# A port's share


def test_a_port_gets_its_share_and_no_more() -> None:
    r = Rig()
    r.datapath.limit("vm1", 10, 3)
    for number in range(5):
        r.switch.receive(VM1, segment(GATEWAY, f"192.0.{number}.1", 1000))
        r.switch.receive(VM3, datagram(MAC2, "10.0.0.2", src_mac=MAC3, src="10.0.0.3"))
    assert len(r.answer()) == 3 + 5
    assert r.datapath.counters["refused"] == 2
    assert r.effects == [PacketRefused("vm1", "too many")], "told once a second"


def test_a_share_comes_back_with_time() -> None:
    r = Rig()
    r.datapath.limit("vm1", 10, 1)
    data = datagram(MAC3, "10.0.0.3")
    r.switch.receive(VM1, data)
    assert len(r.answer()) == 1
    r.switch._packet_in(VM1, data, 0, 0, 0)
    assert r.answer() == []
    r.now_ns += SECOND // 10
    r.switch._packet_in(VM1, data, 0, 0, 0)
    assert len(r.answer()) == 1


# Changes of the topology


def test_a_flow_whose_actions_change_is_changed_in_place() -> None:
    r = Rig()
    r.send(OUT)
    out = r.update(
        route("far", "up2", "10.8.2.2"), remove=(("route", "far 0.0.0.0/0 up1 10.8.1.2"),)
    )
    assert kinds(out) == ["flow_mod 2"]
    (sent,) = r.switch.receive(VM1, OUT)
    assert sent.tunnel_id == 12


def test_a_flow_that_stays_the_same_is_left_alone() -> None:
    r = Rig()
    r.send(OUT)
    assert r.update(route("far", "up2", "10.8.2.2", "10.7.0.0/24")) == b""
    assert r.update(neighbor(1)) == b""


def test_a_flow_whose_match_tells_too_little_is_deleted_and_comes_again() -> None:
    r = Rig()
    r.send(OUT)
    assert kinds(r.update(route("far", "up2", "10.8.2.2"))) == ["flow_mod 3"]
    assert r.datapath.flow_count == r.dynamic_flows == 0
    assert len(r.send(OUT)) == 1 and r.dynamic_flows == 1


def test_equal_routes_share_connections_and_one_that_is_left_takes_them_in_place() -> None:
    r = Rig()
    r.update(route("far", "up2", "10.8.2.2"))
    sent = [r.send(segment(GATEWAY, "192.0.2.7", 1000 + i))[0].tunnel_id for i in range(40)]
    assert set(sent) == {11, 12} and r.dynamic_flows == 40
    out = r.update(remove=(("route", "far 0.0.0.0/0 up1 10.8.1.2"),))
    assert kinds(out) == ["flow_mod 2"] * sent.count(11), "each flow that moves, no other"


def test_no_route_is_no_flow_and_an_answer() -> None:
    r = Rig()
    r.send(OUT)
    r.update(remove=(("route", "far 0.0.0.0/0 up1 10.8.1.2"),))
    (out,) = r.send(OUT)
    key = packet.parse_key(out.data)
    assert (out.port, key["icmp_type"], key["icmp_code"]) == (VM1, 3, 0)
    assert r.dynamic_flows == 0


def test_a_dead_host_takes_no_more_packets() -> None:
    r = Rig()
    data = datagram(MAC2, "10.0.0.2")
    r.send(data)
    tags = r.topology.set_host_alive("h2", False)
    r.switch.write(r.datapath.invalidate(tags, r.now_ns))
    assert not [out for out in r.send(data) if out.tunnel_dst == "172.31.0.2"]


def test_a_port_that_gets_another_number_is_followed() -> None:
    r = Rig()
    data = datagram(MAC3, "10.0.0.3")
    r.send(data)
    r.send(datagram(MAC1, "10.0.0.1", src_mac=MAC3, src="10.0.0.3"), in_port=VM3)
    r.datapath.bind("vm3", 33)
    r.switch.write(r.datapath.invalidate((), r.now_ns))
    assert r.switch.receive(VM1, data) == [to_port(33, data)], "changed in place"
    assert r.dynamic_flows == 1, "what came in by the old number is gone"


def test_a_new_tunnel_port_is_followed() -> None:
    r = Rig()
    data = datagram(MAC2, "10.0.0.2")
    r.send(data)
    r.datapath.set_tunnel_port(60)
    r.switch.write(r.datapath.go_on(r.now_ns))
    assert [out.port for out in r.switch.receive(VM1, data)] == [60]


def test_a_full_table_forwards_without_flows() -> None:
    r = Rig(max_flows=2)
    for number in range(4):
        assert len(r.send(segment(GATEWAY, f"{64 * number}.0.2.1", 1000))) == 1
    assert r.dynamic_flows == r.datapath.flow_count == 2
    assert r.datapath.counters["flows_full"] == 2


# After a restart


def restarted(**options: int) -> Rig:
    """A rig with three flows whose hot path has just begun anew."""
    r = Rig(**options)
    r.send(datagram(MAC3, "10.0.0.3"))
    r.send(datagram(MAC2, "10.0.0.2"))
    r.send(OUT)
    assert r.dynamic_flows == 3
    return r


def test_flows_are_adopted_as_they_are() -> None:
    r = restarted()
    before = dict(r.switch.flows)
    r.restart()
    assert r.datapath.adopt(r.stats(), r.now_ns) == b""
    assert r.datapath.flow_count == 3 and r.switch.flows == before


def test_adopted_flows_are_changed_like_others() -> None:
    r = restarted()
    r.restart()
    r.datapath.adopt(r.stats(), r.now_ns)
    out = r.update(
        route("far", "up2", "10.8.2.2"), remove=(("route", "far 0.0.0.0/0 up1 10.8.1.2"),)
    )
    assert kinds(out) == ["flow_mod 2"]


def test_what_changed_meanwhile_is_put_right() -> None:
    r = restarted()
    r.topology.update([route("far", "up2", "10.8.2.2")], [("route", "far 0.0.0.0/0 up1 10.8.1.2")])
    r.restart()
    out = r.datapath.adopt(r.stats(), r.now_ns)
    assert kinds(out) == ["flow_mod 2"]
    r.switch.write(out)
    assert [sent.tunnel_id for sent in r.switch.receive(VM1, OUT)] == [12]


def test_what_holds_no_more_is_deleted() -> None:
    r = restarted()
    r.topology.update([route("far", "up2", "10.8.2.2")])  # now the ports matter too
    r.restart()
    r.switch.write(r.datapath.adopt(r.stats(), r.now_ns))
    assert r.dynamic_flows == r.datapath.flow_count == 2


def test_a_port_that_is_gone_takes_its_flows_along() -> None:
    r = restarted()
    stats = r.stats()
    r.restart()
    r.datapath.bind("vm1", 0)
    r.switch.write(r.datapath.adopt(stats, r.now_ns))
    assert r.dynamic_flows == r.datapath.flow_count == 0


def test_new_flows_never_take_an_adopted_cookie() -> None:
    r = restarted()
    r.restart()
    r.datapath.adopt(r.stats(), r.now_ns)
    for number in range(20):
        r.send(segment(GATEWAY, f"{8 * number}.7.7.7", 1000))
    cookies = [flow.cookie for flow in r.switch.flows.values()]
    assert len(cookies) == len(set(cookies))


def test_adopting_twice_changes_nothing() -> None:
    r = restarted()
    r.restart()
    stats = r.stats()
    assert r.datapath.adopt(stats, r.now_ns) + r.datapath.adopt(stats, r.now_ns) == b""
    assert r.datapath.flow_count == 3


def test_static_flows_are_nobodys() -> None:
    r = restarted()
    r.switch.write(openflow.flow_stats_request(1))
    everything = r.switch.heard()
    r.restart()
    assert r.datapath.adopt(everything, r.now_ns) == b""


def test_after_forgetting_everything_is_adopted_again() -> None:
    r = restarted()
    r.datapath.forget()
    assert r.datapath.flow_count == 0
    assert r.datapath.adopt(r.stats(), r.now_ns) == b""
    assert r.datapath.flow_count == 3


# Age


def test_a_flow_that_carries_nothing_expires() -> None:
    r = restarted(idle_ns=10 * SECOND)
    r.wait(9)
    r.switch.receive(VM1, OUT)
    r.wait(7)
    assert r.dynamic_flows == r.datapath.flow_count == 1
    assert r.datapath.counters["flows_expired"] == 2
    assert len(r.switch.receive(VM1, OUT)) == 1, "the one that was used"
    r.wait(18)
    assert r.dynamic_flows == r.datapath.flow_count == 0


def test_a_flow_does_not_expire_unasked() -> None:
    r = restarted(idle_ns=10 * SECOND)
    for _ in range(20):
        r.now_ns += SECOND
        r.switch.write(r.datapath.go_on(r.now_ns))
    assert r.dynamic_flows == r.datapath.flow_count == 3


def test_a_flow_that_the_switch_lost_is_forgotten() -> None:
    r = restarted(idle_ns=10 * SECOND)
    r.switch.flows.clear()
    r.wait(99)
    assert r.datapath.flow_count == 3
    r.wait(6)
    assert r.datapath.flow_count == 0


def test_every_flow_is_asked_about_once_a_round_and_few_at_once() -> None:
    r = Rig(idle_ns=40 * SECOND)
    for number in range(600):
        r.send(datagram(f"02:00:00:0a:{number >> 8:02x}:{number & 255:02x}", "10.0.0.9"))
    assert r.dynamic_flows == 600
    asked: Counter[int] = Counter()
    for _ in range(16 * 10):
        r.now_ns += SECOND // 10
        ask = r.datapath.go_on(r.now_ns)
        while ask:
            cookies = [int.from_bytes(m[32:40], "big") for m in messages.split(ask)]
            assert len(cookies) <= 128
            assert not r.datapath.go_on(r.now_ns), "the switch has not answered yet"
            asked.update(cookies)
            r.switch.write(ask)
            heard = r.switch.heard()
            ask = r.datapath.receive(heard, r.now_ns).out
    assert set(asked) == {f.cookie for f in r.switch.flows.values() if f.cookie >> 62 == 2}
    assert max(asked.values()) <= 2, "by the end the next round has begun"


def test_a_switch_that_leaves_out_an_answer_is_asked_again() -> None:
    r = restarted(idle_ns=10 * SECOND)
    r.now_ns += 6 * SECOND
    assert r.datapath.go_on(r.now_ns)
    assert not r.datapath.go_on(r.now_ns), "it may answer yet"
    r.now_ns += 6 * SECOND
    assert r.datapath.go_on(r.now_ns)


def test_a_slice_counts_its_own_flows() -> None:
    r = restarted()
    counts = [len(openflow.flow_stats(r.stats(number, 4))) for number in range(4)]
    assert sum(counts) == 3 and max(counts) == 1


@pytest.mark.parametrize(("slice_", "slices"), [(0, 3), (4, 4), (-1, 4), (0, 0)])
def test_odd_slices_are_refused(slice_: int, slices: int) -> None:
    with pytest.raises(ValueError, match="not one of a power of two"):
        Rig().datapath.stats_request(1, slice_, slices)


def test_cut_statistics_are_an_error() -> None:
    r = restarted()
    with pytest.raises(ValueError, match="cut off"):
        r.datapath.adopt(r.stats()[:-1], 0)


@given(st.data())
def test_damaged_statistics_are_safe(choose: st.DataObject) -> None:
    r = restarted()
    stats = bytearray(r.stats())
    for _ in range(3):
        stats[choose.draw(st.integers(8, len(stats) - 1))] = choose.draw(st.integers(0, 255))
    r.restart()
    r.datapath.adopt(stats, 0)
    stats[4:8] = bytes(4)
    with contextlib.suppress(ValueError):
        r.datapath.receive(stats, 10**12)
    r.datapath.go_on(10**12)


def test_every_sample_gets_an_answer_or_a_count() -> None:
    r = Rig()
    for data in SAMPLES.values():
        r.send(data)
    counters = r.datapath.counters
    verdicts = ("dropped", "forwarded", "consumed", "awaited", "loops", "malformed")
    assert sum(counters[name] for name in verdicts) == counters["packet_ins"] >= 4
