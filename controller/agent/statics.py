"""The flows that follow from the configuration: what they should be, and the way there.

1. A static flow's cookie is made from its content, so what is installed is known by its cookies.
2. What is missing is added before what is too much is deleted: no packet meets a gap.

Tunnelled packets: the key names the port they leave by, or the bridge whose ports all get them;
nothing leaves by a port that is down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from onehop.controller.agent import desired, lengths, tunnels, uplinks
from onehop.controller.agent.desired import TUNNEL_DEVICE, Desired, Snapshot, StaticFlow
from onehop.controller.agent.events import OfPort
from onehop.engine import openflow
from onehop.engine.model import Port

Ports = Mapping[str, OfPort]  # device -> port

TO_PORT, NOWHERE, MISS = 50, 10, 0  # priorities
LOCAL = 0xFFFFFFFE  # the bridge's own device
ALL_BITS = (1 << 64) - 1


def wanted(
    state: Desired,
    snapshot: Snapshot,
    ports: Ports,
    more: Iterable[StaticFlow] = (),
    limits: tuple[int, ...] = (),
) -> dict[int, StaticFlow]:
    """The static flows that should be there, by cookie; `limits` are the lengths that matter."""
    flows = [
        StaticFlow(MISS, (), (("controller",),)),
        _drop(LOCAL),
        *_tunnel(state, snapshot, ports),
        *_watching(state, ports),
        *_uplinks(state, ports),
        *more,
        *lengths.static_flows(numbers(state, ports).values(), limits),
    ]
    return {cookie(flow): flow for flow in flows}


@lru_cache(maxsize=4096)
def cookie(flow: StaticFlow) -> int:
    """The cookie that names `flow`; most are asked for at every change, 10 µs each."""
    text = repr((flow.table, flow.priority, flow.match, flow.actions)).encode()
    digest = int.from_bytes(hashlib.blake2s(text, digest_size=8).digest(), "big")
    return openflow.STATIC | digest & ~openflow.CLASS_MASK & ALL_BITS


def changes(installed: Iterable[int], flows: Mapping[int, StaticFlow]) -> bytes:
    """The messages that lead from the cookies `installed` to `flows`."""
    there = set(installed)
    missing = [(key, flow) for key, flow in flows.items() if key not in there]
    added = [
        openflow.static_flow(key, flow.priority, dict(flow.match), flow.actions, flow.table)
        for key, flow in missing
    ]
    deleted = [openflow.delete_flows(key, ALL_BITS) for key in sorted(there - flows.keys())]
    return b"".join(added + deleted)


def _tunnel(state: Desired, snapshot: Snapshot, ports: Ports) -> Iterable[StaticFlow]:
    if TUNNEL_DEVICE not in ports:
        return
    tunnel = ports[TUNNEL_DEVICE].number
    yield _drop(tunnel)
    for port in desired.local_ports(state.host, snapshot):
        yield from _key(tunnel, port.tunnel_key, [port], ports)
    for bridge, local in desired.bridge_ports(state.host, snapshot).items():
        yield from _key(tunnel, bridge.tunnel_key, local, ports)


def _key(tunnel: int, key: int, local: Iterable[Port], ports: Ports) -> Iterable[StaticFlow]:
    devices = (port.interface or "" for port in local if port.admin_state_up)
    outputs = tuple(("output", ports[device].number) for device in devices if device in ports)
    if key and outputs:
        yield StaticFlow(TO_PORT, (("in_port", tunnel), ("tunnel_id", key)), outputs)


def _watching(state: Desired, ports: Ports) -> Iterable[StaticFlow]:
    devices = (tunnels.watch_device(peer.host) for peer in state.watched)
    return (_drop(ports[device].number) for device in devices if device in ports)


def _uplinks(state: Desired, ports: Ports) -> Iterable[StaticFlow]:
    for uplink in state.uplinks:
        outside, inside = ports.get(uplink.device), ports.get(uplinks.frr_device(uplink.port))
        if outside and inside:
            yield from uplinks.static_flows(uplink, outside.number, inside.number)


def numbers(state: Desired | None, ports: Ports) -> dict[str, int]:
    """The exterior ports that are plugged in here, as the switch numbers them."""
    interfaces = state.interfaces if state else ()
    return {i.port: ports[i.device].number for i in interfaces if i.device in ports}


def _drop(in_port: int) -> StaticFlow:
    return StaticFlow(NOWHERE, (("in_port", in_port),), ())
