"""What a Ryu application does at the least for a first packet: message objects in and out."""

from __future__ import annotations

from ryu.lib.packet import ethernet, ipv4, udp
from ryu.lib.packet.packet import Packet
from ryu.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc


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
