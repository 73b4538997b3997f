"""What happens to a packet in the virtual network: slow, obvious, written from behaviour.md.

The engine is held against this.  Nothing here was taken from the engine.

1. `judge` gives *every* outcome that is right: where the page leaves a choice (which of equal
   routes) each branch is an outcome of its own.
2. An outcome says where which bytes come out, not how they get there.
3. A MAC is learned before the packet is forwarded, so an answer finds its way back.
4. What the network itself sends passes no filter here; where it would meet one, an outcome is
   `is_filtered`, and a part of what it sends is right too. Errors are translated nevertheless.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Any

import filters
import frames
import oracle_nat
from connections import Key, Memory, Notes
from filters import Sight
from frames import ICMP, ICMPV6, NA, NO_MAC, NS, TCP, UDP, Address, Arp, Frame, Ip, is_group
from oracle_balance import Balancer
from oracle_nat import ImpossibleError, RefusedError, Translator
from world import Hop, World

from onehop.engine import model

MAX_DEVICES = 12
ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
NET_UNREACHABLE = {4: (3, 0), 6: (1, 0)}
PROHIBITED = {4: (3, 13), 6: (1, 1)}
HOST_UNREACHABLE = {4: (3, 1), 6: (1, 3)}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
BGP, BFD = 179, (3784, 3785)  # what an uplink's routing daemons listen to
ERRORS_V4 = (3, 4, 5, 11, 12)
QUOTED = {4: 576 - 28, 6: 1280 - 48}  # the offending packet's share (RFC 1812, RFC 4443)
ALL_NODES = IPv6Address("ff02::1")

Copy = tuple[str, bytes]  # an exterior port and what leaves there


@dataclass
class Outcome:
    kind: str = "drop"  # drop, forward, consumed, await, loop
    copies: set[Copy] = field(default_factory=set)
    crafted: set[Copy] = field(default_factory=set)
    learned: set[tuple[str, int, str, str]] = field(default_factory=set)  # bridge vlan mac port
    neighbors: set[tuple[str, Address, str]] = field(default_factory=set)  # router port, ...
    awaited: tuple[str, Address] | None = None
    is_hazy: bool = False  # a crafted packet met trouble of its own: only `kind` is certain
    is_filtered: bool = False  # a crafted packet met filters: some of `crafted` may be missing
    opened: set[Key] = field(default_factory=set)  # connections, if it is forwarded
    made: Notes = field(default_factory=Notes)  # translations, if it is forwarded


class Choices:
    """Answers the walk's open questions by a script, and remembers how many answers there were."""

    def __init__(self, script: Sequence[int]) -> None:
        self.script, self.widths = tuple(script), list[int]()

    def choose(self, options: Sequence[Any]) -> Any:
        at = len(self.widths)
        self.widths.append(len(options))
        return options[self.script[at] if at < len(self.script) else 0]

    def siblings(self) -> Iterator[tuple[int, ...]]:
        """The scripts that differ from this one in the answers that it left open."""
        for at in range(len(self.script), len(self.widths)):
            stem = (*self.script, *[0] * (at - len(self.script)))
            yield from ((*stem, answer) for answer in range(1, self.widths[at]))


def judge(
    world: World, in_port: str, packet: bytes, memory: Memory | None = None
) -> list[Outcome]:
    """Every right outcome for `packet` at `in_port`; empty where the oracle has no opinion."""
    frame = frames.decode(packet)
    if frame is None:
        return []
    found, scripts = [], [()]
    while scripts:
        choices = Choices(scripts.pop())
        found.append(Walk(world, choices, memory or Memory()).run(in_port, frame))
        scripts += choices.siblings()
    return found


