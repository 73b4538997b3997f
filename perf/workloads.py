"""What the benchmarks feed: buffers of packet-ins on one host's hot path."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import frames
from networks import mac, udp
from rig import GATEWAY, TUNNEL, VM1, network, route

from onehop.engine.datapath import Datapath
from onehop.engine.topology import Topology


def hot_path() -> Datapath:
    """The hot path of h1: machine, bridge, tenant router, provider router, two uplinks."""
    topology = Topology()
    topology.update([*network(), route("far", "up2", "10.8.2.2")])  # two equal uplinks
    datapath = Datapath(topology, host="h1")
    datapath.set_tunnel_port(TUNNEL)
    datapath.bind("vm1", VM1)
    return datapath


def packets(count: int) -> Iterator[bytes]:
    """The first packets of `count` connections of vm1 to the outside, each its own 5-tuple."""
    for n in range(count):
        ip = udp("10.0.0.1", f"198.51.100.{1 + n % 200}", sport=1024 + n // 200, dport=443)
        yield frames.ip_frame(GATEWAY, mac(1), ip).encode()


def packet_ins(count: int) -> bytes:
    """These packets as the switch sends them: OFPT_PACKET_IN (OpenFlow 1.3, section 7.4.1)."""
    return b"".join(packet_in(packet) for packet in packets(count))


def packet_in(packet: bytes) -> bytes:
    match = struct.pack("!HHII4x", 1, 12, 0x80000004, VM1)
    body = struct.pack("!IHBBQ", 0xFFFFFFFF, len(packet), 0, 0, 0) + match + b"\0\0" + packet
    return struct.pack("!BBHI", 4, 10, 8 + len(body), 0) + body
