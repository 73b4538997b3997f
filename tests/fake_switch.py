"""A switch in memory: takes OpenFlow 1.3 bytes, and tells where a packet comes out.

It reads what it is sent with Ryu's own parser, so it judges the agent's encoder independently.
Matches and actions as far as the agent uses them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, NamedTuple

import frames
from ryu.ofproto import ofproto_parser, ofproto_protocol, ofproto_v1_3
from ryu.ofproto import ofproto_v1_3_parser as parser13

NO_BUFFER = 0xFFFFFFFF
ONF, BUNDLE_CONTROL, BUNDLE_ADD = 0x4F4E4600, 2300, 2301
CONTROLLER, TABLE = ofproto_v1_3.OFPP_CONTROLLER, ofproto_v1_3.OFPP_TABLE
IN_PORT = ofproto_v1_3.OFPP_IN_PORT
TTL_REASON = ofproto_v1_3.OFPR_INVALID_TTL
COMPARE_LENGTH, REG0 = 49, 0x00010004  # NXAST_CHECK_PKT_LARGER; nicira-ext.h
FLOW_STATS_PARTS = 100  # flows in one part of an answer


class Out(NamedTuple):
    """A packet that left the switch."""

    port: int
    data: bytes
    tunnel_id: int = 0
    tunnel_dst: str = ""


class Flow:
    """An entry of the table."""

    def __init__(self, message: Any, raw: bytes) -> None:
        self.table = message.table_id
        self.cookie = message.cookie
        self.priority = message.priority
        self.match = dict(message.match.items())
        instructions = message.instructions
        self.actions = [a for i in instructions for a in getattr(i, "actions", ())]
        self.goto = next((i.table_id for i in instructions if hasattr(i, "table_id")), None)
        self.meter = next((i.meter_id for i in instructions if hasattr(i, "meter_id")), None)
        self.packets = 0
        length = struct.unpack_from("!H", raw, 50)[0]
        end = 48 + (length + 7) // 8 * 8
        self.raw_match, self.raw_instructions = raw[48:end], raw[end:]

    def stats(self) -> bytes:
        """This flow in an answer to a flow-stats request."""
        length = 48 + len(self.raw_match) + len(self.raw_instructions)
        head = struct.pack("!HBxIIHHHH4xQQQ", length, self.table, 1, 0, self.priority, 0, 0, 0,
                           self.cookie, self.packets, 0)  # fmt: skip
        return head + self.raw_match + self.raw_instructions


class FakeSwitch:
    """One bridge."""

    def __init__(self) -> None:
        self.flows: dict[tuple[int, int, Any], Flow] = {}
        self.to_agent = bytearray()  # what the switch says
        self.outs: list[Out] = []  # what left since `take`
        self.messages: list[str] = []  # names of the messages that came
        self.tells_of_ttl = False  # as a real one: only when asked
        self._bundles: dict[int, list[bytes]] = {}  # opened
        self._desc = ofproto_protocol.ProtocolDesc(ofproto_v1_3.OFP_VERSION)

    def write(self, data: bytes) -> None:
        """The agent has sent `data`: whole messages."""
        while data:
            version, kind, length, xid = ofproto_parser.header(data)
            assert version == ofproto_v1_3.OFP_VERSION
            assert 8 <= length <= len(data), "a message is cut off"
            self._message(data[:length], kind, xid)
            data = data[length:]

    def take(self) -> list[Out]:
        """What left since this was asked last."""
        outs, self.outs = self.outs, []
        return outs

    def heard(self) -> bytes:
        """What the switch has to say to the agent."""
        said, self.to_agent = bytes(self.to_agent), bytearray()
        return said

    def receive(self, in_port: int, data: bytes, *, tunnel_id: int = 0) -> list[Out]:
        """A packet comes in by `in_port`; what leaves at once."""
        fields = read(data) | {"in_port": in_port}
        if tunnel_id:
            fields["tunnel_id"] = tunnel_id
        table: int | None = 0
        while table is not None:
            flow = self._lookup(table, fields)
            if flow is None:
                break
            flow.packets += 1
            reason = 0 if flow.priority == 0 else 1  # a table miss, or an action
            actions = [a for a in flow.actions if not _measure(a, fields, len(data))]
            self._execute(actions, in_port, data, reason, flow.cookie)
            table = flow.goto
        return self.take()

    def _lookup(self, table: int, fields: dict[str, Any]) -> Flow | None:
        here = (flow for flow in self.flows.values() if flow.table == table)
        found = [flow for flow in here if matches(flow.match, fields)]
        return max(found, key=lambda flow: flow.priority, default=None)

    def _message(self, raw: bytes, kind: int, xid: int) -> None:
        match kind:
            case ofproto_v1_3.OFPT_FLOW_MOD:
                self.messages.append("flow_mod")
                parse = parser13.OFPFlowMod.parser
                self._flow_mod(parse(self._desc, raw[0], kind, len(raw), xid, raw), raw)
            case ofproto_v1_3.OFPT_PACKET_OUT:
                self.messages.append("packet_out")
                self._packet_out(raw)
            case ofproto_v1_3.OFPT_MULTIPART_REQUEST:
                self.messages.append("flow_stats")
                self._flow_stats(raw, xid)
            case ofproto_v1_3.OFPT_EXPERIMENTER:
                self._bundle(raw)
            case ofproto_v1_3.OFPT_METER_MOD:
                self.messages.append("meter_mod")
            case ofproto_v1_3.OFPT_SET_ASYNC:
                self.messages.append("set_async")
                self.tells_of_ttl = bool(raw[11] & 1 << TTL_REASON)
            case _:
                raise AssertionError(f"unexpected message of type {kind}")

    def _bundle(self, raw: bytes) -> None:
        """The ONF's EXT-230: opened, filled with flow-mods, and committed."""
        experimenter, message, number, kind, flags = struct.unpack_from("!IIIHH", raw, 8)
        assert (experimenter, flags) == (ONF, 3)
        if message == BUNDLE_ADD:
            self._bundles[number].append(raw[24:])
            return
        assert message == BUNDLE_CONTROL
        if kind == 0:
            self._bundles[number] = []
        else:
            for added in self._bundles.pop(number):
                assert added[1] == ofproto_v1_3.OFPT_FLOW_MOD
                self.write(added)
        self.to_agent += raw[:20] + struct.pack("!HH", kind + 1, flags)

    def _packet_out(self, raw: bytes) -> None:
        buffer_id, in_port, length = struct.unpack_from("!IIH", raw, 8)
        assert buffer_id == NO_BUFFER
        actions, at = [], 24
        while at < 24 + length:
            actions.append(parser13.OFPAction.parser(raw, at))
            at += struct.unpack_from("!H", raw, at + 2)[0]
        assert at == 24 + length
        self._execute(actions, in_port, raw[at:], 1, 0)

    def _flow_mod(self, message: Any, raw: bytes) -> None:
        assert message.idle_timeout == message.hard_timeout == 0
        key = (message.table_id, message.priority, frozenset(message.match.items()))
        match message.command:
            case ofproto_v1_3.OFPFC_ADD:
                self.flows[key] = Flow(message, raw)
            case ofproto_v1_3.OFPFC_MODIFY_STRICT if key in self.flows:
                before = self.flows[key]
                self.flows[key] = Flow(message, raw)
                self.flows[key].cookie, self.flows[key].packets = before.cookie, before.packets
            case ofproto_v1_3.OFPFC_DELETE_STRICT:
                self.flows.pop(key, None)
            case ofproto_v1_3.OFPFC_DELETE:
                cookie, mask = message.cookie, message.cookie_mask
                self.flows = {k: f for k, f in self.flows.items() if f.cookie & mask != cookie}

    def _flow_stats(self, raw: bytes, xid: int) -> None:
        kind, cookie, mask = struct.unpack_from("!H22xQQ", raw, 8)
        assert kind == ofproto_v1_3.OFPMP_FLOW
        chosen = [f.stats() for f in self.flows.values() if f.cookie & mask == cookie & mask]
        parts = [chosen[i : i + FLOW_STATS_PARTS] for i in range(0, len(chosen), FLOW_STATS_PARTS)]
        for i, part in enumerate(parts or [[]]):
            body = b"".join(part)
            more = int(i + 1 < len(parts))
            self.to_agent += struct.pack("!BBHIHH4x", 4, 19, 16 + len(body), xid, 1, more)
            self.to_agent += body

    def _execute(
        self, actions: Iterable[Any], in_port: int, data: bytes, reason: int, cookie: int
    ) -> None:
        tunnel: dict[str, Any] = {}
        metadata = 0
        for action in actions:
            match action:
                case parser13.OFPActionOutput(port=port) if port == CONTROLLER:
                    self._packet_in(in_port, data, reason, cookie, metadata)
                case parser13.OFPActionOutput(port=port) if port == TABLE:
                    self.outs += self.receive(in_port, data)
                case parser13.OFPActionOutput(port=port) if port == IN_PORT:
                    self.outs.append(Out(in_port, data))
                case parser13.OFPActionOutput(port=port):
                    assert port not in (0, in_port), f"output to {port} is dropped by a switch"
                    self.outs.append(Out(port, data, **tunnel))
                case parser13.OFPActionSetField(key="tunnel_id", value=value):
                    tunnel["tunnel_id"] = value
                case parser13.OFPActionSetField(key="tun_ipv4_dst" | "tun_ipv6_dst", value=value):
                    tunnel["tunnel_dst"] = value
                case parser13.OFPActionSetField(key="metadata", value=value):
                    metadata = value
                case parser13.OFPActionDecNwTtl():
                    if (ttl := _ttl(data)) <= 1:
                        if self.tells_of_ttl:
                            self._packet_in(in_port, data, TTL_REASON, cookie, metadata)
                        return
                    data = write(data, "ttl", ttl - 1)
                case parser13.OFPActionSetField(key=key, value=value):
                    data = write(data, key, value)
                case _:
                    raise AssertionError(f"unexpected {action}")

    def _packet_in(
        self, in_port: int, data: bytes, reason: int, cookie: int, metadata: int
    ) -> None:
        fields = struct.pack("!II", 0x80000004, in_port)
        if metadata:
            fields += struct.pack("!IQ", 0x80000408, metadata)
        match = struct.pack("!HH", 1, 4 + len(fields)) + fields
        match += bytes(-len(match) % 8)
        length = 24 + len(match) + 2 + len(data)
        self.to_agent += struct.pack("!BBHI", 4, 10, length, 0)
        self.to_agent += struct.pack("!IHBBQ", NO_BUFFER, len(data), reason, 0, cookie)
        self.to_agent += match + b"\0\0" + data