class Walk:
    """One packet's way; `sink` collects what comes out at exterior ports."""

    def __init__(self, world: World, choices: Choices, memory: Memory) -> None:
        self.world, self.choices, self.memory = world, choices, memory
        self.out = Outcome()
        self.sink = self.out.copies
        self.depth = 0  # of crafted packets
        self.is_flood = False
        self.fresh: dict[tuple[str, int, str], model.Port] = {}
        self.in_port = ""  # where it entered the device that it is at
        self.passed: tuple[str, ...] = ()  # devices
        self.came: Frame | None = None  # as it entered that device
        self.nat = Translator(world, memory.notes, self.out.made, choices.choose)
        self.balancer = Balancer(self.nat)

    def run(self, in_port: str, frame: Frame) -> Outcome:
        port = self.world.port(in_port)
        if port is not None:
            self.nat.host = port.host
            self.enter(port, frame, 0)
        if self.out.kind == "drop":
            self.out.kind = "consumed" if self.out.crafted else "drop"
        if self.out.copies and self.out.kind in ("drop", "consumed"):
            self.out.kind = "forward"
        return self.out

    # Ports

    def enter(self, port: model.Port, frame: Frame, passed: int) -> None:
        if not self.world.is_active(port):
            return
        if passed >= MAX_DEVICES:
            self._end("loop")
            return
        outer = self.in_port, self.passed, self.came, self.nat.diverted
        self.in_port, self.came, self.nat.diverted = port.name, frame, ""
        if entered := self._entered(port, frame):
            self.passed = (*self.passed, port.device)
            walk = self.at_bridge if self.world.bridge(port) else self.at_router
            walk(port, entered, passed + 1)
        self.in_port, self.passed, self.came, self.nat.diverted = outer

    def leave(self, port: model.Port, frame: Frame, passed: int) -> None:
        if not self.world.is_active(port):
            return
        left = self._left(port, frame)
        if left is None:
            return
        frame = left
        if self.world.is_exterior(port):
            self.sink.add((port.name, frame.encode()))
        elif peer := self.world.peer(port):
            self.enter(peer, frame, passed)

    def craft(self, port: model.Port, frame: Frame) -> None:
        """Send a packet of our own making out of `port`."""
        outer, self.sink = self.sink, self.out.crafted
        self.depth += 1
        was_crafted, self.nat.is_crafted = self.nat.is_crafted, True
        self.leave(port, frame, 0)
        self.depth -= 1
        self.nat.is_crafted = was_crafted
        self.sink = outer
        self._end("consumed")

    def _end(self, kind: str) -> None:
        if self.depth:
            self.out.is_hazy |= kind in ("await", "loop")
        elif self.out.kind != "await":
            self.out.kind = kind

    # Filters

    def _entered(self, port: model.Port, frame: Frame) -> Frame | None:
        """The packet behind the port's filters; None: they refuse it."""
        guarded = filters.is_guarded(self.world, port)
        if self.depth == 0 and guarded and filters.is_spoofed(port, frame):
            return None
        if not self._pass_groups(port, "egress", frame):
            return None
        return self._pass(port.inbound_filter, port.device, port.name, frame)

    def _left(self, port: model.Port, frame: Frame) -> Frame | None:
        found = self._pass(port.outbound_filter, port.device, port.name, frame, port.name)
        return found if found and self._pass_groups(port, "ingress", found) else None

    def _pass_groups(self, port: model.Port, way: str, frame: Frame) -> bool:
        if not self.world.is_exterior(port) or not port.security_groups:
            return True
        if self.depth:
            self.out.is_filtered = True
            return True
        sight = self._sight(port.device, port.name, frame, None)
        return filters.groups(self.world, port, way, sight) == "accept"

    def _pass(
        self, chain: str | None, device: str, zone: str, frame: Frame, out: str | None = None
    ) -> Frame | None:
        """The packet behind a filter; None: it is refused, with an answer where need be."""
        if filters.translates(self.world, chain) and not self.is_flood:
            ways = (("dnat", True), ("snat", False)) if out else (("snat", True), ("dnat", False))
            if found := self.nat.error(device, ways, frame):
                return found
        if self.depth:
            self._pass_crafted(chain, frame)
            return frame
        sight = self._sight(device, zone, frame, out)
        try:
            found = filters.run(self.world, chain, sight)
        except RefusedError:
            found = "refuse"
        except ImpossibleError:
            found = "drop"
        if found == "refuse" or found == "reject" and not self.is_flood:
            self._refuse(self.world.port(self.in_port), self.came)
        return sight.frame if found == "accept" else None

    def _pass_crafted(self, chain: str | None, frame: Frame) -> None:
        """Which rules an answer meets is not looked at; where they translate, all is open."""
        self.out.is_filtered |= chain is not None
        is_error = isinstance(frame.body, Ip) and oracle_nat.is_error(frame.body)
        self.out.is_hazy |= filters.translates(self.world, chain) and not is_error

    def _sight(self, device: str, zone: str, frame: Frame, out_port: str | None) -> Sight:
        def direction(now: Frame) -> str | None:
            return self.memory.direction(zone, now, self.out.opened)

        def translate(rule: model.Rule, now: Frame) -> Frame | None:
            return None if self.is_flood else self.nat.obey(rule, device, now, out_port)

        return Sight(frame, self.in_port, out_port, self.passed, direction, translate)

    def _refuse(self, port: model.Port, frame: Frame) -> None:
        ip = frame.body
        if not isinstance(ip, Ip) or is_group(frame.dst):
            return
        if ip.proto == TCP and not ip.is_fragment:
            answer = frames.reset(ip)
        elif self.world.router(port):
            self._complain(port, frame, PROHIBITED)
            return
        else:
            answer = self._complaint(ip.dst, ip, PROHIBITED)
        if answer is not None:
            self.craft(port, frames.ip_frame(frame.src, frame.dst, answer, frame.vlan))

    # Bridges

    def at_bridge(self, port: model.Port, frame: Frame, passed: int) -> None:
        if is_group(frame.src):
            return
        device = self.world.bridge(port)
        passed_on = self._pass(device.inbound_filter, device.name, device.name, frame)
        if passed_on is None:
            return
        frame = passed_on
        self._learn(port, frame)
        if answer := self._bridge_answer(port, frame):
            self.craft(port, answer)
            return
        target = None if is_group(frame.dst) else self._lookup(port.device, frame)
        if target is None:
            self._flood(port, frame, passed)
        elif target.name != port.name:
            self._out_of_bridge(target, frame, passed)

    def _flood(self, port: model.Port, frame: Frame, passed: int) -> None:
        outer, self.is_flood = self.is_flood, True
        for other in self.world.ports(port.device):
            if other.name != port.name:
                self._out_of_bridge(other, frame, passed)
        self.is_flood = outer

    def _out_of_bridge(self, port: model.Port, frame: Frame, passed: int) -> None:
        device = self.world.bridge(port)
        left = self._pass(device.outbound_filter, device.name, device.name, frame, port.name)
        if left is not None:
            self.leave(port, left, passed)

    def _learn(self, port: model.Port, frame: Frame) -> None:
        bridge, vlan, mac = port.device, frame.vlan_id, frame.src
        segment = self.world.segment(bridge)
        is_stated = any(mac in self.world.stated_macs(name) for name in segment)
        if not self.world.is_exterior(port) or is_stated:
            return
        self.fresh[bridge, vlan, mac] = port
        if self.world.mac_here(bridge, vlan, mac) != port:
            self.out.learned.add((bridge, vlan, mac, port.name))

    def _lookup(self, bridge: str, frame: Frame) -> model.Port | None:
        fresh = self.fresh.get((bridge, frame.vlan_id, frame.dst))
        return fresh or self.world.mac_port(bridge, frame.vlan_id, frame.dst)

    def _bridge_answer(self, port: model.Port, frame: Frame) -> Frame | None:
        """The answer to an ARP request or neighbor solicitation for an address known here."""
        asked = _asked(frame)
        if asked is None or frame.vlan is not None:
            return None
        mac = self.world.known_addresses(port.device).get(asked)
        if mac is None or mac == frame.src:
            return None
        return _answer(frame, asked, mac)

    # Routers

    def at_router(self, port: model.Port, frame: Frame, passed: int) -> None:
        mine = self.world.mac(port)
        if (frame.dst != mine and not is_group(frame.dst)) or frame.vlan is not None:
            return
        if isinstance(frame.body, Arp):
            self._arp(port, frame, frame.body)
        elif isinstance(frame.body, Ip) and self._is_for_router(port, frame, frame.body):
            self._nd(port, frame, frame.body)
        elif isinstance(frame.body, Ip) and not is_group(frame.dst):
            self._ip(port, frame, frame.body, passed)

    def _is_for_router(self, port: model.Port, frame: Frame, ip: Ip) -> bool:
        """Whether it is neighbor discovery that the router listens to, not traffic through it."""
        own = self.world.own_addresses(port.device)
        return _is_nd(ip) and (is_group(frame.dst) or ip.dst in own or _is_unroutable(ip))

    def _arp(self, port: model.Port, frame: Frame, arp: Arp) -> None:
        if not self.world.on_link(port, arp.spa):
            return
        self._meet(port, arp.spa, arp.sha)
        if arp.op == 1 and arp.tpa in self._answered(port):
            self.craft(port, _answer(frame, arp.tpa, self.world.mac(port)))

    def _nd(self, port: model.Port, frame: Frame, ip: Ip) -> None:
        target = IPv6Address(ip.payload[8:24])
        if ip.payload[0] == NA:
            self._meet(port, target, _lladdr(ip, 2))
            return
        if not ip.src.is_unspecified:
            self._meet(port, ip.src, _lladdr(ip, 1))
        if target in self._answered(port):
            self.craft(port, _answer(frame, target, self.world.mac(port)))

    def _own(self, port: model.Port) -> set[Address]:
        return set(self.world._own(port, ""))

    def _answered(self, port: model.Port) -> set[Address]:
        """Its own addresses, and what the router translates of the port's subnets."""
        return set(self.world._answered(port))

    def _meet(self, port: model.Port, address: Address, mac: str | None) -> None:
        if mac is None or is_group(mac) or mac == NO_MAC or address in self._own(port):
            return
        is_stated = address in self.world.stated_neighbors(port)
        is_news = not is_stated and self.world.neighbor(port, address) != mac
        if is_news and self.world.on_link(port, address):
            self.out.neighbors.add((port.name, address, mac))

    def _ip(self, port: model.Port, frame: Frame, ip: Ip, passed: int) -> None:
        found = self._arrived(port, frame)
        if found is None:
            return
        frame, is_hit = found
        device, own = self.world.router(port), self.world.own_addresses(port.device)
        if frame.body.dst in own and (back := self.nat.come_back(port.device, frame)):
            frame, self.nat.diverted = back, "back"
        if frame.body.dst in own and self._is_before_filters(device, frame):
            self._deliver(port, self.came)
            return
        if not is_hit:
            behind = self._pass(device.inbound_filter, device.name, device.name, frame)
            if behind is None:
                return
            frame = behind
        self._route(port, frame, passed)

    def _arrived(self, port: model.Port, frame: Frame) -> tuple[Frame, bool] | None:
        """Behind floating IPs and VIPs, and whether it is for a VIP; None: it is refused."""
        if moved := self.nat.arrive(port.device, frame):
            frame, self.nat.diverted = moved, "there"
        try:
            balanced = self.balancer.arrive(port.device, frame)
        except RefusedError:
            self._turn_away(port, self.came, self.came.body)
            return None
        if balanced is None:
            return frame, False
        self.nat.diverted = "there"
        return balanced, True

    def _is_before_filters(self, device: model.Router, frame: Frame) -> bool:
        """A router is spoken to before its filters, unless they may translate to somebody else."""
        ip = frame.body
        if not filters.translates(self.world, device.inbound_filter):
            return True
        is_echo = ip.proto in (ICMP, ICMPV6) and not ip.is_fragment
        return _is_nd(ip) or (is_echo and ip.payload[0] == ECHO[ip.version][0])

    def _route(self, port: model.Port, frame: Frame, passed: int) -> None:
        router, ip = port.device, frame.body
        assert isinstance(ip, Ip)
        if ip.dst in self.world.own_addresses(router):
            self._deliver(port, self.came)
            return
        if _is_unroutable(ip) or self.world.is_subnet_broadcast(router, ip.dst):
            return
        best = self.world.routes(router, ip.src, ip.dst)
        if not best:
            self._complain(port, self.came, NET_UNREACHABLE)
            return
        self._follow(self.choices.choose(best), port, frame, passed)

    def _follow(self, hop: Hop, port: model.Port, frame: Frame, passed: int) -> None:
        ip = frame.body
        assert isinstance(ip, Ip)
        if hop.type == "reject":
            self._complain(port, self.came, PROHIBITED)
        elif hop.type == "local":
            self._deliver(port, self.came)
        elif hop.type == "normal" and ip.ttl <= 1:
            self._complain(port, self.came, TIME_EXCEEDED)
        elif hop.type == "normal":
            self._forward(hop, port, frame, passed)

    def _too_long(self, out: model.Port, port: model.Port, frame: Frame) -> bool:
        """Whether `frame` does not fit through `out`, which its sender is told."""
        ip, mtu = frame.body, self.world.mtu(out)
        assert isinstance(ip, Ip)
        if mtu is None or len(ip.encode()) <= mtu:
            return False
        if ip.version == 6 or ip.dont_fragment:
            self._complain(port, self.came, TOO_BIG, struct.pack("!I", mtu))
        return True

    def _forward(self, hop: Hop, port: model.Port, frame: Frame, passed: int) -> None:
        assert isinstance(frame.body, Ip)
        out = self.world.port(hop.port)
        departed = self._departed(out, frame)
        if departed is None:
            return
        frame, next_hop = departed, hop.gateway or departed.body.dst
        if self._too_long(out, port, frame):
            return
        mac = self.world.neighbor(out, next_hop)
        if mac is None:
            self._ask(out, next_hop)
            return
        ip = replace(frame.body, ttl=frame.body.ttl - 1)
        self.leave(out, replace(frame, src=self.world.mac(out), dst=mac, body=ip), passed)

    def _departed(self, out: model.Port, frame: Frame) -> Frame | None:
        """Behind the load balancer, the outbound filter and floating IPs; None: it is refused."""
        device = self.world.router(out)
        if answer := self.balancer.depart(device.name, frame):
            frame, self.nat.diverted = answer, "answered"
        behind = self._pass(device.outbound_filter, device.name, device.name, frame, out.name)
        if behind is None:
            return None
        try:
            return self.nat.depart(device.name, out, behind)
        except RefusedError:
            self._refuse(self.world.port(self.in_port), self.came)
        except ImpossibleError:
            pass
        return None

    def _ask(self, out: model.Port, wanted: Address) -> None:
        if self.depth == 0:
            self.out.awaited = (out.name, wanted)
        self._end("await")
        own = self.world.source_address(out, wanted)
        if own is not None and self.depth == 0:
            self.craft(out, frames.solicit(self.world.mac(out), own, wanted))

    def _deliver(self, port: model.Port, frame: Frame) -> None:
        ip = frame.body
        assert isinstance(ip, Ip)
        if ip.proto in (TCP, UDP):
            self._turn_away(port, frame, ip)
            return
        request, reply = ECHO[ip.version]
        is_echo = ip.proto in (ICMP, ICMPV6) and len(ip.payload) >= 8 and not ip.is_fragment
        if not is_echo or ip.payload[0] != request or not _is_host(ip.src):
            return
        answer = frames.icmp(_plain(ip.dst, ip.src), reply, 0, ip.payload[4:])
        self.craft(port, frames.ip_frame(frame.src, self.world.mac(port), answer))

    def _turn_away(self, port: model.Port, frame: Frame, ip: Ip) -> None:
        """Nobody listens at a router's ports, unless it speaks BGP or BFD."""
        if not may_complain(ip) or len(ip.payload) < 8:
            return
        src, dst = struct.unpack_from("!HH", ip.payload)
        if ip.proto == UDP and dst not in BFD:
            quoted = ip.encode()[: QUOTED[ip.version]]
            error = _plain(ip.dst, ip.src), *PORT_UNREACHABLE[ip.version], b"\0\0\0\0" + quoted
            answer = frames.icmp(*error)
        elif ip.proto == TCP and BGP not in (src, dst) and frames.may_reset(ip):
            answer = frames.tcp_reset(ip)
        else:
            return
        self.craft(port, frames.ip_frame(frame.src, self.world.mac(port), answer))

    def _complain(
        self,
        port: model.Port,
        frame: Frame,
        what: dict[int, tuple[int, int]],
        detail: bytes = b"\0\0\0\0",
    ) -> None:
        ip = frame.body
        assert isinstance(ip, Ip)
        own = self.world.source_address(port, ip.src)
        if own is not None and (error := self._complaint(own, ip, what, detail)):
            mac = self.world.mac(port)
            self.craft(port, frames.ip_frame(frame.src, mac, error, frame.vlan))

    def _complaint(
        self,
        own: Address,
        ip: Ip,
        what: dict[int, tuple[int, int]],
        detail: bytes = b"\0\0\0\0",
    ) -> Ip | None:
        if not may_complain(ip):
            return None
        quoted = ip.encode()[: QUOTED[ip.version]]
        return frames.icmp(_plain(own, ip.src), *what[ip.version], detail + quoted)


