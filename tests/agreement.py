"""Whether a verdict of the engine is one of the oracle's right outcomes, and if not, why not.

1. What leaves is worked out from the verdict's actions here, not taken from its `outputs`; the
   two must agree.
2. Crafted packets are compared by what a receiver reads; what their senders may choose (the
   IPv4 identification, TOS, the flags of an advertisement) is compared away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import frames
from connections import key_of
from frames import ICMP, ICMPV6, NA, SCTP, Frame, Ip
from oracle import Copy, Outcome
from oracle_nat import moved, quoted, with_ends
from world import World

from onehop.engine.effects import MacLearned
from onehop.engine.explain import Action, Verdict


def disagreement(world: World, packet: bytes, verdict: Verdict, right: list[Outcome]) -> str:
    """Why `verdict` is none of the outcomes in `right`; "" where it is one."""
    reasons = [_mismatch(world, packet, verdict, outcome) for outcome in right]
    return "" if not reasons or "" in reasons else "\n or ".join(reasons)


def _mismatch(world: World, packet: bytes, verdict: Verdict, right: Outcome) -> str:
    if right.is_hazy:
        return ""
    if right.is_filtered:
        right = _thinned(world, verdict, right)
    found = {
        "kind": (_kind(verdict.kind, verdict), _kind(right.kind, right)),
        "copies": (_unsummed(_written(world, packet, verdict)), _unsummed(right.copies)),
        "outputs": (
            _unsummed({(o.port, o.packet) for o in verdict.outputs}),
            _unsummed(right.copies),
        ),
        "crafted": (_crafted(world, verdict), {(p, essence(d)) for p, d in right.crafted}),
        "learned": (_learned(verdict), right.learned),
        "awaited": (_awaited(verdict), right.awaited),
    }
    wrong = [f"{name}: engine {a}, oracle {b}" for name, (a, b) in found.items() if a != b]
    strange = neighbors_of(verdict) - right.neighbors
    if strange or (right.neighbors and not neighbors_of(verdict)):
        wrong.append(f"neighbors: engine {neighbors_of(verdict)}, oracle {right.neighbors}")
    return "; ".join(wrong)


def _thinned(world: World, verdict: Verdict, right: Outcome) -> Outcome:
    """`right` without the crafted packets that the engine let filters drop."""
    sent = _crafted(world, verdict)
    return replace(right, crafted={(p, d) for p, d in right.crafted if (p, essence(d)) in sent})


def _kind(kind: str, found: Verdict | Outcome) -> str:
    """Where nothing comes out, whether it was dropped or consumed is the same."""
    sent = found.outputs or found.emitted if isinstance(found, Verdict) else found.copies
    crafted = isinstance(found, Outcome) and found.crafted
    quiet = kind in ("drop", "consumed", "forward") and not sent and not crafted
    return "nothing" if quiet else kind


def _unsummed(copies: Iterable[Copy]) -> set[Copy]:
    """Without SCTP's checksums: over all the packet, they are tested by themselves."""
    return {(port, _blank(frames.decode(data)).encode()) for port, data in copies}


def _blank(frame: Frame) -> Frame:
    ip = frame.body
    if not isinstance(ip, Ip) or ip.is_later_fragment:
        return frame
    if ip.proto == SCTP and len(ip.payload) >= 12:
        return frame.with_ip(payload=ip.payload[:8] + bytes(4) + ip.payload[12:])
    inner = quoted(ip)
    if inner is None or inner.proto != SCTP or len(inner.payload) < 12:
        return frame
    at = len(ip.payload) - len(inner.payload) + 8
    return frame.with_ip(payload=ip.payload[:at] + bytes(4) + ip.payload[at + 4 :])


def _written(world: World, packet: bytes, verdict: Verdict) -> set[Copy]:
    """What comes out by the actions; of ICMP, what none can write is in the bytes sent."""
    frame = frames.decode(packet)
    if isinstance(frame.body, Ip) and frame.body.proto in (ICMP, ICMPV6) and not verdict.cacheable:
        return {(o.port, o.packet) for o in verdict.outputs}
    return _copies(world, packet, verdict.actions)


def _copies(world: World, packet: bytes, actions: Iterable[Action]) -> set[Copy]:
    """What comes out where after `actions`."""
    frame, copies = frames.decode(packet), set()
    assert frame is not None
    for action in actions:
        if action.action == "output":
            copies.add((action.value, frame.encode()))
        elif action.action == "flood":
            copies |= {(port, frame.encode()) for port in _flooded(world, action)}
        else:
            frame = _step(frame, action)
    return copies


def _flooded(world: World, action: Action) -> Iterable[str]:
    for port in world.ports(str(action.value)):
        is_meant = port.name != action.except_port and action.host in ("", port.host)
        if is_meant and world.is_exterior(port) and world.is_active(port):
            yield port.name


def _step(frame: Frame, action: Action) -> Frame:
    match action.action:
        case "set_eth_src":
            return replace(frame, src=action.value)
        case "set_eth_dst":
            return replace(frame, dst=action.value)
        case "dec_ttl":
            assert isinstance(frame.body, Ip)
            return frame.with_ip(ttl=frame.body.ttl - 1)
        case "set_ip_src" | "set_ip_dst":
            end = action.action.removeprefix("set_ip_")
            return replace(frame, body=moved(frame.body, **{end: ip_address(action.value)}))
        case "set_tp_src" | "set_tp_dst":
            end = {"set_tp_src": "sport", "set_tp_dst": "dport"}[action.action]
            ends = key_of("", frame.body)._replace(**{end: action.value})
            return replace(frame, body=with_ends(frame.body, ends))
    raise AssertionError(f"unexpected action {action}")


def _crafted(world: World, verdict: Verdict) -> set[tuple[str, Frame]]:
    found = set()
    for emitted in verdict.emitted:
        found |= _copies(world, emitted.packet, emitted.actions)
    assert found == {(o.port, o.packet) for o in verdict.emitted_outputs}
    return {(port, essence(data)) for port, data in found}


def essence(data: bytes) -> Frame:
    """What a receiver reads in a crafted packet."""
    frame = frames.decode(data)
    assert frame is not None, f"a crafted packet is malformed: {data.hex()}"
    ip = frame.body
    if not isinstance(ip, Ip):
        return frame
    if ip.proto in (ICMP, ICMPV6):
        assert frames.checksum_is_right(ip), f"wrong ICMP checksum: {data.hex()}"
    ip = _blank(frame).body
    plain = replace(ip, tos=0, ident=0, dont_fragment=False, flow_label=0)
    if ip.proto == ICMPV6 and ip.payload[0] == NA:
        plain = replace(plain, payload=ip.payload[:2] + bytes(6) + ip.payload[8:])
    elif ip.proto in (ICMP, ICMPV6):
        plain = replace(plain, payload=ip.payload[:2] + bytes(2) + ip.payload[4:])
    return replace(frame, body=plain)


def _learned(verdict: Verdict) -> set[tuple[str, int, str, str]]:
    macs = (found for found in verdict.learned if isinstance(found, MacLearned))
    return {(found.bridge, found.vlan, found.mac, found.port) for found in macs}


def neighbors_of(verdict: Verdict) -> set[tuple[str, frames.Address, str]]:
    met = (found for found in verdict.learned if not isinstance(found, MacLearned))
    return {(found.port, ip_address(found.address), found.mac) for found in met}


def _awaited(verdict: Verdict) -> tuple[str, frames.Address] | None:
    wanted = verdict.awaited
    return wanted and (wanted.port, ip_address(wanted.address))
