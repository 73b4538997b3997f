"""Three hosts in memory: a hot path and a switch on each, tunnels between them, one topology.

1. Every host has its own compiled topology, as every agent has; they are told the same.
2. What a host finds out, all are told before the next packet is sent.
3. The packet that a switch sends into a tunnel comes out at the host whose address it names, and
   goes on by static flows alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from changes import Change, apply
from fake_switch import FakeSwitch, Out
from strategies import HOSTS, Scene
from world import World

from onehop.controller.agent import statics
from onehop.controller.agent.desired import TUNNEL_DEVICE, desired
from onehop.controller.agent.events import OfPort
from onehop.engine import model, openflow
from onehop.engine.datapath import Datapath
from onehop.engine.effects import MacLearned, NeighborLearned
from onehop.engine.states import States
from onehop.engine.topology import Topology

TUNNEL = 1000
CLASS_MASK = openflow.CLASS_MASK
NOW_NS = 1_000_000_000

Copy = tuple[str, bytes]


def compiled(world: World) -> Topology:
    topology = Topology()
    topology.update(row for rows in world.rows.values() for row in rows.values())
    for host in world.dead:
        topology.set_host_alive(host, False)
    return topology


class Node:
    """One host."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.topology = compiled(world)
        self.switch = FakeSwitch()
        self.switch.write(openflow.async_config())
        self.start(world)

    def start(self, world: World) -> None:
        """An agent begins: each exterior port's place in the topology is its number."""
        self.datapath = Datapath(self.topology, host=self.name, states=States(1024))
        self.datapath.set_tunnel_port(TUNNEL)
        self.devices = {TUNNEL_DEVICE: OfPort(TUNNEL_DEVICE, TUNNEL, True, True)}
        self.ports: dict[int, str] = {}
        for number, port in enumerate(world.all(model.Port), 1):
            if port.host == self.name:
                self.ports[number] = port.name
                self.devices[port.interface] = OfPort(port.interface, number, True, True)
                self.datapath.bind(port.name, number)
        self.reconcile(world)

    def reconcile(self, world: World) -> None:
        """Install the static flows that the agent would."""
        state = desired(self.name, world.rows)
        there = {flow.cookie for flow in self.switch.flows.values()}
        static = {cookie for cookie in there if cookie & CLASS_MASK == openflow.STATIC}
        wanted = statics.wanted(state, world.rows, self.devices)
        self.switch.write(statics.changes(static, wanted))

    def number(self, port: str) -> int:
        return next(number for number, name in self.ports.items() if name == port)


class Cluster:
    """All hosts of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.world = World(scene.resources)
        self.nodes = {name: Node(name, self.world) for name in HOSTS}
        self.addresses = {host.tunnel_address: host.name for host in scene.topology.hosts}

    def send(self, in_port: str, packet: bytes) -> set[Copy]:
        """A packet comes in; every copy that leaves anywhere in the end."""
        port = self.world.port(in_port)
        node = self.nodes[port.host]
        outs = node.switch.receive(node.number(in_port), packet)
        got = node.datapath.receive(node.switch.heard(), NOW_NS)
        for host, message in got.state:
            far = self.nodes[host]
            far.switch.write(far.datapath.merge(message, NOW_NS))
        node.switch.write(got.out)
        outs = [*outs, *node.switch.take()]
        back = node.number(in_port)
        outs = [o._replace(port=back) if o.port == openflow.IN_PORT else o for o in outs]
        left = self._deliver(node, outs)
        self._tell(port.host, got.effects)
        return left

    def restart(self, name: str, missed: Change) -> None:
        """An agent dies and comes back; while it is away, `missed` happens."""
        apply(self.world, missed)
        gone = self.nodes.pop(name)
        self._spread(missed)
        self.nodes[name] = gone
        gone.topology = compiled(self.world)
        gone.start(self.world)
        gone.switch.write(gone.datapath.stats_request(1, 0, 1))
        gone.switch.write(gone.datapath.adopt(gone.switch.heard(), NOW_NS))

    def apply(self, change: Change) -> None:
        """Everybody is told of `change`."""
        apply(self.world, change)
        self._spread(change)

    def _spread(self, change: Change) -> None:
        for node in self.nodes.values():
            tags = set(node.topology.update(change.put, change.remove))
            for host, alive in ((change.dies, False), (change.lives, True)):
                if host:
                    tags |= set(node.topology.set_host_alive(host, alive))
            node.switch.write(node.datapath.invalidate(tags, NOW_NS))
            node.reconcile(self.world)

    def _deliver(self, node: Node, outs: Iterable[Out]) -> set[Copy]:
        left: set[Copy] = set()
        for out in outs:
            if out.port != TUNNEL:
                name = node.ports[out.port]
                left |= {(name, out.data)} if self._has_carrier(name) else set()
                continue
            far = self.nodes[self.addresses[out.tunnel_dst]]
            assert far is not node, "a tunnel to oneself"
            again = far.switch.receive(TUNNEL, out.data, tunnel_id=out.tunnel_id)
            assert not far.switch.heard(), "what comes by a tunnel needs no agent"
            left |= self._deliver(far, again)
        return left

    def _has_carrier(self, port: str) -> bool:
        statuses = self.world.alive(model.PortStatus)
        return all(row.up for row in statuses if row.port == port)

    def _tell(self, host: str, effects: Iterable[object]) -> None:
        for found in effects:
            if isinstance(found, MacLearned):
                row = model.LearnedMac(
                    host=host, bridge=found.bridge, vlan=found.vlan, mac=found.mac, port=found.port
                )
            elif isinstance(found, NeighborLearned):
                row = model.Neighbor(
                    host=host, port=found.port, address=found.address, mac=found.mac
                )
            else:
                continue
            self.apply(Change(put=(row,)))
