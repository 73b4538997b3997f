"""Random filters over random topologies, and traffic that meets them, for hypothesis.

1. Rules name what the scene has, so that most of them are met by some packet.
2. Every topology passes `model.check`: a rule that it would refuse is replaced by a plain one.
3. `conversations` is mostly a few connections, their replies, and errors about them.
"""

from __future__ import annotations

from dataclasses import replace

import frames
import msgspec
import traffic
from frames import ICMP, ICMPV6, SCTP, TCP, UDP, Frame, Ip
from hypothesis import strategies as st
from strategies import Scene, rarely, scenes, seldom

from onehop.engine import model
from onehop.engine.model.rules.conditions import LOOKS, states

CHAINS = ("c0", "c1", "c2", "c3")
GROUPS = ("s0", "s1")
SPORTS, DPORTS = (1024, 40000), (53, 80, 443)

prefixes = st.sampled_from(
    ("10.0.0.0/24", "10.0.1.0/24", "10.0.0.10/31", "10.0.0.11/32", "10.0.0.0/8", "0.0.0.0/0",
     "192.0.2.0/24", "fd00::/64", "fd00:0:0:1::/64", "fd00::b/128", "fd00::/16", "::/0")
)  # fmt: skip
port_ranges = st.sampled_from(("53", "80", "1-100", "443-1023", "1024-65535", "80-443", 0))
macs = st.sampled_from(
    (("02:00:00:00:00:00", "ff:ff:00:00:00:00"), ("02:00:00:00:00:01", None),
     ("01:00:00:00:00:00", "01:00:00:00:00:00"), ("02:00:00:00:01:00", "ff:ff:ff:ff:ff:00"))
)  # fmt: skip


@st.composite
def walled(draw: st.DrawFn) -> Scene:
    """A scene with filters on some devices and ports, and security groups on some machines."""
    scene = draw(scenes())
    base = scene.topology
    ports = tuple(draw(_guarded(port, base)) for port in base.ports)
    topology = msgspec.structs.replace(
        base,
        ports=ports,
        bridges=tuple(draw(_filtered(bridge)) for bridge in base.bridges),
        routers=tuple(draw(_filtered(router)) for router in base.routers),
        chains=tuple(draw(_chain(n, base)) for n in range(len(CHAINS))),
        security_groups=tuple(draw(_security_group(name)) for name in GROUPS),
        address_groups=tuple(draw(_address_group(name)) for name in ("a0", "a1")),
        port_groups=tuple(draw(_port_group(name, base)) for name in ("p0", "p1")),
    )
    return scene._replace(topology=topology)


some_chain = st.sampled_from((None, None, None, *CHAINS))


@st.composite
def _filtered(draw: st.DrawFn, row: model.Resource) -> model.Resource:
    return msgspec.structs.replace(
        row, inbound_filter=draw(some_chain), outbound_filter=draw(some_chain)
    )


@st.composite
def _guarded(draw: st.DrawFn, port: model.Port, base: model.Topology) -> model.Port:
    is_machine = port.host is not None and port.device.startswith("b")
    port = draw(_filtered(port)) if draw(seldom) else port
    if not is_machine:
        return port
    guarded = bool(port.mac and port.addresses) and draw(seldom)
    pairs = (model.AddressPair(address="10.0.0.99/32"), model.AddressPair(address="fd00::/96"))
    groups = draw(st.sampled_from(((), (), ("s0",), ("s0", "s1"), ("s1",))))
    return msgspec.structs.replace(
        port,
        security_groups=groups,
        port_security=guarded,
        allowed_address_pairs=pairs if guarded and draw(st.booleans()) else (),
    )


@st.composite
def _chain(draw: st.DrawFn, n: int, base: model.Topology) -> model.Chain:
    rules = [draw(_rule(n, base)) for _ in range(draw(st.integers(0, 4)))]
    return model.Chain(name=CHAINS[n], rules=tuple(rules))


