"""The agent of one host without its effects: (event, now) -> commands.

It must not know Ryu, sockets, processes, files or the clock.

1. The engine does what packets need; this module tells it what the world is like (the store's
   topology, ports, hosts that died), and the drivers what the topology wants of this host.
2. Whatever is found out here (a port that went down, a route, a MAC) counts here at once, and for
   the others when the store has it.
3. Flows outlive the agent.  It answers packets only after it has taken over what it finds::

       WAITING ----> SURVEYING ----> ADOPTING ----> LIVE
          ^   ready      |  static flows  |  dynamic    |
          |              |  are right     |  flows are  |
          +--------------+----------------+-------------+   the switch went

   *ready*: the switch is connected, the topology known, and every port numbered.
4. A host that comes back empty-handed (no flows in its switch) tells the others not to send here
   until it is live and has fetched what they know of connections, or `FETCH_NS` is over; one
   that finds its flows goes on as if nothing had happened.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, assert_never

from onehop.controller.agent import events, messages, rows, statics, tunnels
from onehop.controller.agent.answers import ANSWERS, PIECE, Search
from onehop.controller.agent.config import Settings
from onehop.controller.agent.desired import (
    TUNNEL_DEVICE,
    Desired,
    Monitor,
    StaticFlow,
    addresses,
    desired,
)
from onehop.controller.agent.events import Command, Event, OfPort
from onehop.controller.agent.leases import Leases
from onehop.controller.agent.liveness import Liveness
from onehop.controller.agent.metrics import OFF, ChannelStatus, Status
from onehop.controller.agent.monitoring import Monitoring, Verdict
from onehop.controller.agent.packets import Packets
from onehop.engine import openflow
from onehop.engine.model import (
    STATED,
    Host,
    HostStatus,
    LearnedRoute,
    MemberStatus,
    MonitorOwner,
    Neighbor,
    PortStatus,
    Resource,
)
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

STATED_KINDS = frozenset(kind.KIND for kind in STATED)
HEARTBEAT_S = 15.0
SLICES = 16  # in which flows are adopted; a power of two
FETCH_NS = 1_000_000_000
CLAIM_NS = 1_000_000_000
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

    def __init__(
        self, settings: Settings, memory: object | None = None, *, now_ns: int = 0
    ) -> None:
        self.settings = settings
        self.phase = Phase.WAITING
        self.topology = Topology()
        self.packets = Packets(settings, self.topology, memory, now_ns)
        self.snapshot: dict[str, dict[str, Resource]] = {}
        self.state: Desired | None = None  # what the topology says about this host
        self.ports: dict[str, OfPort] = {}  # by device
        self.liveness = Liveness()
        self.leases = Leases(settings.host)
        self.monitoring = Monitoring(settings.host)
        self.routes: dict[str, frozenset[LearnedRoute]] = {}  # by uplink port
        self.counters: Counter[str] = Counter()
        self.switch_connected = self.store_connected = False
        self.synced = False  # the topology is known
        self.serving: bool | None = None  # what the other hosts were told; None: nothing yet
        self.announcing: bool | None = None
        self._numbered: frozenset[str] | None = None  # devices; None: the switch is not settled
        self._bound: dict[str, int] = {}  # virtual port -> number
        self._carrier: dict[str, bool] = {}  # what each uplink's FRR was told
        self._statics: set[int] = set()  # cookies of static flows in the switch
        self._answers: list[StaticFlow] = []
        self._answers_due = True  # what they follow from has changed
        self._search: Search | None = None  # for them, under way
        self._adopted = 0  # slices
        self._held = bytearray()  # packets that came too early
        self._beaten_s = 0.0
        self._claim_at_ns = 0
        self._watched: tuple[Monitor, ...] | None = None  # what the driver was told
        self._clock_s = 0.0
        self._fetch_by_ns = 0  # until then other hosts' state is waited for

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """What to do about `event`."""
        match event:
            case events.StoreStep():
                self._step(event, now_ns)
            case events.StoreLink():
                self.store_connected = event.connected
                self.monitoring.owners.begin(now_ns)
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
            case events.StateCame():
                live = self.phase is Phase.LIVE
                self.packets.merge(event.messages, now_ns, live=live)
            case events.StateFetched():
                self._fetch_by_ns = 0
                self._welcome(now_ns)
            case events.UnderlayMeasured():
                self.topology.set_underlay_mtu(event.mtu)
            case events.MemberJudged():
                verdict = Verdict(event.healthy, event.reason)
                self.monitoring.judged(event.member, verdict)
                self._publish_members(now_ns)
            case events.Tick():
                self._tick(event.clock_s, now_ns)
            case _:
                assert_never(event)
        return self.packets.drain()

    def receive(self, data: messages.Bytes, now_ns: int) -> Taken:
        """Answer what the switch sent; bytes behind the last whole message stay."""
        if self.phase is Phase.LIVE:
            got = self.packets.receive(data, now_ns)
            consumed, others = got.consumed, got.slow
        else:
            consumed, others = self._hold(data)
        slow = []
        for message in others:
            if messages.is_flow_stats(message):
                self._flow_stats(message, now_ns)
            else:
                slow.append(message)
        return Taken(consumed, slow, self.packets.drain())

    def status(
        self,
        uplinks: dict[str, dict[str, object]],
        channel: ChannelStatus = OFF,
        monitors: Mapping[str, str] = {},  # noqa: B006 (never changed)
    ) -> Status:
        """How the agent is; `uplinks`, `channel` and `monitors` are what their drivers say."""
        datapath = self.packets.datapath
        return Status(
            host=self.settings.host,
            phase=self.phase.value,
            live=self.phase is Phase.LIVE,
            switch_connected=self.switch_connected,
            store_connected=self.store_connected,
            synced=self.synced,
            announcing=bool(self.announcing),
            flows=datapath.flow_count,
            static_flows=len(self._statics),
            waiting_packets=len(self.packets.waiting),
            peers=self.liveness.usable,
            ports={port: self.topology.is_active(port) for port in sorted(self._bound)},
            uplinks=uplinks,
            rows={kind: len(found) for kind, found in sorted(self.snapshot.items())},
            counters={
                **datapath.counters,
                **self.packets.counters,
                **self.counters,
                **channel.counters,
            },
            channel=channel,
            monitors=monitors,
            states=self.packets.states.counters,
        )

    def known(self, now_ns: int, addresses: Sequence[str] = ()) -> Iterator[bytes]:
        """What another host may have to know: of these addresses, or all; in pieces."""
        return self.packets.known(now_ns, addresses)

    # The store

    def _step(self, step: events.StoreStep, now_ns: int) -> None:
        self._learn(rows.Rows(list(step.put), list(step.remove)), now_ns)
        for resource in step.put:
            if isinstance(resource, Neighbor):
                self.packets.release(resource.port, resource.address, now_ns)
            elif isinstance(resource, HostStatus):
                self._greet([resource.host])
                self.monitoring.owners.heard(resource.host, now_ns)
        kinds = {r.KIND for r in step.put} | {kind for kind, _ in step.remove}
        restated = not self.synced or bool(kinds & (STATED_KINDS | {MonitorOwner.KIND}))
        if restated:
            self.synced = True
            self._learn(self.monitoring.restate(self.snapshot), now_ns)
            self._restate()
            self.leases.restate(self.snapshot)
            self._publish_routes(now_ns)
        if restated or PortStatus.KIND in kinds:  # heartbeats come from every host all the time
            self._settle(now_ns)
        if kinds & {MonitorOwner.KIND, MemberStatus.KIND, *STATED_KINDS}:
            self._publish_members(now_ns)

    def _restate(self) -> None:
        state = desired(self.settings.host, self.snapshot)
        if state is None:
            self._register()
        elif state != self.state:
            self._numbered = None
            self._order(events.Reconcile(state, self.serving))
        self.state = state

    def _register(self) -> None:
        """Have the store know this host; what it is for, others state."""
        name, address = self.settings.host, self.settings.tunnel_address
        taken = [
            host.name
            for host in self.snapshot.get(Host.KIND, {}).values()
            if isinstance(host, Host) and host.tunnel_address == address
        ]
        if taken:
            self._log(f"host {name!r} is not registered: {taken[0]!r} has its address {address}")
        elif address:
            self._log(f"host {name!r} registers with {address}")
            host = Host(name=name, tunnel_address=address, registered=True)
            self._order(events.PutState([host]))
        else:
            self._log(f"host {name!r} is not in the topology: waiting")

    # The switch

    def _switch_up(self, ports: Iterable[OfPort], now_ns: int) -> None:
        self._switch_down()
        self.switch_connected = True
        self.packets.send(openflow.async_config() + openflow.ask_meter())
        self.ports = {port.device: port for port in ports}
        self._settle(now_ns)

    def _switch_down(self) -> None:
        self.switch_connected = False
        self.phase = Phase.WAITING
        self.ports = {}
        self._search = None
        self.packets.datapath.forget()
        self._statics = set()
        self._held.clear()

    def _settle(self, now_ns: int) -> None:
        """Draw every conclusion from the topology and the ports."""
        self._answers_due = True
        if self.state is None or not self.switch_connected:
            return
        self._notice_hosts(self.state, now_ns)
        self._bind(self.state, now_ns)
        if self.phase is not Phase.WAITING:
            self._tell_carriers(self.state)
            self._publish(rows.statuses(self.state, self.snapshot, self.ports), now_ns)
        if self.phase in (Phase.ADOPTING, Phase.LIVE):
            self._install_statics(self.state)
        self._advance()

    def _notice_hosts(self, state: Desired, now_ns: int) -> None:
        devices = {peer.host: tunnels.watch_device(peer.host) for peer in state.watched}
        gateways = {peer.host for peer in state.watched if peer.gateway}
        changed = self.liveness.update(devices, self.ports, now_ns, gateways=gateways)
        for host, alive in changed.items():
            self._log(f"host {host} {'is back' if alive else 'cannot be reached'}")
            self.packets.invalidate(self.topology.set_host_alive(host, alive), now_ns)
        self._announce()

    def _bind(self, state: Desired, now_ns: int) -> None:
        tunnel = self.ports.get(TUNNEL_DEVICE)
        self.packets.datapath.set_tunnel_port(tunnel.number if tunnel else 0)
        there = (i for i in state.interfaces if i.device in self.ports)
        wanted = {i.port: self.ports[i.device].number for i in there}
        for port in sorted(self._bound.keys() | wanted.keys()):
            before, number = self._bound.get(port, 0), wanted.get(port, 0)
            if before != number:
                self._bind_port(port, number)
            if before and number and before != number:
                self._renumbered(port, now_ns)
        moved = wanted.keys() - self._bound.keys()
        if self.phase is Phase.LIVE and moved:
            self._order(events.WantState(addresses(self.snapshot, moved)))
        self._bound = wanted

    def _bind_port(self, port: str, number: int) -> None:
        datapath = self.packets.datapath
        datapath.bind(port, number)
        datapath.limit(port, self.settings.port_rate, self.settings.port_burst)

    def _renumbered(self, port: str, now_ns: int) -> None:
        """Flows that lead to the port's old number are found as if it had gone and come back."""
        for up in (False, True):
            status = PortStatus(host=self.settings.host, port=port, up=up)
            self.packets.invalidate(self.topology.update([status]), now_ns)

    def _tell_carriers(self, state: Desired) -> None:
        for uplink in state.uplinks:
            port = self.ports.get(uplink.device)
            up = port is not None and port.link_up
            if self._carrier.get(uplink.port, True) != up:
                self._order(events.Carrier(uplink.port, up))
            self._carrier[uplink.port] = up

    def _install_statics(self, state: Desired) -> None:
        flows = self.static_flows(state)
        self.packets.send(statics.changes(self._statics, flows))
        self._statics = set(flows)

    def static_flows(self, state: Desired) -> dict[int, StaticFlow]:
        limits = self.topology.limits
        return statics.wanted(state, self.snapshot, self.ports, self._answers, limits)

    def _find_answers(self, state: Desired, count: int) -> bool:
        """Look what the engine answers to ARP now, a piece; whether all is known again."""
        if self._search is None:
            self._answers_due = False
            engine = Simulator(self.topology, seed=self.settings.seed)
            self._search = Search(state.host, self.snapshot, self.ports, engine)
        if not self._search.go(count):
            return False
        self._answers, self._search = self._search.flows, None
        return True

    # From WAITING to LIVE

    def _advance(self) -> None:
        """Begin to take over the switch, once it can be."""
        ready = self.switch_connected and self.synced and self.state is not None
        numbered = self._numbered is not None and self._numbered <= self.ports.keys()
        if self.phase is Phase.WAITING and ready and numbered:
            self.phase = Phase.SURVEYING
            self._greet()
            survey = openflow.flow_stats_request(0, openflow.STATIC, openflow.CLASS_MASK)
            self.packets.send(survey)

    def _greet(self, hosts: Iterable[str] | None = None) -> None:
        """Have the tunnels to `hosts` (or all) resolve their far ends before they are needed."""
        tunnel = self.ports.get(TUNNEL_DEVICE)
        if self.state and tunnel:
            chosen = [p for p in self.state.peers if hosts is None or p.host in hosts]
            self.packets.send(tunnels.greeting(tunnel.number, chosen))

    def _flow_stats(self, message: bytes, now_ns: int) -> None:
        last = not openflow.has_more(message)
        if self.phase is Phase.SURVEYING:
            self._statics |= {flow.cookie for flow in openflow.flow_stats(message)}
            if last:
                self._surveyed(now_ns)
        elif self.phase is Phase.ADOPTING:
            self.packets.send(self.packets.datapath.adopt(message, now_ns))
            if last:
                self._adopted += 1
                self._adopt(now_ns)

    def _surveyed(self, now_ns: int) -> None:
        self.phase = Phase.ADOPTING
        if self._statics:
            self.liveness.found(self.ports)
        else:
            self._serve(serving=False)
            self._fetch_by_ns = now_ns + FETCH_NS if self.settings.peer_token_file else 0
        while self.state and not self._find_answers(self.state, ANSWERS):
            pass
        self._publish_routes(now_ns)
        self._settle(now_ns)
        self._adopted = 0
        self._adopt(now_ns)

    def _adopt(self, now_ns: int) -> None:
        """Ask for the next slice: to read all flows at once would stall forwarding."""
        if self._adopted == SLICES:
            self._go_live(now_ns)
        else:
            datapath = self.packets.datapath
            self.packets.send(datapath.stats_request(0, self._adopted, SLICES))

    def _go_live(self, now_ns: int) -> None:
        self.phase = Phase.LIVE
        self._log(f"live with {self.packets.datapath.flow_count} flows adopted")
        held, self._held = bytes(self._held), bytearray()
        self.packets.receive(held, now_ns)
        self._welcome(now_ns)

    def _welcome(self, now_ns: int) -> None:
        """Let others send here, once it is known which connections pass here."""
        if self.phase is Phase.LIVE and now_ns >= self._fetch_by_ns:
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
        ready = self.phase is Phase.LIVE and self.serving
        if ready and announcing is not self.announcing:
            self.announcing = announcing
            self._order(events.Announce(announcing))

    # Time

    def _tick(self, clock_s: float, now_ns: int) -> None:
        self._clock_s = clock_s
        self._watch()
        if self.state is None or not self.switch_connected:
            return
        self._notice_hosts(self.state, now_ns)
        if self.phase is not Phase.LIVE:
            return
        self._welcome(now_ns)
        self.packets.tick(now_ns)
        self.packets.advertise(self._bound, now_ns)
        wanted = self._answers_due or self._search
        if wanted and self._find_answers(self.state, PIECE):
            self._install_statics(self.state)
        self._publish(rows.Rows([], self.packets.forgotten(self.snapshot, now_ns)), now_ns)
        self._lease(now_ns)
        if now_ns >= self._claim_at_ns:
            self._claim_at_ns = now_ns + CLAIM_NS
            self._claim(now_ns)
        if clock_s - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = clock_s
            self._order(
                events.PutState([HostStatus(host=self.settings.host, heartbeat_s=clock_s)])
            )

    def _lease(self, now_ns: int) -> None:
        """A lease counts when the store shows it; what is given back counts no more at once."""
        found = self.leases.due(self.snapshot, self.packets.states, now_ns)
        if found.put:
            self._order(events.PutState(found.put))
        self._publish(rows.Rows([], found.remove), now_ns)

    def _claim(self, now_ns: int) -> None:
        """Take over monitors of hosts that are gone; they are here when the store says so."""
        if self.store_connected and not self.liveness.isolated():
            missed = self.liveness.missed(now_ns)
            found = self.monitoring.claims(self.snapshot, missed, now_ns)
            if found.put:
                self._order(events.PutState(found.put))
            self._publish(rows.Rows([], found.remove), now_ns)

    def _watch(self) -> None:
        """Have members asked while their answers can come."""
        if self.synced:
            bound = self._bound if self.phase is Phase.LIVE else ()
            wanted = self.monitoring.monitors(bound)
            if wanted != self._watched:
                self._watched = wanted
                self._order(events.Watch(wanted))

    # What this host finds out

    def _publish_members(self, now_ns: int) -> None:
        self._publish(self.monitoring.statuses(self.snapshot, self._clock_s), now_ns)

    def _publish_routes(self, now_ns: int) -> None:
        if self.phase in (Phase.ADOPTING, Phase.LIVE):
            keep = self.serving is not False
            found = rows.routes(self.settings.host, self.snapshot, self.routes, keep=keep)
            self._publish(found, now_ns)

    def _publish(self, found: rows.Rows, now_ns: int) -> None:
        """Let it count here at once, and tell the store."""
        self._learn(found, now_ns)
        if found.put:
            self._order(events.PutState(found.put))
        if found.remove:
            self._order(events.RemoveState(found.remove))

    def _learn(self, found: rows.Rows, now_ns: int) -> None:
        for kind, name in found.remove:
            self.snapshot.get(kind, {}).pop(name, None)
        for resource in found.put:
            self.snapshot.setdefault(resource.KIND, {})[resource.name] = resource
        if found.put or found.remove:
            self.packets.invalidate(self.topology.update(found.put, found.remove), now_ns)

    def _log(self, text: str) -> None:
        self._order(events.Log(text))

    def _order(self, command: Command) -> None:
        self.packets.order(command)
