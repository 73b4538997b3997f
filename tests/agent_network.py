"""A network for the tests of the agent: hosts, machines, gateways; their ports and packets."""

from __future__ import annotations

from ryu.lib.packet import arp, ethernet, ipv4, packet, udp

from onehop.controller.agent.desired import TUNNEL_DEVICE
from onehop.controller.agent.events import OfPort
from onehop.engine.model import (
    BgpNetwork,
    BgpPeer,
    Bridge,
    Host,
    LearnedRoute,
    Port,
    Resource,
    Router,
)

TUNNEL, TAP1, TAP3, BFD_G1, BFD_G2 = 1, 2, 3, 4, 5  # port numbers of c1's switch
MAC1, MAC2, MAC3 = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
OUTSIDE = {"g1": "02:ee:00:00:00:01", "g2": "02:ee:00:00:00:02"}  # behind the uplinks


def network() -> list[Resource]:
    """vm1 and vm3 on c1, vm2 on c2, one subnet; two gateways to the outside."""
    return [
        Host(name="c1", tunnel_address="172.31.0.21"),
        Host(name="c2", tunnel_address="172.31.0.22"),
        Host(name="g1", tunnel_address="172.31.0.11"),
        Host(name="g2", tunnel_address="172.31.0.12"),
        Bridge(name="n1", tunnel_key=100),
        Router(name="r1", asn=65010),
        machine(1, "c1", MAC1),
        machine(2, "c2", MAC2),
        machine(3, "c1", MAC3),
        Port(name="n1-r1", device="n1", tunnel_key=10),
        Port(name="r1-n1", device="r1", addresses=("10.0.0.1/24",), peer="n1-r1", tunnel_key=11),
        *uplink(1),
        *uplink(2),
        BgpNetwork(router="r1", prefix="10.0.0.0/24"),
    ]


def machine(number: int, host: str, mac: str) -> Port:
    return Port(
        name=f"vm{number}",
        device="n1",
        mac=mac,
        addresses=(f"10.0.0.1{number}/24",),
        host=host,
        interface=f"tap{number}",
        tunnel_key=number,
    )


def uplink(number: int) -> list[Resource]:
    port = Port(
        name=f"up{number}",
        device="r1",
        addresses=(f"10.56.{number}.2/24",),
        host=f"g{number}",
        interface="eth1",
        tunnel_key=20 + number,
    )
    peer = BgpPeer(name=f"isp{number}", port=f"up{number}", address=f"10.56.{number}.1", asn=65100)
    return [port, peer]


def learned(number: int) -> LearnedRoute:
    """The default route by the uplink of gateway `number`."""
    return LearnedRoute(
        host=f"g{number}",
        next_hop_port=f"up{number}",
        destination="0.0.0.0/0",
        next_hop_gateway=f"10.56.{number}.1",
    )


def c1_ports() -> dict[str, OfPort]:
    numbers = {TUNNEL_DEVICE: TUNNEL, "tap1": TAP1, "tap3": TAP3, "bfd-g1": BFD_G1,
               "bfd-g2": BFD_G2}  # fmt: skip
    return {device: port(device, number) for device, number in numbers.items()}


def port(device: str, number: int, *, link_up: bool = True, live: bool = True) -> OfPort:
    return OfPort(device=device, number=number, link_up=link_up, live=live)


def datagram(
    src: str, dst: str, src_ip: str, dst_ip: str, sport: int = 1000, dport: int = 2000
) -> bytes:
    made = packet.Packet()
    made.add_protocol(ethernet.ethernet(dst, src, 0x0800))
    made.add_protocol(ipv4.ipv4(src=src_ip, dst=dst_ip, proto=17))
    made.add_protocol(udp.udp(sport, dport))
    made.add_protocol(b"hello")
    made.serialize()
    return bytes(made.data)


def arp_packet(op: int, src: str, dst: str, src_ip: str, dst_ip: str) -> bytes:
    made = packet.Packet()
    made.add_protocol(ethernet.ethernet(dst, src, 0x0806))
    target = "00:00:00:00:00:00" if op == arp.ARP_REQUEST else dst
    made.add_protocol(arp.arp(1, 0x0800, 6, 4, op, src, src_ip, target, dst_ip))
    made.serialize()
    return bytes(made.data)
