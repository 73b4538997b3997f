"""Packet files: a list of packets, each by its bytes or by the few fields that matter.

1. A field that is left out is what the machine behind the port would put there: its stated
   MAC and address, and the next hop's MAC.
2. Every problem of a file is found at once, and names the packet and the field.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import msgspec

from onehop.controller.cli import frames, questions
from onehop.controller.cli.link import IPAddress, Link
from onehop.engine import model
from onehop.engine.model.files import read_yaml
from onehop.engine.model.resources import MAC
from onehop.engine.model.values import read_resource

MAX_BYTES = 9216  # of a packet: a jumbo frame
BROADCAST = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"
ALL_NODES = IPv6Address("ff02::1")
PROTOCOLS = {"icmp": frames.ICMP, "tcp": frames.TCP, "udp": frames.UDP, "sctp": frames.SCTP}

Mac = Annotated[str, msgspec.Meta(pattern=MAC)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Word = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Packet(model.Resource, frozen=True):
    """One packet of a file.  With `hex`, only `at` and `in_port` may stand beside it."""

    KIND: ClassVar[str] = "packet"
    PLURAL: ClassVar[str] = "packets"
    in_port: str  # the virtual port where it comes in
    at: Annotated[float, msgspec.Meta(ge=0)] | None = None  # seconds; None: as the one before
    hex: str | None = None  # the whole frame; spaces and colons may part the bytes
    eth_src: Mac | None = None  # None: the MAC that the port states
    eth_dst: Mac | None = None  # None: the next hop's
    eth_type: Word | None = None  # of a frame that is neither IP nor ARP
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4095)] | None = None
    arp: Literal["request", "reply"] | None = None  # from ip_src, about ip_dst
    nd: Literal["solicit", "advert"] | None = None  # from ip_src, about ip_dst
    asks: questions.Question | None = None  # of a machine that configures itself
    ip_src: str | None = None  # None: the address that the port states
    ip_dst: str | None = None
    ip_ttl: Byte = 64
    ip_tos: Byte = 0
    dont_fragment: bool = False
    fragment: Literal["first", "later"] | None = None
    ip_proto: str | Byte | None = None  # icmp, tcp, udp, sctp or a number; None: see `_protocol`
    tp_src: Word = 40000
    tp_dst: Word | None = None
    tcp_flags: Annotated[str, msgspec.Meta(pattern=f"^[{frames.TCP_FLAGS}]*$")] = "S"
    icmp_type: Byte | None = None  # None: an echo request
    icmp_code: Byte = 0
    icmp_id: Word = 1
    icmp_seq: Word = 1
    payload: str = "onehop"
    size: Annotated[int, msgspec.Meta(ge=1, le=9000)] | None = None  # bytes; None: the text's


class Timed(NamedTuple):
    """A packet ready to be sent."""

    at_s: float
    in_port: str
    data: bytes


class FieldError(ValueError):
    """One field of a packet is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def load(text: str | bytes, topology: model.Topology, source: str = "packets.yaml") -> list[Timed]:
    """Read a packet file; raises a `ModelError` with every problem in it."""
    raw = read_yaml(text, source) or []
    if not isinstance(raw, list):
        reason = "expected a list of packets"
        raise model.ModelError([model.Problem("file", source, "", reason)])
    timed: list[Timed] = []
    problems: list[model.Problem] = []
    for number, item in enumerate(raw, 1):
        read = _read(item, f"#{number}", topology, timed[-1].at_s if timed else 0.0)
        if isinstance(read, Timed):
            timed.append(read)
        else:
            problems += read
    if problems:
        raise model.ModelError(problems)
    return timed


