"""The messages that the agent states itself, read by Ryu's parser and by ovs-ofctl."""

import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_parser, ofproto_protocol
from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser13

from onehop.engine import fields, openflow


def by_ryu(data: bytes) -> object:
    version, kind, length, xid = ofproto_parser.header(data)
    assert length == len(data)
    protocol = ofproto_protocol.ProtocolDesc(ofp.OFP_VERSION)
    if kind == ofp.OFPT_FLOW_MOD:
        return parser13.OFPFlowMod.parser(protocol, version, kind, length, xid, data)
    return ofproto_parser.msg(protocol, version, kind, length, xid, data)


def by_ovs(data: bytes) -> str:
    """The message as Open vSwitch reads it."""
    command = ["ovs-ofctl", "ofp-print", data.hex()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


MATCHES = [
    ({"in_port": 3, "tunnel_id": 77}, "tun_id=0x4d,in_port=3"),
    ({"in_port": 3, "arp_op": 2, "arp_tpa": "10.0.0.0/8"}, "arp,in_port=3,arp_tpa=10.0.0.0/8"),
    ({"in_port": 3, "tcp_dst": 179, "ipv4_dst": "10.0.0.1"}, "tcp,in_port=3,nw_dst=10.0.0.1"),
    ({"udp_dst": 3784, "ipv6_dst": "fd00::1"}, "udp6,ipv6_dst=fd00::1,tp_dst=3784"),
    ({"icmpv6_type": 135, "nd_target": "fd00::1"}, "icmp6,icmp_type=135,nd_target=fd00::1"),
    ({"eth_src": "02:00:00:00:00:01"}, "dl_src=02:00:00:00:00:01"),
    ({}, "priority=10"),
]  # fmt: skip


@pytest.mark.parametrize(("match", "words"), MATCHES)
def test_ovs_reads_a_static_match(match: dict[str, int | str], words: str) -> None:
    text = by_ovs(openflow.static_flow(openflow.STATIC | 5, 10, match, [("output", 4)]))
    assert words in text and "cookie:0x4000000000000005" in text
    assert "actions=output:4" in text


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([], "actions=drop"),
        ([("controller",)], "actions=CONTROLLER:65535"),
        ([("output", 1), ("output", openflow.IN_PORT)], "actions=output:1,IN_PORT"),
        (
            [("set_tunnel", "172.31.0.1", 9), ("output", 2)],
            "actions=set_field:172.31.0.1->tun_dst,set_field:0x9->tun_id,output:2",
        ),
        (
            [("set_tunnel", "fd00::1", 9), ("output", 2)],
            "actions=set_field:fd00::1->tun_ipv6_dst,set_field:0x9->tun_id,output:2",
        ),
    ],
)
def test_ovs_reads_static_actions(actions: list[openflow.Action], words: str) -> None:
    assert words in by_ovs(openflow.static_flow(1, 10, {"in_port": 1}, actions))


def test_ryu_reads_a_static_flow() -> None:
    flow = by_ryu(
        openflow.static_flow(7, 9, {"in_port": 3, "ipv4_dst": "10.0.0.0/8"}, [("output", 4)])
    )
    assert (flow.cookie, flow.priority, flow.command) == (7, 9, ofp.OFPFC_ADD)
    assert (flow.idle_timeout, flow.hard_timeout) == (0, 0)
    assert dict(flow.match.items()) == {
        "in_port": 3, "eth_type": 0x0800, "ipv4_dst": ("10.0.0.0", "255.0.0.0"),
    }  # fmt: skip
    assert [action.port for action in flow.instructions[0].actions] == [4]


def test_flows_are_deleted_by_their_cookies_bits() -> None:
    flow = by_ryu(openflow.delete_flows(openflow.STATIC, openflow.CLASS_MASK))
    assert (flow.command, flow.cookie, flow.cookie_mask) == (
        ofp.OFPFC_DELETE, openflow.STATIC, openflow.CLASS_MASK,
    )  # fmt: skip
    assert (flow.out_port, flow.out_group) == (ofp.OFPP_ANY, ofp.OFPG_ANY)


def test_one_flow_is_deleted_by_its_match() -> None:
    flow = by_ryu(openflow.delete_strict(9, {"in_port": 3}))
    assert (flow.command, flow.priority) == (ofp.OFPFC_DELETE_STRICT, 9)


