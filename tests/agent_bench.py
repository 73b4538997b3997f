"""An agent's core with a switch and a store in memory, and a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterable

from agent_network import c1_ports, network
from fake_switch import FakeSwitch, Out

from onehop.controller.agent import events
from onehop.controller.agent.config import Settings
from onehop.controller.agent.core import Core
from onehop.controller.agent.events import OfPort
from onehop.engine.model import Resource

SECOND = 1_000_000_000


class Bench:
    """An agent on its bench."""

    def __init__(
        self,
        resources: Iterable[Resource] | None = None,
        *,
        switch: FakeSwitch | None = None,
        host: str = "c1",
        memory: bytearray | None = None,
        token_file: str = "",
        tunnel_address: str = "",
        now: int = 0,
    ) -> None:
        settings = Settings(host=host, peer_token_file=token_file, tunnel_address=tunnel_address)
        self.core = Core(settings, memory, now_ns=now)
        self.switch = switch or FakeSwitch()
        self.resources = list(network() if resources is None else resources)
        self.now = now
        self.orders: list[events.Command] = []  # all but what was sent to the switch

    def boot(self, ports: dict[str, OfPort] | None = None) -> Bench:
        """Everything that an agent waits for arrives."""
        ports = c1_ports() if ports is None else ports
        self.tell(events.StoreStep(put=self.resources))
        self.tell(events.SwitchUp(list(ports.values())))
        self.tell(events.SwitchSettled(frozenset(ports)))
        self.greetings = self.switch.take()
        return self

    def tell(self, event: events.Event) -> None:
        self._carry_out(self.core.handle(event, self.now))
        self._converse()

    def put(self, *resources: Resource) -> None:
        """The store has changed."""
        self.tell(events.StoreStep(put=resources))

    def receive(self, in_port: int, data: bytes, *, tunnel_id: int = 0) -> list[Out]:
        """A packet comes in; where it comes out, with the agent's help or without."""
        outs = self.switch.receive(in_port, data, tunnel_id=tunnel_id)
        self._converse()
        return outs + self.switch.take()

    def pass_time(self, seconds: float, step: float = 0.5) -> list[Out]:
        """Let time pass; what the switch sends meanwhile."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now = min(end, self.now + int(step * SECOND))
            self.tell(events.Tick(clock_s=self.now / SECOND))
        return self.switch.take()

    def rows(self, kind: type[Resource]) -> dict[str, Resource]:
        """The rows of one kind that the store was told to hold."""
        found: dict[str, Resource] = {}
        for order in self.orders:
            match order:
                case events.PutState(resources=resources):
                    found |= {r.name: r for r in resources if isinstance(r, kind)}
                case events.RemoveState(names=names):
                    for name in (n for k, n in names if k == kind.KIND):
                        found.pop(name, None)
        return found

    def ordered(self, kind: type) -> list:
        """The orders of one kind, so far."""
        return [order for order in self.orders if isinstance(order, kind)]

    def _converse(self) -> None:
        """Let switch and agent talk until both are silent."""
        while said := self.switch.heard():
            taken = self.core.receive(said, self.now)
            assert taken.consumed == len(said)
            assert not taken.slow
            self._carry_out(taken.commands)

    def _carry_out(self, commands: Iterable[events.Command]) -> None:
        for command in commands:
            if isinstance(command, events.Send):
                self.switch.write(command.data)
            else:
                self.orders.append(command)