def _read(
    item: Any, label: str, topology: model.Topology, now_s: float
) -> Timed | list[model.Problem]:
    if not isinstance(item, dict):
        return [model.Problem("packet", label, "", f"is not a mapping of fields but {item!r}")]
    if isinstance(item.get("hex"), int):
        item = {**item, "hex": str(item["hex"])}  # digits only: YAML took them for a number
    read = read_resource(Packet, item, label)
    if isinstance(read, list):
        return read
    assert isinstance(read, Packet)
    try:
        return _timed(read, item, topology, now_s)
    except FieldError as refused:
        return [model.Problem("packet", label, refused.field, str(refused))]


def _timed(packet: Packet, item: dict[Any, Any], topology: model.Topology, now_s: float) -> Timed:
    at_s = now_s if packet.at is None else packet.at
    if at_s < now_s:
        raise FieldError("at", f"{at_s} is before the packet before it, at {now_s}")
    if packet.hex is None:
        return Timed(at_s, packet.in_port, build(packet, topology))
    beside = sorted(item.keys() - {"at", "in_port", "hex"})
    if beside:
        raise FieldError(beside[0], "cannot stand beside hex, which is the whole frame")
    _link(packet, topology)
    return Timed(at_s, packet.in_port, _bytes(packet.hex))


def _bytes(text: str) -> bytes:
    try:
        data = bytes.fromhex(text.replace(":", ""))
    except ValueError as error:
        raise FieldError("hex", f"is not hexadecimal bytes: {error}") from None
    if len(data) > MAX_BYTES:
        raise FieldError("hex", f"{len(data)} bytes are more than {MAX_BYTES}")
    return data


def build(packet: Packet, topology: model.Topology) -> bytes:
    """The bytes of a packet that is described by its fields."""
    link = _link(packet, topology)
    src = packet.eth_src or link.mac
    if src is None:
        raise FieldError(
            "eth_src", f"is missing, and port {packet.in_port!r} states no machine's MAC"
        )
    if packet.eth_type is not None:
        body = _payload(packet)
        return frames.ethernet(
            packet.eth_dst or BROADCAST, src, packet.eth_type, body, packet.vlan
        )
    if packet.asks is not None:
        return questions.build(packet.asks, src, _own4(packet, link), packet.vlan)
    ends = _ends(packet, link)
    if packet.arp is not None:
        return _arp(packet, src, ends, link)
    if packet.nd is not None:
        return _nd(packet, src, ends)
    dst = packet.eth_dst or _next_hop_mac(link, ends[1])
    return _ethernet(packet, dst, src, _ip(packet, *ends))


def _own4(packet: Packet, link: Link) -> IPv4Address | None:
    own = _address("ip_src", packet.ip_src) if packet.ip_src else link.address(4)
    return own if isinstance(own, IPv4Address) else None


def _link(packet: Packet, topology: model.Topology) -> Link:
    for port in topology.ports:
        if port.name == packet.in_port:
            return Link(topology, port)
    raise FieldError("in_port", f"there is no port {packet.in_port!r}")


def _ends(packet: Packet, link: Link) -> tuple[IPAddress, IPAddress]:
    if packet.ip_dst is None:
        raise FieldError("ip_dst", "is missing: where does the packet go?")
    dst = _address("ip_dst", packet.ip_dst)
    src = _address("ip_src", packet.ip_src) if packet.ip_src else link.address(dst.version)
    if src is None:
        reason = f"port {packet.in_port!r} states no machine's IPv{dst.version} address"
        raise FieldError("ip_src", f"is missing, and {reason}")
    if src.version != dst.version:
        raise FieldError("ip_src", f"{src} and {dst} are of different families")
    return src, dst