def matches(match: dict[str, Any], fields: dict[str, Any]) -> bool:
    """Whether a packet with `fields` is covered by `match`."""
    return all(key in fields and _covers(key, want, fields[key]) for key, want in match.items())


def _measure(action: Any, fields: dict[str, Any], frame_bytes: int) -> bool:
    """Do what `action` does to reg0; whether it was such an action."""
    if isinstance(action, parser13.OFPActionSetField) and action.key == "reg0":
        fields["reg0"] = action.value
        return True
    if not isinstance(action, parser13.NXActionUnknown) or action.subtype != COMPARE_LENGTH:
        return False
    limit, bit, register = struct.unpack_from("!HHI", action.data)
    assert register == REG0
    fields["reg0"] = fields["reg0"] & ~(1 << bit) | (frame_bytes > limit) << bit
    return True


def read(data: bytes) -> dict[str, Any]:
    """The match fields of a packet, as Open vSwitch extracts them."""
    frame = frames.decode(data)
    if frame is None:
        return {"eth_dst": frames.mac_text(data[:6]), "eth_src": frames.mac_text(data[6:12])}
    fields: dict[str, Any] = {"eth_dst": frame.dst, "eth_src": frame.src, "vlan_vid": 0}
    fields["eth_type"] = frame.eth_type
    if frame.vlan is not None:
        fields |= {"vlan_vid": 0x1000 | frame.vlan_id, "vlan_pcp": frame.vlan >> 13}
    if isinstance(frame.body, frames.Arp):
        arp = frame.body
        fields |= {"arp_op": arp.op, "arp_spa": str(arp.spa), "arp_tpa": str(arp.tpa)}
    elif isinstance(frame.body, frames.Ip):
        fields |= _ip_fields(frame.body)
    return fields