def may_complain(ip: Ip) -> bool:
    """Whether an ICMP error may be sent about `ip` (RFC 1812, 4.3.2.7; RFC 4443, 2.4)."""
    if ip.is_later_fragment or not _is_host(ip.src):
        return False
    if ip.dst.is_multicast or str(ip.dst) == "255.255.255.255":
        return False
    if ip.proto == ICMP and ip.version == 4:
        return bool(ip.payload) and ip.payload[0] not in ERRORS_V4
    if ip.proto == ICMPV6 and ip.version == 6:
        return bool(ip.payload) and ip.payload[0] >= 128
    return True


def _answer(frame: Frame, asked: Address, mac: str) -> Frame:
    """The ARP reply or neighbor advertisement that says `asked` is at `mac`."""
    if isinstance(frame.body, Arp):
        arp = frame.body
        return frames.arp_frame(arp.sha, mac, Arp(2, mac, asked, arp.sha, arp.spa))
    to = ALL_NODES if frame.body.src.is_unspecified else frame.body.src
    option = b"\x02\x01" + frames.mac_bytes(mac)
    flags = bytes(4)  # the caller compares them away: they differ between hosts and routers
    ip = frames.icmp(_plain(asked, to, ttl=255), NA, 0, flags + asked.packed + option)
    return frames.ip_frame(frame.src, mac, ip)


def _asked(frame: Frame) -> Address | None:
    """The address that `frame` asks the MAC of.  Unicast neighbor discovery asks nobody else."""
    if isinstance(frame.body, Arp):
        is_question = frame.body.op == 1 and frame.body.spa != frame.body.tpa
        return frame.body.tpa if is_question else None
    is_nd = isinstance(frame.body, Ip) and _is_nd(frame.body) and is_group(frame.dst)
    if is_nd and frame.body.payload[0] == NS:
        return IPv6Address(frame.body.payload[8:24])
    return None


def _is_nd(ip: Ip) -> bool:
    """Whether `ip` is a neighbor solicitation or advertisement that is valid (RFC 4861, 7.1)."""
    if ip.version != 6 or ip.proto != ICMPV6 or ip.is_fragment or len(ip.payload) < 24:
        return False
    return ip.payload[0] in (NS, NA) and ip.payload[1] == 0 and ip.ttl == 255


def _lladdr(ip: Ip, option: int) -> str | None:
    at = 24
    while at + 8 <= len(ip.payload) and ip.payload[at + 1]:
        if ip.payload[at] == option:
            return frames.mac_text(ip.payload[at + 2 : at + 8])
        at += ip.payload[at + 1] * 8
    return None


def _plain(src: Address, dst: Address, *, ttl: int = 64) -> Ip:
    return Ip(src, dst, 0, ttl=ttl)


def _is_host(address: Address) -> bool:
    """Whether `address` can be somebody's, so that one may answer there."""
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return False
    return address.version == 6 or not address.is_reserved


def _is_unroutable(ip: Ip) -> bool:
    if ip.version == 6 and (ip.src.is_link_local or ip.dst.is_link_local):
        return True
    return not _is_host(ip.dst)