def test_ovs_reads_a_packet_out() -> None:
    text = by_ovs(openflow.packet_out(b"\x02" * 60, [("output", 3)]))
    assert "in_port=CONTROLLER actions=output:3 data_len=60" in text


def test_ovs_reads_requests() -> None:
    assert "OFPST_FLOW request" in by_ovs(openflow.flow_stats_request(5, 1, 1))
    assert "OFPT_BARRIER_REQUEST" in by_ovs(openflow.barrier_request(5))


def test_ovs_is_asked_to_tell_of_ttls_that_run_out() -> None:
    text = by_ovs(openflow.async_config())
    assert "PACKET_IN: no_match action invalid_ttl" in text
    assert "PORT_STATUS: add delete modify" in text


def test_ovs_is_given_the_meter_anew() -> None:
    data = openflow.ask_meter()
    length = struct.unpack_from("!H", data, 2)[0]
    assert "DEL meter=1" in by_ovs(data[:length]), "of an agent before"
    text = by_ovs(data[length:])
    assert "ADD meter=1 pktps burst" in text
    assert "type=drop rate=1000 burst_size=1000" in text


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        ({"colour": 3}, "colour: no such match field"),
        ({"in_port": "three"}, "in_port: 'three' is no value of this field"),
        ({"in_port": 1 << 40}, "in_port: 1099511627776 is no value of this field"),
        ({"ipv4_dst": "fd00::1"}, "ipv4_dst: .* other family"),
        ({"ipv4_dst": "10.0.0.1/8"}, "ipv4_dst: .* host bits"),
        ({"eth_src": "02:00"}, "eth_src: .* six bytes"),
        ({"arp_op": 1, "eth_type": 0x0800}, "arp_op: needs eth_type=0x806"),
        ({"tcp_dst": 1, "ip_proto": 17}, "tcp_dst: needs ip_proto=0x6"),
        ({"tcp_dst": 1}, "ip_proto: needs eth_type"),
    ],
)
def test_a_match_that_cannot_be_is_refused(match: dict[str, int | str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        openflow.static_flow(1, 1, match, [])


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="paint: no such action"):
        openflow.static_flow(1, 1, {}, [("paint", 1)])


def test_a_packet_out_that_fits_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        openflow.packet_out(bytes(65500), [("output", 1)])


# Statistics


def stats(*flows: bytes, more: int = 0) -> bytes:
    body = b"".join(flows)
    return struct.pack("!BBHIHH4x", 4, 19, 16 + len(body), 1, 1, more) + body


def stat(cookie: int, match: bytes = b"", instructions: bytes = b"") -> bytes:
    oxm = struct.pack("!HH", 1, 4 + len(match)) + match
    oxm += bytes(-len(oxm) % 8)
    length = 48 + len(oxm) + len(instructions)
    head = struct.pack("!HBxIIHHHH4xQQQ", length, 0, 1, 2, 9, 0, 0, 0, cookie, 11, 222)
    return head + oxm + instructions


def test_flow_statistics_are_read() -> None:
    match = openflow.static_match({"in_port": 3, "arp_op": 1})
    instructions = openflow.static_instructions([("output", 4)])
    data = stats(stat(5, match, instructions), stat(6)) + openflow.barrier_request(1) + stats()
    assert openflow.flow_stats(data) == [
        (5, 9, 11, 222, match, instructions, 0, 1 + 2e-9),
        (6, 9, 11, 222, b"", b"", 0, 1 + 2e-9),
    ]


def test_a_match_is_the_same_in_whatever_order_it_comes() -> None:
    port, kind = fields.oxm("in_port", 3), fields.oxm("eth_type", 0x0806)
    (one,), (other,) = (
        openflow.flow_stats(stats(stat(1, match))) for match in (port + kind, kind + port)
    )
    assert one == other


def test_the_last_part_is_told_from_the_others() -> None:
    assert openflow.has_more(stats(more=1))
    assert not openflow.has_more(stats())
    assert not openflow.has_more(b"")


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_cut_statistics_are_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match="cut off"):
        openflow.flow_stats(stats(stat(1))[:-cut])


@given(st.binary(max_size=100))
def test_any_bytes_are_safe(data: bytes) -> None:
    for message in (data, stats(data), stats(stat(1, data), data)):
        try:
            openflow.flow_stats(message)
        except ValueError as error:
            assert "OpenFlow" in str(error) or "cut off" in str(error) or "itself" in str(error)