def _address(field: str, text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise FieldError(
            field, f"{text!r} is not an IP address like 10.0.0.5 or fd00::5"
        ) from None


def _next_hop_mac(link: Link, dst: IPAddress) -> str:
    if dst.is_multicast:
        return group_mac(dst)
    mac = link.next_hop_mac(dst)
    if mac is None:
        raise FieldError("eth_dst", f"is missing, and nobody states who has {dst} or routes to it")
    return mac


def group_mac(group: IPAddress) -> str:
    """The MAC of a multicast group (RFC 1112, section 6.4; RFC 2464, section 7)."""
    if isinstance(group, IPv6Address):
        return "33:33:" + group.packed[-4:].hex(":")
    low = bytes([group.packed[1] & 0x7F]) + group.packed[2:]
    return "01:00:5e:" + low.hex(":")


def _arp(packet: Packet, mac: str, ends: tuple[IPAddress, IPAddress], link: Link) -> bytes:
    src, dst = ends
    if not isinstance(src, IPv4Address) or not isinstance(dst, IPv4Address):
        raise FieldError("arp", "is of IPv4 addresses; IPv6 has nd")
    asks = packet.arp == "request"
    to = packet.eth_dst or (not asks and link.next_hop_mac(dst)) or BROADCAST
    target = NO_MAC if to == BROADCAST else to
    body = frames.arp(1 if asks else 2, (mac, src), (target, dst))
    return frames.ethernet(to, mac, frames.ETH_ARP, body, packet.vlan)


def _nd(packet: Packet, mac: str, ends: tuple[IPAddress, IPAddress]) -> bytes:
    src, dst = ends
    if not isinstance(src, IPv6Address) or not isinstance(dst, IPv6Address):
        raise FieldError("nd", "is of IPv6 addresses; IPv4 has arp")
    asks = packet.nd == "solicit"
    to, group = frames.solicited_node(dst) if asks else (group_mac(ALL_NODES), ALL_NODES)
    kind = frames.NEIGHBOR_SOLICIT if asks else frames.NEIGHBOR_ADVERT
    message = frames.neighbor(kind, dst if asks else src, mac)
    whole = frames.ip(src, group, frames.ICMPV6, message, ttl=255)
    return _ethernet(packet, packet.eth_dst or to, mac, whole)


def _ethernet(packet: Packet, dst: str, src: str, whole: bytes) -> bytes:
    kind = frames.ETH_IPV4 if whole[0] >> 4 == 4 else frames.ETH_IPV6
    return frames.ethernet(dst, src, kind, whole, packet.vlan)


def _ip(packet: Packet, src: IPAddress, dst: IPAddress) -> bytes:
    proto = _protocol(packet, dst.version)
    return frames.ip(
        src,
        dst,
        proto,
        _transport(packet, proto),
        ttl=packet.ip_ttl,
        tos=packet.ip_tos,
        dont_fragment=packet.dont_fragment,
        fragment=packet.fragment or "",
    )


def _protocol(packet: Packet, version: int) -> int:
    """What `ip_proto` says; where it is left out, UDP if there is a port, else ICMP."""
    stated = packet.ip_proto
    if stated is None:
        stated = "icmp" if packet.tp_dst is None else "udp"
    if isinstance(stated, int):
        return stated
    if stated not in PROTOCOLS:
        raise FieldError("ip_proto", f"{stated!r} is not {', '.join(PROTOCOLS)} or a number")
    is_icmp6 = stated == "icmp" and version == 6
    return frames.ICMPV6 if is_icmp6 else PROTOCOLS[stated]


def _transport(packet: Packet, proto: int) -> bytes:
    body, ports = _payload(packet), (packet.tp_src, packet.tp_dst or 0)
    match proto:
        case frames.ICMP | frames.ICMPV6:
            echo = 8 if proto == frames.ICMP else 128
            kind = echo if packet.icmp_type is None else packet.icmp_type
            return frames.icmp(kind, packet.icmp_code, packet.icmp_id, packet.icmp_seq, body)
        case frames.TCP:
            return frames.tcp(*ports, packet.tcp_flags, body)
        case frames.UDP:
            return frames.udp(*ports, body)
        case frames.SCTP:
            return frames.sctp(*ports, body)
        case _:
            return body


def _payload(packet: Packet) -> bytes:
    text = packet.payload.encode()
    if packet.size is None:
        return text
    return (text * (packet.size // max(len(text), 1) + 1))[: packet.size].ljust(packet.size, b"\0")
