"""Machines that ask about themselves: requests as bytes, answers as fields."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

from ryu.lib.packet import dhcp, icmpv6
from ryu.lib.packet import packet as ryu_packet

from onehop.controller.cli import frames
from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.packet import checksums_ok
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

MAC, OTHER_MAC = "02:00:00:00:00:11", "02:00:00:00:00:12"
ROUTER_MAC = "02:00:00:00:00:01"
IP, IP6 = "10.0.0.11", "fd00:10::11"
GATEWAY, GATEWAY6 = "10.0.0.1", "fd00:10::1"
LINK_LOCAL = "fe80::ff:fe00:11"
ROUTER_LINK_LOCAL = "fe80::ff:fe00:1"
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = 1, 2, 3, 4, 5, 6, 7, 8
SOLICIT, ADVERTISE, REQUEST6, CONFIRM, RENEW, REBIND, REPLY = 1, 2, 3, 4, 5, 6, 7
RELEASE6, DECLINE6, INFORMATION = 8, 9, 11
ALL = "ff:ff:ff:ff:ff:ff"
CLIENT_ID = b"\0\1\0\1\x2a\0\0\0\2\0\0\0\0\x11"
TOPOLOGY = """
hosts: [{name: c1, tunnel_address: 172.31.0.21}, {name: c2, tunnel_address: "fd01::22"}]
bridges: [{name: net}]
routers: [{name: r}]
ports:
  - {name: vm1, device: net, mac: "02:00:00:00:00:11", addresses: [10.0.0.11, "fd00:10::11"],
     host: c1, interface: vm1, security_groups: [shut]}
  - {name: vm2, device: net, mac: "02:00:00:00:00:12", addresses: [10.0.0.12],
     host: c2, interface: vm2}
  - {name: none, device: net, mac: "02:00:00:00:00:13", host: c1, interface: vm3}
  - {name: net-r, device: net, peer: r-net}
  - {name: r-net, device: r, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00:10::1/64"]}
security_groups: [{name: shut}]
subnets:
  - {name: four, bridge: net, prefix: 10.0.0.0/24, gateway: 10.0.0.1,
     dns: [192.0.2.53, 192.0.2.54], routes: [{destination: 10.9.0.0/16, gateway: 10.0.0.9}],
     mtu: 1400}
  - {name: six, bridge: net, prefix: "fd00:10::/64", gateway: "fd00:10::1", dns: ["fd00::53"],
     mtu: 1400}
"""


class Told(NamedTuple):
    """An answer to DHCPv4."""

    frame: bytes
    src: str
    dst: str
    kind: int
    address: str
    message: dhcp.dhcp
    options: dict[int, bytes]


def network(text: str = TOPOLOGY, *edits: tuple[str, str]) -> Simulator:
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    topology = Topology()
    topology.update(model.assign_keys(model.load(text)))
    return Simulator(topology)


def sent_by(verdict: Verdict) -> list[tuple[str, bytes]]:
    """What the network itself sends, and by which port."""
    for output in verdict.emitted_outputs:
        assert checksums_ok(output.packet)
    return [(output.port, output.packet) for output in verdict.emitted_outputs]


# DHCPv4


def discover(**fields: Any) -> bytes:
    return request(DISCOVER, **fields)


def request(
    kind: int,
    *,
    mac: str = MAC,
    ciaddr: str = "0.0.0.0",
    wanted: str = "",
    server: str = "",
    flags: int = 0,
    to: tuple[str, str] = (ALL, "255.255.255.255"),
    more: bytes = b"",
    giaddr: str = "0.0.0.0",
    vlan: int | None = None,
) -> bytes:
    options = option(53, bytes([kind]))
    options += option(50, ip_address(wanted).packed) if wanted else b""
    options += option(54, ip_address(server).packed) if server else b""
    options += more + b"\xff"
    head = struct.pack("!BBBBIHH4s8x4s", 1, 1, 6, 0, 0xABCD, 0, flags,
                       ip_address(ciaddr).packed, ip_address(giaddr).packed)  # fmt: skip
    message = head + frames.mac_bytes(mac) + bytes(10 + 192) + b"\x63\x82\x53\x63" + options
    packet = frames.ip(
        ip_address(ciaddr), ip_address(to[1]), frames.UDP, frames.udp(68, 67, message)
    )
    return frames.ethernet(to[0], mac, frames.ETH_IPV4, packet, vlan)


def option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def told(verdict: Verdict, port: str = "vm1") -> Told:
    """The one answer, as Ryu reads it."""
    ((out, frame),) = sent_by(verdict)
    assert out == port
    assert verdict.kind == "consumed" and not verdict.cacheable
    headers = ryu_packet.Packet(frame).protocols
    message = dhcp.dhcp.parser(headers[3] if isinstance(headers[3], bytes) else frame[42:])[0]
    options = {o.tag: o.value for o in message.options.option_list}
    ip = headers[1]
    return Told(frame, ip.src, ip.dst, options[53][0], message.yiaddr, message, options)


# DHCPv6


def ask6(
    kind: int,
    *options: bytes,
    client: bytes | None = CLIENT_ID,
    server: bytes | None = None,
    mac: str = MAC,
    src: str = LINK_LOCAL,
    to: tuple[str, str] = ("33:33:00:01:00:02", "ff02::1:2"),
) -> bytes:
    parts = [option6(1, client)] if client is not None else []
    parts += [option6(2, server)] if server is not None else []
    message = bytes([kind]) + b"\1\2\3" + b"".join([*parts, *options])
    packet = frames.ip(
        ip_address(src), ip_address(to[1]), frames.UDP, frames.udp(546, 547, message)
    )
    return frames.ethernet(to[0], mac, frames.ETH_IPV6, packet)


def option6(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def association(*addresses: str, number: int = 1, code: int = 3) -> bytes:
    inner = b"".join(
        option6(5, ip_address(a).packed + struct.pack("!II", 10, 20)) for a in addresses
    )
    head = struct.pack("!I", number) if code == 4 else struct.pack("!III", number, 0, 0)
    return option6(code, head + inner)


class Told6(NamedTuple):
    kind: int
    src: str
    dst: str
    options: list[tuple[int, bytes]]

    def all(self, code: int) -> list[bytes]:
        return [value for found, value in self.options if found == code]

    def one(self, code: int) -> bytes:
        (value,) = self.all(code)
        return value

    def addresses(self, code: int = 3) -> list[tuple[str, int]]:
        """Those of the first association, and for how long they are valid."""
        inner = split(self.all(code)[0][4 if code == 4 else 12 :])
        return [
            (str(IPv6Address(v[:16])), int(struct.unpack("!I", v[20:24])[0]))
            for found, v in inner
            if found == 5
        ]

    def status(self, code: int | None = None) -> int | None:
        """Of the message, or of its last association of that kind."""
        inner = self.options
        if code is not None:
            inner = split(self.all(code)[-1][4 if code == 4 else 12 :])
        found = [struct.unpack("!H", value[:2])[0] for found, value in inner if found == 13]
        return found[0] if found else None


def split(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        code, length = struct.unpack("!HH", data[:4])
        assert len(data) >= 4 + length
        found.append((code, data[4 : 4 + length]))
        data = data[4 + length :]
    return found


def told6(verdict: Verdict, port: str = "vm1") -> Told6:
    ((out, frame),) = sent_by(verdict)
    assert out == port and verdict.kind == "consumed"
    ip = ryu_packet.Packet(frame).protocols[1]
    udp = frame[54:]
    assert struct.unpack("!HHH", udp[:6]) == (547, 546, len(udp))
    assert udp[9:12] == b"\1\2\3"
    return Told6(udp[8], ip.src, ip.dst, split(udp[12:]))


# Router discovery


def router_solicitation(
    src: str = LINK_LOCAL, *, hops: int = 255, options: bytes | None = None, mac: str = MAC
) -> bytes:
    sla = b"\1\1" + frames.mac_bytes(MAC) if src != "::" else b""
    body = struct.pack("!BBHI", 133, 0, 0, 0) + (sla if options is None else options)
    packet = frames.ip(ip_address(src), ip_address("ff02::2"), frames.ICMPV6, body, ttl=hops)
    return frames.ethernet("33:33:00:00:00:02", mac, frames.ETH_IPV6, packet)


def advertised(frame: bytes) -> tuple[Any, Any, icmpv6.nd_router_advert, dict[int, bytes]]:
    """Its headers, and its options by their type, each without its head."""
    ether, ip, message = ryu_packet.Packet(frame).protocols[:3]
    assert message.type_ == 134 and ip.hop_limit == 255
    options, data = {}, frame[70:]
    while data:
        options[data[0]] = data[2 : data[1] * 8]
        data = data[data[1] * 8 :]
    return ether, ip, message.data, options
