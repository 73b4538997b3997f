"""First packets of new connections: packet-in to flow-mod and packet-out.

The peer is what a Ryu application does at the least: parse the message and the packet into objects
and serialise one flow-mod and one packet-out, without deciding anything.
"""

from __future__ import annotations

import pytest
import workloads
from ryu.lib.packet import ethernet, ipv4, udp
from ryu.lib.packet.packet import Packet
from ryu.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

COUNTS = (1, 100, 1000)


@pytest.mark.parametrize("count", COUNTS)
def test_onehop(benchmark, count: int) -> None:
    buffer = workloads.packet_ins(count)
    datapath = workloads.hot_path()
    assert datapath.receive(buffer, 1).consumed == len(buffer)
    assert datapath.flow_count == count

    def fresh() -> tuple[tuple, dict]:
        return (workloads.hot_path(),), {}

    benchmark.group = f"{count} first packets"
    benchmark.pedantic(lambda path: path.receive(buffer, 1), setup=fresh, rounds=30)


@pytest.mark.parametrize("count", COUNTS)
def test_ryu_objects(benchmark, count: int) -> None:
    messages = [workloads.packet_in(packet) for packet in workloads.packets(count)]
    assert len(answer(messages[0])) > 100
    benchmark.group = f"{count} first packets"
    benchmark.pedantic(lambda: [answer(message) for message in messages], rounds=5)


def answer(message: bytes) -> bytes:
    """One flow-mod and one packet-out, by way of Ryu's objects."""
    datapath = ProtocolDesc(ofproto_v1_3.OFP_VERSION)
    version, kind, length, xid = ofproto_parser.header(message)
    packet_in = ofproto_parser.msg(datapath, version, kind, length, xid, message)
    packet = Packet(packet_in.data)
    eth, ip, l4 = (packet.get_protocol(p) for p in (ethernet.ethernet, ipv4.ipv4, udp.udp))
    parser = ofproto_v1_3_parser
    match = parser.OFPMatch(
        in_port=packet_in.match["in_port"], eth_dst=eth.dst, eth_type=eth.ethertype,
        ip_proto=ip.proto, ipv4_src=ip.src, ipv4_dst=ip.dst,
        udp_src=l4.src_port, udp_dst=l4.dst_port,
    )  # fmt: skip
    actions = [parser.OFPActionSetField(eth_dst=eth.dst), parser.OFPActionOutput(1)]
    write = [parser.OFPInstructionActions(ofproto_v1_3.OFPIT_APPLY_ACTIONS, actions)]
    flow = parser.OFPFlowMod(datapath, match=match, instructions=write, priority=100)
    out = parser.OFPPacketOut(
        datapath, buffer_id=0xFFFFFFFF, in_port=1, actions=actions, data=packet_in.data
    )
    for reply in (flow, out):
        reply.serialize()
    return bytes(flow.buf) + bytes(out.buf)
