"""Packet files: friendly fields become the packets that they describe."""

from ipaddress import ip_address

import frames
import pytest

from onehop.controller.cli import packets
from onehop.engine import model
from onehop.engine.model import Bridge, Host, ModelError, Port, Router, Topology

VM1, VM2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
TOPOLOGY = Topology(
    hosts=(Host(name="h1", tunnel_address="172.31.0.1"),),
    bridges=(Bridge(name="net"),),
    routers=(Router(name="gw"),),
    ports=(
        Port(
            name="vm1",
            device="net",
            mac=VM1,
            addresses=("10.0.0.11", "fd00::11"),
            host="h1",
            interface="t1",
        ),
        Port(
            name="vm2", device="net", mac=VM2, addresses=("10.0.0.12",), host="h1", interface="t2"
        ),
        Port(name="guest", device="net", host="h1", interface="t3"),
        Port(name="net-gw", device="net", peer="gw-net"),
        Port(name="gw-net", device="gw", addresses=("10.0.0.1/24", "fd00::1/64")),
        Port(name="up", device="gw", addresses=("192.0.2.2/24",), host="h1", interface="eth1"),
    ),
)
GATEWAY = model.router_mac(TOPOLOGY.ports[4])


def one(**fields: object) -> frames.Frame:
    packet = packets.Packet(**{"in_port": "vm1", **fields})
    frame = frames.decode(packets.build(packet, TOPOLOGY))
    assert frame is not None
    return frame


def problems(text: str) -> list[str]:
    with pytest.raises(ModelError) as caught:
        packets.load(text, TOPOLOGY)
    return str(caught.value).splitlines()


def test_an_address_alone_is_a_ping_from_the_machine_behind_the_port() -> None:
    frame = one(ip_dst="10.0.0.12")
    assert (frame.src, frame.dst) == (VM1, VM2)
    assert frame.body.src == ip_address("10.0.0.11")
    assert frame.body.payload[:2] == b"\x08\0"
    assert frames.checksum_is_right(frame.body)


def test_what_is_not_on_the_bridge_goes_to_its_router() -> None:
    assert one(ip_dst="198.51.100.1").dst == GATEWAY
    assert one(ip_dst="10.0.0.1").dst == GATEWAY


def test_ipv6_goes_the_same_way() -> None:
    frame = one(ip_dst="2001:db8::1")
    assert frame.dst == GATEWAY
    assert frame.body.payload[0] == 128
    assert frames.checksum_is_right(frame.body)


def test_a_port_number_makes_it_udp() -> None:
    frame = one(ip_dst="10.0.0.12", tp_dst=53)
    assert frame.body.proto == frames.UDP
    assert frames.with_checksum(frame.body, 6) == frame.body


@pytest.mark.parametrize(("proto", "checksum_at"), [("tcp", 16), ("udp", 6)])
def test_transport_checksums_are_right(proto: str, checksum_at: int) -> None:
    for dst in ("10.0.0.12", "fd00::12"):
        body = one(ip_dst=dst, eth_dst=VM2, ip_proto=proto, tp_dst=80).body
        assert frames.with_checksum(body, checksum_at) == body


def test_a_fragment_says_its_place() -> None:
    for dst in ("10.0.0.12", "2001:db8::1"):
        assert one(ip_dst=dst, tp_dst=80, fragment="later").body.is_later_fragment
        first = one(ip_dst=dst, tp_dst=80, fragment="first").body
        assert first.is_fragment and not first.is_later_fragment


def test_arp_and_nd_ask_everybody() -> None:
    asked = one(arp="request", ip_dst="10.0.0.12")
    assert asked.dst == frames.BROADCAST
    assert asked.body == frames.Arp(
        1, VM1, ip_address("10.0.0.11"), frames.NO_MAC, ip_address("10.0.0.12")
    )
    solicited = one(nd="solicit", ip_dst="fd00::12")
    assert solicited == frames.solicit(VM1, ip_address("fd00::11"), ip_address("fd00::12"))


def test_bytes_may_be_given_whole() -> None:
    (timed,) = packets.load("- {in_port: guest, at: 2, hex: '0102 03:04'}", TOPOLOGY)
    assert timed == packets.Timed(2.0, "guest", b"\1\2\3\4")


def test_hex_of_digits_only_is_not_a_number() -> None:
    (timed,) = packets.load("- {in_port: guest, hex: 1122}", TOPOLOGY)
    assert timed.data == b"\x11\x22"


def test_time_stands_still_unless_stated_and_never_goes_back() -> None:
    text = "- {at: 1.5, in_port: vm1, ip_dst: 10.0.0.12}\n- {in_port: vm1, ip_dst: 10.0.0.12}\n"
    assert [timed.at_s for timed in packets.load(text, TOPOLOGY)] == [1.5, 1.5]
    (problem,) = problems(text + "- {at: 1, in_port: vm1, ip_dst: 10.0.0.12}")
    assert problem == "packet '#3': at: 1.0 is before the packet before it, at 1.5"


def test_every_problem_names_its_packet_and_field() -> None:
    text = """
    - {in_port: nobody, ip_dst: 10.0.0.12}
    - {in_port: guest, ip_dst: 10.0.0.12}
    - {in_port: vm2, ip_dst: fd00::1}
    - {in_port: vm1, ip_dst: 10.0.0.300}
    - {in_port: vm1}
    - {in_port: vm1, ip_dst: 10.0.0.12, ttl: 3}
    - {in_port: vm1, hex: 01, ip_dst: 10.0.0.12}
    - {in_port: vm1, hex: xy}
    - {in_port: up, ip_dst: 10.0.0.12, ip_src: 192.0.2.1}
    - 7
    """
    where = [line.partition(": ")[2].partition(":")[0] for line in problems(text)]
    assert where == [
        "in_port",
        "eth_src",
        "ip_src",
        "ip_dst",
        "ip_dst",
        "ttl",
        "ip_dst",
        "hex",
        "eth_src",
        "is not a mapping of fields but 7",
    ]


def test_a_file_that_is_no_list_is_refused() -> None:
    assert problems("in_port: vm1") == ["file 'packets.yaml': expected a list of packets"]
    assert "is not YAML" in problems("- {")[0]
