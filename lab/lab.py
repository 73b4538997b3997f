"""The lab that is up, as scenarios and commands see it.

lab = Lab.attach()
lab.node("vm1").run(["ping", "-c1", lab.node("client1").address])
lab.gateway("g2").stop("silent")
"""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from onehop.engine.model import Topology
from onehop.engine.model import load as load_topology
from onehop.lab import checks
from onehop.lab.gateways import Gateway
from onehop.lab.hosts import Host
from onehop.lab.nodes import Counters, Node, read_counters
from onehop.lab.processes import alive
from onehop.lab.state import LabError, LabState, Role, home, load
from onehop.lab.topo import Plan, plan


class Wire(NamedTuple):
    """What crossed one uplink's wire: counted after the shapers."""

    down_bytes: int  # towards the gateway
    down_packets: int
    up_bytes: int  # towards the outside
    up_packets: int


class Lab:
    """A running lab."""

    def __init__(self, state: LabState, directory: pathlib.Path) -> None:
        self.state = state
        self.directory = directory

    @classmethod
    def attach(cls, directory: pathlib.Path | None = None) -> Lab:
        """The lab that is up; a LabError where there is none."""
        directory = directory or home()
        state = load(directory)
        if state is None:
            raise LabError("no lab is up: start one with `onehop lab up`")
        if not alive(state.holder_pid, state.holder_started):
            raise LabError("the lab has died: clear it with `onehop lab down`")
        return cls(state, directory)

    def node(self, name: str) -> Node:
        if name not in self.state.nodes:
            known = " ".join(self.state.nodes)
            raise LabError(f"node {name}: there is none of that name; there are: {known}")
        return Node(self.state.nodes[name])

    def nodes(self, role: Role) -> list[Node]:
        """The nodes of one role, in the order of their numbers."""
        return [Node(state) for state in self.state.nodes.values() if state.role == role]

    def host(self, name: str) -> Host:
        """A compute or gateway node."""
        return Host(self.state, self.node(name).state)

    @property
    def hosts(self) -> list[Host]:
        """The nodes with a switch and an agent."""
        return [self.host(n.name) for n in [*self.nodes("compute"), *self.nodes("gateway")]]

    @property
    def machines(self) -> list[Node]:
        """The tenant's machines, vm1, vm2, …"""
        return self.nodes("machine")

    def public(self, machine: Node) -> str:
        """The IPv4 address that the outside reaches a machine at; "" where there is none."""
        return next(m.public or "" for m in self.plan.machines if m.name == machine.name)

    def reachable(self) -> Node:
        """The first machine that the outside can open connections to."""
        for machine in self.machines:
            if self.public(machine):
                return machine
        raise LabError("the outside reaches no machine: none has a floating IP")

    @property
    def clients(self) -> list[Node]:
        """The nodes in the outside network."""
        return self.nodes("client")

    @property
    def gateways(self) -> list[Gateway]:
        return [self.gateway(node.name) for node in self.nodes("gateway")]

    def gateway(self, name: str) -> Gateway:
        node = self.node(name)
        if node.state.role != "gateway":
            raise LabError(f"node {name}: it is a {node.state.role}, not a gateway")
        return Gateway(self, node.state)

    @property
    def topology(self) -> Topology:
        """The topology that was applied last."""
        return load_topology(pathlib.Path(self.state.topology).read_text(), self.state.topology)

    @property
    def plan(self) -> Plan:
        """The machines and wires that follow from it."""
        return plan(self.topology)

    def uplink_counters(self) -> dict[str, Wire]:
        """By gateway, what its uplink's wire has carried so far; one that leaves has no wire."""
        devices = read_counters(self.node("isp").pid)
        return {
            gateway.name: wire(devices[f"{gateway.name}-in"], devices[f"{gateway.name}-out"])
            for gateway in self.nodes("gateway")
            if {f"{gateway.name}-in", f"{gateway.name}-out"} <= devices.keys()
        }

    def wait_ready(self, timeout_s: float = 30.0, gateways: list[str] | None = None) -> None:
        """Until every machine's traffic crosses each of `gateways` (all) and no other."""
        checks.wait_ready(self, timeout_s, gateways)

    def status(self) -> dict[str, Any]:
        """What every node says about itself, for `lab status`."""
        return checks.status(self)


def wire(inner: Counters, outer: Counters) -> Wire:
    return Wire(inner.tx_bytes, inner.tx_packets, outer.tx_bytes, outer.tx_packets)