TRANSPORT = {frames.TCP: "tcp", frames.UDP: "udp", frames.SCTP: "sctp"}
FRAGMENT, LATER = 1, 2  # bits of ip_frag (meta-flow.h)


def _ip_fields(ip: frames.Ip) -> dict[str, Any]:
    family = f"ipv{ip.version}"
    fields: dict[str, Any] = {f"{family}_src": str(ip.src), f"{family}_dst": str(ip.dst)}
    fields |= {"ip_dscp": ip.tos >> 2, "ip_ecn": ip.tos & 3, "nw_ttl": ip.ttl}
    fields["ip_frag"] = ip.is_fragment * FRAGMENT | ip.is_later_fragment * LATER
    fields["ip_proto"] = ip.proto
    if ip.is_later_fragment:
        return fields | ({"ip_proto": frames.FRAGMENT} if ip.version == 6 else {})
    if ip.proto in TRANSPORT:
        for at, end in ((0, "src"), (2, "dst")):
            number = int.from_bytes(ip.payload[at : at + 2], "big")
            fields[f"{TRANSPORT[ip.proto]}_{end}"] = number
        if ip.proto == frames.TCP:
            fields["tcp_flags_nxm"] = int.from_bytes(ip.payload[12:14], "big") & 0xFFF
    elif ip.proto == (frames.ICMP if ip.version == 4 else frames.ICMPV6):
        name = "icmpv4" if ip.version == 4 else "icmpv6"
        fields |= {f"{name}_type": ip.payload[0], f"{name}_code": ip.payload[1]}
    return fields


