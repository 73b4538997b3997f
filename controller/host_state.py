"""How a host is: what its agent says at this moment, and what the store knows of it.

1. Where the agent does not answer, that is said, and the store's part stands alone.
2. Drops are counted by the agent as packets come to it, and by the switch in flows that drop.
"""

from __future__ import annotations

import time

import msgspec

from onehop.controller.agent.tunnels import watch_device
from onehop.controller.agents import AgentError, about, flows, sessions
from onehop.controller.questions import About, Flow, Session
from onehop.controller.store.client import Held
from onehop.engine.model import Host, HostStatus, Port, PortStatus

STOPPED = "stopped: "  # how counters of reasons begin (engine/datapath.pyx)
REFUSED = ("refused", "malformed", "unknown_port", "loops", "too_long", "flows_full")


class Interface(msgspec.Struct, frozen=True):
    """An exterior port of the host."""

    port: str
    device: str
    number: int  # in the switch; 0: not plugged in
    carrier: bool | None  # None: not known
    works: bool | None


class Tunnel(msgspec.Struct, frozen=True):
    """The way to another host."""

    host: str
    address: str
    bfd: str  # up, down; "": not watched
    reachable: bool | None  # None: not watched
    state: str  # the state channel, in words
    queued: int


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """How a host is."""

    agent: str  # in words
    heartbeat_s: float | None  # how old the last one in the store is
    interfaces: tuple[Interface, ...]
    tunnels: tuple[Tunnel, ...] = ()
    uplinks: dict[str, dict[str, object]] = {}
    sessions: tuple[Session, ...] = ()
    flows: int = 0
    static_flows: int = 0
    dropping_flows: int = 0
    dropped_by_flows: int = 0  # packets, when last counted
    drops: dict[str, int] = {}  # packets that came to the agent, by reason
    connections: dict[str, int] = {}
    monitors: dict[str, str] = {}


def host_state(host: Host, held: Held, folder: str) -> HostState:
    """How `host` is."""
    try:
        found = about(folder, host.name)
        return _live(host, held, found, flows(folder, host.name), sessions(folder, host.name))
    except AgentError as error:
        return HostState(
            agent=f"no answer: {error}",
            heartbeat_s=_heartbeat(host, held),
            interfaces=tuple(_interface(port, held, None) for port in _ports(host, held)),
        )


def _live(host: Host, held: Held, found: About, made: list[Flow], bgp: list[Session]) -> HostState:
    status = found.status
    links = ("store" * status.store_connected, "switch" * status.switch_connected)
    connected = " and ".join(filter(None, links)) or "nothing"
    dropping = [flow for flow in made if not flow.noted]
    return HostState(
        agent=f"{status.phase}, connected to {connected}; state channel {status.channel.state}",
        heartbeat_s=_heartbeat(host, held),
        interfaces=tuple(_interface(port, held, found) for port in _ports(host, held)),
        tunnels=tuple(_tunnel(other, found) for other in _others(host, held)),
        uplinks=status.uplinks,
        sessions=tuple(bgp),
        flows=status.flows,
        static_flows=status.static_flows,
        dropping_flows=len(dropping),
        dropped_by_flows=sum(flow.packets for flow in dropping),
        drops=_drops(status.counters),
        connections=status.states,
        monitors=dict(status.monitors),
    )


def _drops(counters: dict[str, int]) -> dict[str, int]:
    found = {n.removeprefix(STOPPED): c for n, c in counters.items() if n.startswith(STOPPED)}
    found |= {name.replace("_", " "): counters.get(name, 0) for name in REFUSED}
    return {name: count for name, count in sorted(found.items()) if count}


def _ports(host: Host, held: Held) -> list[Port]:
    ports = (row for row in held.values() if isinstance(row, Port))
    return sorted((p for p in ports if p.host == host.name), key=lambda port: port.name)


def _others(host: Host, held: Held) -> list[Host]:
    hosts = (row for row in held.values() if isinstance(row, Host))
    return sorted((h for h in hosts if h.name != host.name), key=lambda other: other.name)


def _interface(port: Port, held: Held, found: About | None) -> Interface:
    device = port.interface or ""
    stated = held.get((PortStatus.KIND, port.name))
    works = stated.up if isinstance(stated, PortStatus) else None
    if found is None:
        return Interface(port.name, device, 0, None, works)
    there = found.devices.get(device)
    return Interface(
        port=port.name,
        device=device,
        number=there.number if there else 0,
        carrier=there.link_up if there else None,
        works=found.status.ports.get(port.name, False),
    )


def _tunnel(other: Host, found: About) -> Tunnel:
    watched = found.devices.get(watch_device(other.name))
    channel = found.status.channel.peers.get(other.name)
    words = "no channel"
    if channel:
        halves = ("takes" * channel.connected, "sends" * channel.heard)
        words = " and ".join(filter(None, halves)) or "not connected"
    return Tunnel(
        host=other.name,
        address=other.tunnel_address,
        bfd="" if watched is None else "up" if watched.live else "down",
        reachable=found.status.peers.get(other.name),
        state=words,
        queued=channel.queued if channel else 0,
    )


def _heartbeat(host: Host, held: Held) -> float | None:
    status = held.get((HostStatus.KIND, host.name))
    return max(0.0, time.time() - status.heartbeat_s) if isinstance(status, HostStatus) else None
