"""Packets that are interesting in a scene, for hypothesis.

1. Every packet is well formed, its checksums right.
2. Its fields are drawn from what the scene knows, and now and then from elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import frames
from frames import BROADCAST, ICMPV6, NO_MAC, SCTP, TCP, UDP, Address, Arp, Frame, Ip
from hypothesis import strategies as st
from strategies import Machine, Scene, rarely, seldom

from onehop.engine import model

ELSEWHERE = ("192.0.2.7", "198.51.100.1", "10.0.1.200", "10.0.0.99", "2001:db8::1", "fd00::99")
STRANGE = (
    "0.0.0.0", "127.0.0.1", "224.0.0.9", "240.0.0.1", "255.255.255.255", "10.0.0.255", "10.0.1.0",
    "::", "::1", "ff02::1", "ff0e::9", "fe80::1", "fe80::9",
)  # fmt: skip
STRANGER = "06:00:00:00:00:99"


@st.composite
def packets(draw: st.DrawFn, scene: Scene) -> tuple[str, bytes]:
    """A virtual port, and a well-formed packet that comes in there."""
    machine = draw(st.sampled_from(scene.machines))
    v6 = draw(st.booleans())
    src = draw(_address_of(machine, scene, v6))
    dst = draw(_some_address(scene, v6) if draw(st.booleans()) else _far(scene, machine, v6))
    mac = STRANGER if draw(rarely) else machine.mac
    kind = draw(st.sampled_from(("ip",) * 7 + ("arp", "arp", "other")))
    if kind == "arp":
        frame = draw(_nd(mac, src, dst)) if v6 else draw(_arp(mac, src, dst))
    elif kind == "ip":
        frame = frames.ip_frame(draw(_next_mac(scene, machine, dst)), mac, draw(_ip(src, dst)))
    else:
        frame = Frame(draw(_some_mac(scene, machine)), mac, 0x88B5, b"hello")
    if draw(rarely):
        frame = replace(frame, vlan=draw(st.sampled_from((0x0005, 0x6007))))
    return machine.port, frame.encode()


def _address_of(machine: Machine, scene: Scene, v6: bool) -> st.SearchStrategy[Address]:
    own = next(ip_address(a) for a in machine.addresses if (":" in a) == v6)
    return seldom.flatmap(lambda odd: _some_address(scene, v6) if odd else st.just(own))


def _far(scene: Scene, machine: Machine, v6: bool) -> st.SearchStrategy[Address]:
    """The address of somebody behind a router, or of nobody here."""
    texts = [a for other in scene.machines if not _near(machine, other) for a in other.addresses]
    texts = [t for t in (*texts, *ELSEWHERE) if (":" in t) == v6]
    return st.sampled_from([ip_address(t) for t in texts])


def _some_address(scene: Scene, v6: bool) -> st.SearchStrategy[Address]:
    texts = [a for machine in scene.machines for a in machine.addresses]
    texts += [t.partition("/")[0] for port in scene.topology.ports for t in port.addresses]
    usual, strange = (
        [ip_address(t) for t in sorted(set(group)) if (":" in t) == v6]
        for group in ([*texts, *ELSEWHERE], STRANGE)
    )
    return rarely.flatmap(lambda odd: st.sampled_from(strange if odd else usual))


@st.composite
def _some_mac(draw: st.DrawFn, scene: Scene, machine: Machine) -> str:
    """The MAC of a router beside the machine, of another machine, of nobody, of all."""
    near = _routers_beside(scene, machine)
    macs = [m.mac for m in scene.machines if m != machine]
    anyone = [*macs, STRANGER, BROADCAST, "01:00:5e:00:00:09"]
    return draw(st.sampled_from(near if near and not draw(seldom) else anyone))


def router_mac_at(scene: Scene, machine: Machine) -> st.SearchStrategy[str]:
    """The MAC of a router beside the machine, where there is one."""
    return st.sampled_from(_routers_beside(scene, machine) or [STRANGER])


def _routers_beside(scene: Scene, machine: Machine) -> list[str]:
    ports = {port.name: port for port in scene.topology.ports}
    device = ports[machine.port].device
    near = [model.router_mac(ports[machine.port])] if device.startswith("r") else []
    for port in scene.topology.ports:
        if port.peer and ports[port.peer].device.startswith("r") and port.device == device:
            near.append((ports[port.peer].mac or model.router_mac(ports[port.peer])).lower())
    return near


@st.composite
def _next_mac(draw: st.DrawFn, scene: Scene, machine: Machine, dst: Address) -> str:
    """The MAC that a machine would send to, mostly."""
    if draw(seldom):
        return draw(_some_mac(scene, machine))
    beside = {a: m.mac for m in scene.machines for a in m.addresses if _near(machine, m)}
    return beside.get(str(dst)) or draw(_some_mac(scene, machine))


def _near(one: Machine, other: Machine) -> bool:
    return one.port.partition("-")[0] == other.port.partition("-")[0]


@st.composite
def _arp(draw: st.DrawFn, mac: str, src: Address, dst: Address) -> Frame:
    if draw(seldom):
        dst = src  # gratuitous
    if draw(st.booleans()):
        return frames.arp_frame(BROADCAST, mac, Arp(1, mac, src, NO_MAC, dst))
    to = draw(st.sampled_from((BROADCAST, "02:00:00:00:00:00", STRANGER)))
    return frames.arp_frame(to, mac, Arp(2, mac, src, to, dst))


@st.composite
def _nd(draw: st.DrawFn, mac: str, src: Address, dst: Address) -> Frame:
    if draw(st.booleans()):
        return frames.solicit(mac, src, dst)
    option = b"\x02\x01" + frames.mac_bytes(mac)
    ip = frames.icmp(Ip(src, dst, ICMPV6, ttl=255), 136, 0, bytes(4) + src.packed + option)
    return frames.ip_frame("02:00:00:00:00:00", mac, ip)


@st.composite
def _ip(draw: st.DrawFn, src: Address, dst: Address) -> Ip:
    ttl = draw(st.sampled_from((64, 64, 64, 255, 3, 2, 1, 0)))
    df = src.version == 4 and draw(st.booleans())
    tos = draw(st.sampled_from((0, 0, 0xB8)))
    ip = Ip(src, dst, 0, ttl=ttl, tos=tos, ident=7, dont_fragment=df)
    ip = draw(st.sampled_from((_udp, _tcp, _sctp, _echo, _echo, _error, _bare)))(ip, draw)
    if draw(rarely):
        return fragment(ip, draw(st.booleans()))
    if draw(rarely) and ip.version == 4:
        return replace(ip, options=b"\x94\x04\0\0")  # router alert (RFC 2113)
    return ip


def _ports(draw: st.DrawFn) -> bytes:
    source = draw(st.integers(1024, 65535))
    return source.to_bytes(2, "big") + draw(st.sampled_from((53, 80, 179))).to_bytes(2, "big")


def _udp(ip: Ip, draw: st.DrawFn) -> Ip:
    body = draw(st.sampled_from((b"hi", bytes(1400))))
    size = (8 + len(body)).to_bytes(2, "big")
    payload = _ports(draw) + size + b"\0\0" + body
    return frames.with_checksum(replace(ip, proto=UDP, payload=payload), 6)


def _tcp(ip: Ip, draw: st.DrawFn) -> Ip:
    payload = _ports(draw) + bytes(8) + b"\x50\x02\xff\xff" + bytes(4)
    return frames.with_checksum(replace(ip, proto=TCP, payload=payload), 16)


def _sctp(ip: Ip, draw: st.DrawFn) -> Ip:
    return replace(ip, proto=SCTP, payload=_ports(draw) + bytes(8))


def _echo(ip: Ip, draw: st.DrawFn) -> Ip:
    return frames.icmp(ip, 8 if ip.version == 4 else 128, 0, b"\x12\x34\0\1" + b"payload")


def _error(ip: Ip, draw: st.DrawFn) -> Ip:
    return frames.icmp(ip, 3 if ip.version == 4 else 1, 1, bytes(4) + bytes(28))


def _bare(ip: Ip, draw: st.DrawFn) -> Ip:
    return replace(ip, proto=47, payload=b"\0\0\x08\0")


def fragment(ip: Ip, first: bool) -> Ip:
    """One fragment of `ip`: the first, or a later one."""
    offset, body = (0, ip.payload[:24].ljust(24, b"\0")) if first else (185, b"the rest")
    if ip.version == 4:
        flags = {"more_fragments": first, "offset": offset}
        return replace(ip, payload=body, **flags)
    chain = bytes([ip.proto, 0]) + (offset << 3 | first).to_bytes(2, "big") + bytes(4)
    flags = {"more_fragments": first, "offset": offset, "options": chain, "next_header": 44}
    return replace(ip, payload=body, **flags)
