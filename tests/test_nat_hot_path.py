"""Translations on the hot path: flows that write, bytes where no flow can, refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fake_switch import Out
from rig import GATEWAY, OUTSIDE, TUNNEL, datagram, network
from ryu.lib.packet import icmp, ipv4, packet, udp
from samples import built, ether_between
from test_connections import SECOND, Host

from onehop.engine import model
from onehop.engine.effects import PacketRefused
from onehop.engine.packet import checksums_ok

FAR, PUBLIC, UPLINK = "198.51.100.9", "203.0.113.1", 5


def translating(n_ports: int) -> list[model.Resource]:
    """What goes out by up1 comes from the public address."""
    snat = model.Rule(
        action="snat", out_ports=("up1",), targets=(model.NatTarget(first_address=PUBLIC),)
    )
    return [
        msgspec.structs.replace(row, inbound_filter="in", outbound_filter="out")
        if row.name == "far" and isinstance(row, model.Router)
        else row
        for row in network()
    ] + [
        model.Chain(name="in", rules=(model.Rule(action="reverse_snat"),)),
        model.Chain(name="out", rules=(snat,)),
        model.NatBlock(host="h1", address=PUBLIC, first_port=20000, n_ports=n_ports),
    ]  # fmt: skip


@pytest.fixture
def hosts() -> tuple[Host, Host]:
    rows = translating(2)
    one, two = Host("h1", rows), Host("h2", rows)
    two.datapath.bind("up1", UPLINK)
    return one, two


def headers(out: Out) -> tuple[str, str, Any]:
    """Source, destination, and what is in the packet; its checksums are right."""
    assert checksums_ok(out.data)
    seen = packet.Packet(out.data)
    ip = seen.get_protocol(ipv4.ipv4)
    return ip.src, ip.dst, seen.get_protocol(udp.udp) or seen.get_protocol(icmp.icmp)


def answer(two: Host, dst_port: int) -> bytes:
    own = model.router_mac(two.topology.get("port", "up1"))
    return datagram(
        own, PUBLIC, src_mac=OUTSIDE, src=FAR, src_port=2000, dst_port=dst_port
    )  # fmt: skip


def echo(kind: int, src: str, dst: str, number: int, macs: tuple[str, str]) -> bytes:
    return built(
        ether_between(*macs, 0x0800),
        ipv4.ipv4(src=src, dst=dst, proto=1),
        icmp.icmp(kind, 0, 0, icmp.echo(number, 1, b"hello")),
    )


def test_flows_translate_there_and_back_without_the_agent(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    (out,) = one.send(datagram(GATEWAY, FAR))
    src, _, sent = headers(out)
    assert (out.port, src) == (TUNNEL, PUBLIC)
    assert 20000 <= sent.src_port <= 20001
    two.hear(one)
    (back,) = two.send(answer(two, sent.src_port), UPLINK)
    assert headers(back)[1] == "10.0.0.1"
    assert headers(back)[2].dst_port == 1000
    for host, port, data, same in (
        (one, 1, datagram(GATEWAY, FAR), out),
        (two, UPLINK, answer(two, sent.src_port), back),
    ):
        flows = host.switch.receive(port, data)
        assert headers(flows[0])[:2] == headers(same)[:2]


def test_echo_is_sent_with_another_identifier_and_its_reply_with_the_old_one(
    hosts: tuple[Host, Host],
) -> None:
    one, two = hosts
    (out,) = one.send(echo(8, "10.0.0.1", FAR, 77, ("02:00:00:00:00:01", GATEWAY)))
    src, _, sent = headers(out)
    assert src == PUBLIC
    assert 20000 <= sent.data.id <= 20001
    two.hear(one)
    own = model.router_mac(two.topology.get("port", "up1"))
    (back,) = two.send(echo(0, FAR, PUBLIC, sent.data.id, (OUTSIDE, own)), UPLINK)
    assert headers(back)[1] == "10.0.0.1"
    assert headers(back)[2].data.id == 77


def test_error_is_sent_with_what_it_quotes_translated(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    (out,) = one.send(datagram(GATEWAY, FAR))
    two.hear(one)
    own = model.router_mac(two.topology.get("port", "up1"))
    error = built(
        ether_between(OUTSIDE, own, 0x0800),
        ipv4.ipv4(src=FAR, dst=PUBLIC, proto=1),
        icmp.icmp(3, 3, 0, icmp.dest_unreach(data=out.data[14:])),
    )
    (back,) = two.send(error, UPLINK)
    assert headers(back)[1] == "10.0.0.1"
    quoted = packet.Packet(bytes(12) + b"\x08\x00" + bytes(headers(back)[2].data.data))
    assert quoted.get_protocol(ipv4.ipv4).src == "10.0.0.1"
    assert quoted.get_protocol(udp.udp).src_port == 1000


def test_a_used_up_pool_is_counted_and_told_and_the_sender_hears_of_it(
    hosts: tuple[Host, Host],
) -> None:
    one, _ = hosts
    for port in (1000, 1001):
        one.send(datagram(GATEWAY, FAR, src_port=port))
    (out,) = one.send(datagram(GATEWAY, FAR, src_port=1002))
    assert out.port == 1
    assert headers(out)[2].type == 3
    assert one.datapath.counters["stopped: no port left to translate to"] == 1
    assert one.effects == [PacketRefused("vm1", "no port left to translate to")]


def test_silence_frees_the_port(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    for port in (1000, 1001):
        one.send(datagram(GATEWAY, FAR, src_port=port))
    one.wait(90)
    assert not one.entries()
    assert one.dynamic_flows == 0
    assert headers(one.send(datagram(GATEWAY, FAR, src_port=1002))[0])[0] == PUBLIC


def test_use_in_one_direction_keeps_both_entries(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    one.send(datagram(GATEWAY, FAR))
    for _ in range(12):
        one.wait(10)
        assert one.switch.receive(1, datagram(GATEWAY, FAR))
    assert sorted(entry.kind for entry in one.entries()) == ["reverse_snat", "snat"]
    assert one.now_ns > 100 * SECOND