@st.composite
def _rule(draw: st.DrawFn, n: int, base: model.Topology) -> model.Rule:
    """A rule; it jumps only to later chains, so that no jumps loop."""
    action = draw(st.sampled_from(("accept", "drop", "drop", "reject", "return", "jump")))
    fields: dict[str, object] = {"action": action}
    if action == "jump":
        if n + 1 == len(CHAINS):
            fields["action"] = "accept"
        else:
            fields["jump"] = draw(st.sampled_from(CHAINS[n + 1 :]))
    for _ in range(draw(st.sampled_from((1, 2, 1, 3)))):
        fields |= draw(draw(st.sampled_from(MAKERS))(base))
    rule = model.Rule(**fields)
    stated = [name for name in model.CONDITIONS if states(rule, name)]
    inverted = tuple(name for name in stated if draw(seldom))
    rule = msgspec.structs.replace(rule, invert=inverted)
    faults = [fault for look in LOOKS for fault in look(rule)]
    return model.Rule(action="accept", protocol="udp") if faults else rule


def _one(field: str, values: st.SearchStrategy) -> st.SearchStrategy:
    return values.map(lambda value: {field: value})


def _names(base: model.Topology) -> st.SearchStrategy:
    names = [port.name for port in base.ports]
    return st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple)


def _device(base: model.Topology) -> st.SearchStrategy:
    return st.sampled_from([row.name for row in (*base.bridges, *base.routers)])


def _l4(base: model.Topology) -> st.SearchStrategy:
    return st.fixed_dictionaries(
        {"protocol": st.sampled_from(("tcp", "udp", "udp", "sctp"))},
        optional={"source_ports": port_ranges, "destination_ports": port_ranges},
    )


def _icmp(base: model.Topology) -> st.SearchStrategy:
    return st.fixed_dictionaries(
        {"protocol": st.sampled_from(("icmp", "icmpv6"))},
        optional={
            "icmp_type": st.sampled_from((8, 0, 3, 128, 129, 1)),
            "icmp_code": st.sampled_from((0, 1)),
        },
    )


def _mac(end: str) -> object:
    return lambda base: macs.map(lambda pair: {end: pair[0], f"{end}_mask": pair[1]})


MAKERS = (
    _l4,
    _l4,
    _icmp,
    _mac("source_mac"),
    _mac("destination_mac"),
    lambda base: _one("in_ports", _names(base)),
    lambda base: _one("out_ports", _names(base)),
    lambda base: _one("in_port_group", st.sampled_from(("p0", "p1"))),
    lambda base: _one("out_port_group", st.sampled_from(("p0", "p1"))),
    lambda base: _one("ether_type", st.sampled_from(("ipv4", "ipv6", "arp", 0x88B5))),
    lambda base: _one("source", prefixes),
    lambda base: _one("destination", prefixes),
    lambda base: _one("source_group", st.sampled_from(("a0", "a1"))),
    lambda base: _one("destination_group", st.sampled_from(("a0", "a1"))),
    lambda base: _one("protocol", st.sampled_from((47, "tcp", "udp"))),
    lambda base: _one("tos", st.sampled_from((0, 0xB8))),
    lambda base: _one("fragment", st.sampled_from(("first", "later", "unfragmented"))),
    lambda base: _one("vlan", st.sampled_from((0, 5))),
    lambda base: _one("traversed_device", _device(base)),
    lambda base: _one("forward_flow", st.just(True)),
    lambda base: _one("return_flow", st.just(True)),
    lambda base: _one("return_flow", st.just(True)),
)


@st.composite
def _security_group(draw: st.DrawFn, name: str) -> model.SecurityGroup:
    rules = [draw(_security_rule()) for _ in range(draw(st.integers(0, 3)))]
    return model.SecurityGroup(name=name, rules=tuple(rules))


@st.composite
def _security_rule(draw: st.DrawFn) -> model.SecurityRule:
    direction = draw(st.sampled_from(("ingress", "ingress", "egress")))
    what = draw(
        st.sampled_from(
            (
                {},
                {"protocol": "tcp", "ports": "80"},
                {"protocol": "udp", "ports": "1-100"},
                {"protocol": "icmp", "icmp_type": 8},
                {"protocol": "icmpv6"},
                {"ether_type": "ipv6"},
            )
        )
    )
    remote = draw(
        st.sampled_from(
            ({}, {"remote_group": "s0"}, {"remote_group": "s1"}, {"remote_prefix": "10.0.0.0/8"})
        )
    )
    is_v6 = what.get("protocol") == "icmpv6" or "ether_type" in what
    remote = {} if is_v6 and "remote_prefix" in remote else remote
    return model.SecurityRule(direction=direction, **what, **remote)


