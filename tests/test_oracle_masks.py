"""A verdict covers all packets that its mask says it covers: no bit that mattered is unmasked.

`covers` is what a switch does with the flow; packets that a flow covers are found in two ways:
by changing bits that the mask leaves open, and by drawing others at random.
"""

from dataclasses import replace
from ipaddress import ip_address

import frames
import traffic
from frames import Frame, Ip
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Scene, scenes
from test_oracle_walk import compiled, thorough

from onehop.engine import packet as parser
from onehop.engine.explain import Verdict

Match = dict[str, tuple[int, int]]
BITS = {"eth_src": 48, "eth_dst": 48, "ip_tos": 8, "ip_ttl": 8}


def number(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if value.count(":") == 5 and len(value) == 17:
        return int(value.replace(":", ""), 16)
    return int(ip_address(value))


def covers(match: Match, packet: bytes, limits: tuple[int, ...]) -> bool:
    """Whether a flow with this match takes `packet`, as a switch would decide it."""
    key = {name: number(value) for name, value in parser.parse_key(packet).items()}
    key.setdefault("vlan_tci", 0)
    key["len_class"] = sum((len(packet) > limit + 14) << i for i, limit in enumerate(limits))
    return all(key.get(f) is not None and key[f] & m == v & m for f, (v, m) in match.items())


def without_port(verdict: Verdict) -> Match:
    return {name: bits for name, bits in verdict.match.items() if name != "in_port"}


def is_punted(verdict: Verdict, packet: bytes) -> bool:
    """Whether the switch would send the packet up, its TTL too low for the flow's actions."""
    hops = sum(action.action == "dec_ttl" for action in verdict.actions)
    return hops > 0 and int(parser.parse_key(packet)["ip_ttl"]) <= hops


def is_malformed(packet: bytes) -> bool:
    """Neighbor discovery whose hop limit was changed: dropped by whoever looks, never learned."""
    try:
        parser.parse_key(packet)
    except ValueError:
        return True
    return False


@st.composite
def variants(draw: st.DrawFn, packet: bytes, match: Match) -> bytes:
    """`packet` with some of the bits changed that `match` leaves open."""
    frame = frames.decode(packet)
    assert frame is not None

    def vary(name: str, value: int, bits: int) -> int:
        mask = match.get(name, (0, 0))[1]
        return value ^ draw(st.integers(0, (1 << bits) - 1)) & ~mask

    frame = _vary_macs(frame, vary)
    if isinstance(frame.body, Ip):
        frame = replace(frame, body=_vary_ip(frame.body, vary))
    return frame.encode()


def _vary_macs(frame: Frame, vary) -> Frame:  # type: ignore[no-untyped-def]
    macs = {}
    for end in ("src", "dst"):
        value = vary(f"eth_{end}", int(getattr(frame, end).replace(":", ""), 16), 48)
        macs[end] = value.to_bytes(6, "big").hex(":")
    return replace(frame, **macs)


def _vary_ip(ip: Ip, vary) -> Ip:  # type: ignore[no-untyped-def]
    bits = 32 if ip.version == 4 else 128
    kind = type(ip.src)
    ip = replace(
        ip,
        src=kind(vary(f"ipv{ip.version}_src", int(ip.src), bits)),
        dst=kind(vary(f"ipv{ip.version}_dst", int(ip.dst), bits)),
        tos=vary("ip_tos", ip.tos, 8),
        ttl=vary("ip_ttl", ip.ttl, 8),
    )
    names = {frames.TCP: "tcp", frames.UDP: "udp", frames.SCTP: "sctp"}
    if ip.proto in names and not ip.is_later_fragment:
        head = int.from_bytes(ip.payload[:4], "big")
        src = vary(f"{names[ip.proto]}_src", head >> 16, 16)
        dst = vary(f"{names[ip.proto]}_dst", head & 0xFFFF, 16)
        ip = replace(ip, payload=(src << 16 | dst).to_bytes(4, "big") + ip.payload[4:])
    if ip.proto == frames.TCP and not ip.is_later_fragment and len(ip.payload) >= 14:
        flags = vary("tcp_flags", ip.payload[13], 8)
        ip = replace(ip, payload=ip.payload[:13] + bytes([flags]) + ip.payload[14:])
    return ip


def fate(verdict: Verdict) -> tuple[object, ...]:
    return verdict.kind, verdict.actions


@thorough
@given(scenes(), st.data())
def test_packets_that_differ_in_unmasked_bits_fare_the_same(
    scene: Scene, choose: st.DataObject
) -> None:
    simulator = compiled(scene.resources)
    for _ in range(3):
        in_port, packet = choose.draw(traffic.packets(scene))
        verdict = simulator.simulate(packet, in_port)
        simulator.apply(verdict)
        if not verdict.cacheable:
            continue
        limits = simulator.topology.limits
        assert covers(without_port(verdict), packet, limits)
        other = choose.draw(variants(packet, without_port(verdict)))
        if is_malformed(other):
            continue
        again = simulator.simulate(other, in_port)
        assert is_punted(verdict, other) or fate(again) == fate(verdict), other.hex()
        assert not again.learned


@thorough
@given(scenes(), st.data())
def test_two_packets_that_one_flow_takes_fare_the_same(
    scene: Scene, choose: st.DataObject
) -> None:
    simulator = compiled(scene.resources)
    machine = choose.draw(st.sampled_from(scene.machines))
    alone = scene._replace(machines=(machine,))
    flows, limits = [], simulator.topology.limits
    for _ in range(6):
        in_port, packet = choose.draw(traffic.packets(alone))
        verdict = simulator.simulate(packet, in_port)
        for flow in flows:
            if covers(without_port(flow), packet, limits) and not is_punted(flow, packet):
                assert fate(verdict) == fate(flow), packet.hex()
        if verdict.cacheable and not verdict.learned:
            flows.append(verdict)
    assume(flows)