ARP = {"arp_op": (20, 2), "arp_sha": (22, 6), "arp_spa": (28, 4), "arp_tha": (32, 6),
       "arp_tpa": (38, 4)}  # place and size in an untagged frame  # fmt: skip


def write(data: bytes, field: str, value: Any) -> bytes:
    """The packet with another `field`, checksums made anew."""
    match field:
        case "eth_dst":
            return frames.mac_bytes(value) + data[6:]
        case "eth_src":
            return data[:6] + frames.mac_bytes(value) + data[12:]
        case _ if field in ARP:
            at, size = ARP[field]
            return data[:at] + _bits(value).to_bytes(size, "big") + data[at + size :]
        case "ttl":
            frame = frames.decode(data)
            assert frame is not None
            return frame.with_ip(ttl=value).encode()
        case "ipv4_src" | "ipv4_dst" | "ipv6_src" | "ipv6_dst":
            end = field[-3:]
            return _resummed(data, lambda ip: {end: ip_address(value)})
        case _ if field[:4] in ("tcp_", "udp_") or field[:5] == "sctp_":
            at = 0 if field.endswith("_src") else 2
            word = int(value).to_bytes(2, "big")
            return _resummed(
                data, lambda ip: {"payload": ip.payload[:at] + word + ip.payload[at + 2 :]}
            )
    raise AssertionError(f"unexpected field {field}")


def _resummed(data: bytes, changes: Callable[[frames.Ip], dict[str, Any]]) -> bytes:
    """The packet with these fields of its IP packet, and its transport's checksum right again."""
    frame = frames.decode(data)
    assert frame is not None
    assert isinstance(frame.body, frames.Ip)
    changed = frame.with_ip(**changes(frame.body))
    assert isinstance(changed.body, frames.Ip)
    at = {frames.TCP: 16, frames.UDP: 6, frames.ICMPV6: 2}.get(changed.body.proto)
    if at is None:
        return changed.encode()
    return replace(changed, body=frames.with_checksum(changed.body, at)).encode()


def _ttl(data: bytes) -> int:
    return int(read(data)["nw_ttl"])


def _covers(key: str, want: Any, have: Any) -> bool:
    if not isinstance(want, tuple):
        return want == have
    value, mask = (_bits(part) for part in want)
    return value & mask == _bits(have) & mask


def _bits(value: Any) -> int:
    if isinstance(value, int):
        return value
    if value.count(":") == 5 and len(value) == 17:
        return int.from_bytes(frames.mac_bytes(value), "big")
    return int(ip_address(value))