@st.composite
def _address_group(draw: st.DrawFn, name: str) -> model.AddressGroup:
    found = draw(st.lists(prefixes, max_size=4, unique=True))
    return model.AddressGroup(name=name, prefixes=tuple(found))


@st.composite
def _port_group(draw: st.DrawFn, name: str, base: model.Topology) -> model.PortGroup:
    return model.PortGroup(name=name, ports=draw(_names(base)), stateful=draw(st.booleans()))


# Traffic


@st.composite
def conversations(
    draw: st.DrawFn, scene: Scene, heard: list[tuple[str, bytes]]
) -> tuple[str, bytes]:
    """A packet: of those drawn from nothing, or an answer to one that came out somewhere."""
    answerable = [(port, data) for port, data in heard if _reply(data)]
    if answerable and draw(st.booleans()):
        port, data = draw(st.sampled_from(answerable))
        answer = _complaint(data) if draw(rarely) else None
        return port, answer or _reply(data)
    port, data = draw(traffic.packets(scene))
    return port, draw(_on_few_ports(data))


@st.composite
def _on_few_ports(draw: st.DrawFn, data: bytes) -> bytes:
    """The same packet between ports that others use too."""
    frame = frames.decode(data)
    ip = frame.body
    if not isinstance(ip, Ip) or ip.is_fragment or ip.proto not in (TCP, UDP, SCTP):
        return data
    sport, dport = draw(st.sampled_from(SPORTS)), draw(st.sampled_from(DPORTS))
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    ip = replace(ip, payload=head + ip.payload[4:])
    if ip.proto == TCP:
        flags = draw(st.sampled_from((0x02, 0x02, 0x10, 0x18, 0x11, 0x04)))
        ip = replace(ip, payload=ip.payload[:13] + bytes([flags]) + ip.payload[14:])
    return replace(frame, body=_summed(ip)).encode()


def _summed(ip: Ip) -> Ip:
    at = {TCP: 16, UDP: 6}.get(ip.proto)
    return ip if at is None else frames.with_checksum(ip, at)


def _reply(data: bytes) -> bytes | None:
    """What the one who got `data` would send back."""
    frame = frames.decode(data)
    ip = frame.body if frame is not None else None
    if not isinstance(ip, Ip) or ip.is_fragment or frames.is_group(frame.dst):
        return None
    back = replace(ip, src=ip.dst, dst=ip.src, ttl=64, options=b"", next_header=0)
    if ip.proto in (TCP, UDP, SCTP) and len(ip.payload) >= 8:
        swapped = ip.payload[2:4] + ip.payload[:2] + ip.payload[4:]
        if ip.proto == TCP and len(swapped) >= 14:
            swapped = swapped[:13] + b"\x12" + swapped[14:]
        return _back(frame, _summed(replace(back, payload=swapped)))
    if ip.proto in (ICMP, ICMPV6) and ip.payload[0] in (8, 128):
        kind = 0 if ip.version == 4 else 129
        return _back(frame, frames.icmp(back, kind, 0, ip.payload[4:]))
    return None


def _complaint(data: bytes) -> bytes | None:
    """The ICMP error "port unreachable" about `data`."""
    frame = frames.decode(data)
    ip = frame.body
    if not isinstance(ip, Ip) or ip.is_fragment or ip.options:
        return None
    kind, code = {4: (3, 3), 6: (1, 4)}[ip.version]
    error = frames.icmp(Ip(ip.dst, ip.src, 0), kind, code, bytes(4) + ip.encode()[:100])
    return _back(frame, error)


def _back(frame: Frame, ip: Ip) -> bytes:
    return replace(frame, src=frame.dst, dst=frame.src, body=ip, padding=b"").encode()
