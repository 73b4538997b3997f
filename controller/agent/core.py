"""The agent of one host without its effects: (event, now) -> commands.

It must not know Ryu, sockets, processes, files or the clock.

1. The engine does what packets need; this module tells it what the world is like (the store's
   topology, ports, hosts that died) and passes on what it asks for.
2. Whatever is found out here (a port that went down, a route, a MAC) counts here at once, and for
   the others when the store has it.
3. Flows outlive the agent.  It answers packets only after it has taken over what it finds::

       WAITING ----> SURVEYING ----> ADOPTING ----> LIVE
          ^   ready      |  static flows  |  dynamic    |
          |              |  are right     |  flows are  |
          +--------------+----------------+-------------+   the switch went

   *ready*: the switch is connected, the topology known, and every port numbered.
4. A host that comes back empty-handed (no flows in its switch) tells the others not to send here
   until it is live; one that finds its flows goes on as if nothing had happened.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple, assert_never

from onehop.controller.agent import events, messages, rows, statics, tunnels
from onehop.controller.agent.config import Settings
from onehop.controller.agent.desired import TUNNEL_DEVICE, Desired, desired
from onehop.controller.agent.events import Command, Event, OfPort
from onehop.controller.agent.liveness import Liveness
from onehop.controller.agent.metrics import Status
from onehop.controller.agent.waiting import Waiting
from onehop.engine import openflow
from onehop.engine.datapath import Datapath, Received
from onehop.engine.effects import (
    Effect,
    MacLearned,
    NeighborLearned,
    NeighborWanted,
    PacketRefused,
)
from onehop.engine.model import (
    STATED,
    HostStatus,
    LearnedMac,
    LearnedRoute,
    Neighbor,
    PortStatus,
    Resource,
)
from onehop.engine.topology import Topology

STATED_KINDS = frozenset(kind.KIND for kind in STATED)
HEARTBEAT_S = 15.0
HELD_BYTES = 1 << 20  # packets that came before the agent was live


class Phase(enum.Enum):
    """How far the agent is with its switch."""

    WAITING = "waiting"
    SURVEYING = "surveying"
    ADOPTING = "adopting"
    LIVE = "live"


class Taken(NamedTuple):
    """What became of bytes from the switch."""

    consumed: int
    slow: list[bytes]  # the messages that are not for the core
    commands: list[Command]


class Core:
    """The agent of one host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase = Phase.WAITING
        self.topology = Topology()
        self.datapath = Datapath(self.topology, host=settings.host, seed=settings.seed)
        self.snapshot: dict[str, dict[str, Resource]] = {}
        self.state: Desired | None = None  # what the topology says about this host
        self.ports: dict[str, OfPort] = {}  # by device
        self.liveness = Liveness()
        self.waiting = Waiting()
        self.counters: Counter[str] = Counter()
        self.switch_connected = False
        self.store_connected = False
        self.synced = False  # the topology is known
        self.serving: bool | None = None
        self.announcing: bool | None = None
        self.routes: dict[str, frozenset[LearnedRoute]] = {}  # by uplink port
        self._numbered: frozenset[str] | None = None  # devices; None: the switch is not settled
        self._bound: dict[str, int] = {}  # virtual port -> number
        self._carrier: dict[str, bool] = {}  # what each uplink's FRR was told
        self._statics: set[int] = set()  # cookies of static flows in the switch
        self._held = bytearray()
        self._counting = messages.Counting(settings.idle_s)
        self._beaten_s = 0.0
        self._commands: list[Command] = []

    # What comes in

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """What to do about `event`."""
        match event:
            case events.StoreStep():
                self._step(event, now_ns)
            case events.StoreLink():
                self.store_connected = event.connected
            case events.SwitchUp():
                self._switch_up(event.ports, now_ns)
            case events.SwitchDown():
                self._switch_down()
            case events.SwitchSettled():
                self._numbered = event.devices
                self._advance()
            case events.PortChanged():
                self.ports[event.port.device] = event.port
                self._settle(now_ns)
            case events.PortGone():
                self.ports.pop(event.device, None)
                self._settle(now_ns)
            case events.RoutesLearned():
                self.routes[event.port] = event.routes
                self._publish_routes(now_ns)
            case events.SwitchRefused():
                self.counters["switch_errors"] += 1
                self._log(f"the switch refused a message: {event.reason}")
            case events.Tick():
                self._tick(event.clock_s, now_ns)
            case _:
                assert_never(event)
        return self._drain()

    def receive(self, data: messages.Bytes, now_ns: int) -> Taken:
        """Answer what the switch sent; bytes behind the last whole message stay."""
        if self.phase is Phase.LIVE:
            got = self.datapath.receive(data, now_ns)
            self._absorb(got, now_ns)
            consumed, others = got.consumed, got.slow
        else:
            consumed, others = self._hold(data)
        slow = []
        for message in others:
            if messages.is_flow_stats(message):
                self._flow_stats(message, now_ns)
            else:
                slow.append(message)
        return Taken(consumed, slow, self._drain())

    def status(self, uplinks: dict[str, dict[str, object]]) -> Status:
        """How the agent is; `uplinks` is what their driver says."""
        return Status(
            host=self.settings.host,
            phase=self.phase.value,
            live=self.phase is Phase.LIVE,
            switch_connected=self.switch_connected,
            store_connected=self.store_connected,
            synced=self.synced,
            announcing=bool(self.announcing),
            flows=self.datapath.flow_count,
            static_flows=len(self._statics),
            waiting_packets=len(self.waiting),
            peers=dict(self.liveness.session_up),
            ports={port: self.topology.is_active(port) for port in sorted(self._bound)},
            uplinks=uplinks,
            rows={kind: len(found) for kind, found in sorted(self.snapshot.items())},
            counters={**self.datapath.counters, **self.counters},
        )

    # The store

    def _step(self, step: events.StoreStep, now_ns: int) -> None:
        self._remember(step.put, step.remove)
        self._invalidate(self.topology.update(step.put, step.remove), now_ns)
        for resource in step.put:
            if isinstance(resource, Neighbor):
                self._release(resource.port, resource.address, now_ns)
        kinds = {r.KIND for r in step.put} | {kind for kind, _ in step.remove}
        if not self.synced or kinds & STATED_KINDS:
            self.synced = True
            self._restate()
        self._settle(now_ns)

    def _restate(self) -> None:
        state = desired(self.settings.host, self.snapshot)
        if state is None:
            self._log(f"host {self.settings.host!r} is not in the topology: waiting")
        elif state != self.state:
            self._numbered = None
            self._order(events.Reconcile(state, self.serving))
        self.state = state

    def _remember(self, put: Iterable[Resource], remove: events.Names) -> None:
        for kind, name in remove:
            self.snapshot.get(kind, {}).pop(name, None)
        for resource in put:
            self.snapshot.setdefault(resource.KIND, {})[resource.name] = resource

    # The switch

    def _switch_up(self, ports: Iterable[OfPort], now_ns: int) -> None:
        self._switch_down()
        self.switch_connected = True
        self.ports = {port.device: port for port in ports}
        self._settle(now_ns)

    def _switch_down(self) -> None:
        self.switch_connected = False
        self.phase = Phase.WAITING
        self.ports = {}
        self.datapath.forget()
        self._statics = set()
        self._held.clear()
        self._counting.restart()

    def _settle(self, now_ns: int) -> None:
        """Draw every conclusion from the topology and the ports."""
        if self.state is None or not self.switch_connected:
            return
        self._notice_hosts(now_ns)
        self._bind(now_ns)
        if self.phase is not Phase.WAITING:
            self._tell_carriers(self.state)
            self._publish(rows.statuses(self.state, self.snapshot, self.ports), now_ns)
        if self.phase in (Phase.ADOPTING, Phase.LIVE):
            self._install_statics(self.state)
        self._advance()

    def _notice_hosts(self, now_ns: int) -> None:
        watched = self.state.watched if self.state else ()
        devices = {peer.host: tunnels.watch_device(peer.host) for peer in watched}
        for host, alive in self.liveness.update(devices, self.ports, now_ns).items():
            self._log(f"host {host} {'is back' if alive else 'cannot be reached'}")
            self._invalidate(self.topology.set_host_alive(host, alive), now_ns)
        self._announce()

    def _bind(self, now_ns: int) -> None:
        tunnel = self.ports.get(TUNNEL_DEVICE)
        self.datapath.set_tunnel_port(tunnel.number if tunnel else 0)
        wanted = {
            i.port: self.ports[i.device].number
            for i in (self.state.interfaces if self.state else ())
            if i.device in self.ports
        }
        for port in sorted(self._bound.keys() | wanted.keys()):
            before, number = self._bound.get(port, 0), wanted.get(port, 0)
            if before != number:
                self.datapath.bind(port, number)
                self.datapath.limit(port, self.settings.port_rate, self.settings.port_burst)
            if before and number and before != number:
                self._renumbered(port, now_ns)
        self._bound = wanted

    def _renumbered(self, port: str, now_ns: int) -> None:
        """Flows that lead to the port's old number are found as if it had gone and come back."""
        for up in (False, True):
            status = PortStatus(host=self.settings.host, port=port, up=up)
            self._invalidate(self.topology.update([status]), now_ns)

    def _tell_carriers(self, state: Desired) -> None:
        for uplink in state.uplinks:
            port = self.ports.get(uplink.device)
            up = port is not None and port.link_up
            if self._carrier.get(uplink.port, True) != up:
                self._order(events.Carrier(uplink.port, up))
            self._carrier[uplink.port] = up

    def _install_statics(self, state: Desired) -> None:
        flows = statics.wanted(state, self.snapshot, self.ports)
        self._send(statics.changes(self._statics, flows))
        self._statics = set(flows)

    # From WAITING to LIVE

    def _advance(self) -> None:
        """Begin to take over the switch, once it can be."""
        ready = self.switch_connected and self.synced and self.state is not None
        numbered = self._numbered is not None and self._numbered <= self.ports.keys()
        if self.phase is Phase.WAITING and ready and numbered:
            self.phase = Phase.SURVEYING
            self._send(openflow.flow_stats_request(0, openflow.STATIC, openflow.CLASS_MASK))

    def _flow_stats(self, message: bytes, now_ns: int) -> None:
        last = not openflow.more_follows(message)
        match self.phase:
            case Phase.SURVEYING:
                self._statics |= {flow.cookie for flow in openflow.flow_stats(message)}
                if last:
                    self._surveyed(now_ns)
            case Phase.ADOPTING:
                self._send(self.datapath.adopt(message, now_ns))
                if last:
                    self._adopted(now_ns)
            case Phase.LIVE:
                self.datapath.count(message, now_ns)
                if last:
                    self._counted(now_ns)
            case Phase.WAITING:
                pass

    def _surveyed(self, now_ns: int) -> None:
        if self._statics:
            self.liveness.found(self.ports)
        else:
            self._serve(serving=False)
        self.phase = Phase.ADOPTING
        self._publish_routes(now_ns)
        self._settle(now_ns)
        self._count(now_ns)

    def _adopted(self, now_ns: int) -> None:
        if self._counting.done(now_ns, at_once=True):
            self._go_live(now_ns)
        else:
            self._count(now_ns)

    def _go_live(self, now_ns: int) -> None:
        self.phase = Phase.LIVE
        self._log(f"live with {self.datapath.flow_count} flows adopted")
        held, self._held = bytes(self._held), bytearray()
        self._absorb(self.datapath.receive(held, now_ns), now_ns)
        self._serve(serving=True)
        self._announce()

    def _hold(self, data: messages.Bytes) -> tuple[int, list[bytes]]:
        consumed, others = 0, []
        for message in messages.split(data):
            consumed += len(message)
            if not messages.is_packet_in(message):
                others.append(message)
            elif len(self._held) + len(message) <= HELD_BYTES:
                self._held += message
            else:
                self.counters["held_too_many"] += 1
        return consumed, others

    def _serve(self, *, serving: bool) -> None:
        if self.state and self.serving is not serving:
            self.serving = serving
            self._order(events.Reconcile(self.state, serving))

    def _announce(self) -> None:
        """Announce what is behind this host while it can get packets there."""
        announcing = not self.liveness.isolated()
        if self.phase is Phase.LIVE and announcing is not self.announcing:
            self.announcing = announcing
            self._order(events.Announce(announcing))

    # Packets

    def _absorb(self, got: Received, now_ns: int) -> None:
        """Send what the hot path answered, and do what it asked for."""
        todo = deque([got])
        while todo:
            got = todo.popleft()
            self._send(got.out)
            for effect in got.effects:
                todo.extend(self._effect(effect, now_ns))

    def _effect(self, effect: Effect, now_ns: int) -> list[Received]:
        host = self.settings.host
        match effect:
            case MacLearned():
                self._write(
                    LearnedMac(
                        host=host,
                        bridge=effect.bridge,
                        port=effect.port,
                        mac=effect.mac,
                        vlan=effect.vlan,
                    )
                )
            case NeighborLearned():
                self._write(
                    Neighbor(host=host, port=effect.port, address=effect.address, mac=effect.mac)
                )
                return self._released(effect.port, effect.address, now_ns)
            case NeighborWanted():
                self.waiting.hold(effect, now_ns)
            case PacketRefused():
                self.counters[f"refused {effect.reason}"] += 1
            case _:
                assert_never(effect)
        return []

    def _write(self, row: Resource) -> None:
        """Tell the store what the engine knows already."""
        self._remember([row], ())
        self._order(events.PutState([row]))

    def _release(self, port: str, address: str, now_ns: int) -> None:
        for got in self._released(port, address, now_ns):
            self._absorb(got, now_ns)

    def _released(self, port: str, address: str, now_ns: int) -> list[Received]:
        held = self.waiting.release(port, address)
        return [self.datapath.inject(packet, in_port, now_ns) for packet, in_port in held]

    # Time

    def _tick(self, clock_s: float, now_ns: int) -> None:
        if self.state is None or not self.switch_connected:
            return
        self._notice_hosts(now_ns)
        if self.phase is not Phase.LIVE:
            return
        again, given_up = self.waiting.due(now_ns)
        for port, address in again:
            self._absorb(self.datapath.solicit(port, address, now_ns), now_ns)
        for packet, in_port in given_up:
            self._absorb(self.datapath.unreachable(packet, in_port, now_ns), now_ns)
        self._count(now_ns)
        if clock_s - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = clock_s
            self._order(
                events.PutState([HostStatus(host=self.settings.host, heartbeat_s=clock_s)])
            )

    def _count(self, now_ns: int) -> None:
        piece = self._counting.due(now_ns)
        if piece is not None:
            self._send(self.datapath.stats_request(0, piece, self._counting.SLICES))

    def _counted(self, now_ns: int) -> None:
        self._counting.done(now_ns)
        self._send(self.datapath.expire(now_ns, int(self.settings.idle_s * 1e9)))

    # What goes out

    def _publish_routes(self, now_ns: int) -> None:
        if self.phase in (Phase.ADOPTING, Phase.LIVE):
            keep = self.serving is not False
            found = rows.routes(self.settings.host, self.snapshot, self.routes, keep=keep)
            self._publish(found, now_ns)

    def _publish(self, found: rows.Rows, now_ns: int) -> None:
        if not found.put and not found.remove:
            return
        self._remember(found.put, found.remove)
        self._invalidate(self.topology.update(found.put, found.remove), now_ns)
        if found.put:
            self._order(events.PutState(found.put))
        if found.remove:
            self._order(events.RemoveState(found.remove))

    def _invalidate(self, tags: list[int], now_ns: int) -> None:
        if tags:
            self._send(self.datapath.invalidate(tags, now_ns))

    def _send(self, data: bytes) -> None:
        if data:
            self._order(events.Send(data))

    def _log(self, text: str) -> None:
        self._order(events.Log(text))

    def _order(self, command: Command) -> None:
        self._commands.append(command)

    def _drain(self) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands
