"""Stop a gateway in the ways that gateways stop, and let it come back.

    kill    every process of the node at once: OVS, the agent, FRR
    silent  packets vanish, carriers stay: on the uplink and on the underlay
    link    the uplink's wire loses its carrier at both ends

Stopping is abrupt and tells nothing to the system under test; starting is what a boot of the
machine, or the repair of the wire, would do, and nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from onehop.lab.hosts import Host
from onehop.lab.processes import kill, services
from onehop.lab.state import LabError, NodeState

if TYPE_CHECKING:
    from onehop.lab.lab import Lab

How = Literal["kill", "silent", "link"]
FORWARDING, DISABLED = 3, 0  # bridge(8), `state`


class Gateway(Host):
    """A gateway node."""

    def __init__(self, lab: Lab, state: NodeState) -> None:
        super().__init__(lab.state, state)
        self.lab = lab

    def stop(self, how: How) -> None:
        match how:
            case "kill":
                kill(services(self.name))
            case "silent":
                self._forward(DISABLED)
            case "link":
                self._carry("down")
            case _:
                raise LabError(f"gateway {self.name}: stop {how}: one of {get_args(How)}")

    def start(self) -> None:
        """Undo whatever stopped it; return when its processes run, before it is ready."""
        self._carry("up")
        self._forward(FORWARDING)
        if not services(self.name):
            self.boot()
            self.start_agent()

    def _forward(self, state: int) -> None:
        wire = f"bridge link set dev {self.name}-in state {state}"
        self.lab.node("isp").sh(wire)
        self.lab.node("underlay").sh(f"bridge link set dev {self.name} state {state}")

    def _carry(self, state: Literal["up", "down"]) -> None:
        ends = (f"ip link set {self.name}-{end} {state}" for end in ("in", "out"))
        self.lab.node("isp").sh("\n".join(ends))
