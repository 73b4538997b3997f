"""Gateways are drained one by one until one is left, stopped, and put to use again: no packet is
lost.

    drained ── nothing passes it ── stopped ── started ── undrained ── carries traffic

What an operator would do, with `onehop set host g1 drain=true`.  The load is a part of one
uplink's capacity: what one gateway can carry, it must carry without a loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from onehop.lab import members
from onehop.lab.checks import eventually
from onehop.lab.gateways import Gateway
from onehop.lab.lab import Lab
from onehop.lab.results import Loss, Outage, Phase
from onehop.lab.scenarios.load import Load
from onehop.lab.scenarios.verdicts import outage_of

OFFERED = 0.5  # of one uplink
READY_S = 30.0


class Drain:
    """The order of events."""

    def __init__(self, load: Load, lab: Lab) -> None:
        self.load, self.lab, self.gateways = load, lab, lab.gateways
        self.phases: list[Phase] = []
        self.returned: dict[str, bool] = {}
        self._told: list[tuple[int, str, list[str]]] = []  # when, what, the gateways in use

    def all_of_it(self) -> None:
        names = [gateway.name for gateway in self.gateways]
        *leaving, last = self.gateways
        self.phases.append(self.load.phase(names))
        for number, gateway in enumerate(leaving):
            self._stop(gateway, names[number:])
        for number, gateway in enumerate(leaving):
            self._start(gateway, [last.name, *names[:number]])

    def _stop(self, gateway: Gateway, used: list[str]) -> None:
        name = gateway.name
        self.load.aim(used)
        self._event(f"{name} drained", used, lambda: members.drain(self.lab, name))
        self._event(f"{name} stopped", used[1:], lambda: gateway.stop("kill"))
        self.phases.append(self.load.phase(used[1:]))

    def _start(self, gateway: Gateway, used: list[str]) -> None:
        name = gateway.name
        self.load.aim(used)
        self._event(f"{name} started", used, lambda: start(self.lab, gateway))
        self._event(f"{name} undrained", used, lambda: members.undrain(self.lab, name))
        self.returned[name] = self.load.carries(name, READY_S)
        self.phases.append(self.load.phase([*used, name]))

    def _event(self, what: str, used: list[str], job: Callable[[], object]) -> None:
        self._told.append((self.load.recorder.event(what), what, used))
        self.load.recorder.during(job)

    def outages(self) -> tuple[Outage, ...]:
        """The gaps, for information: what counts here is that nothing is lost."""
        return tuple(
            outage_of(what, self.load.probing.longest_gaps(at_ns, end_ns, used))
            for at_ns, end_ns, what, used in self._spans()
        )

    def losses(self) -> tuple[Loss, ...]:
        return tuple(
            Loss(event=what, **self.load.probing.losses(at_ns, end_ns)._asdict())
            for at_ns, end_ns, what, _ in self._spans()
        )

    def _spans(self) -> Sequence[tuple[int, int, str, list[str]]]:
        ends = [at_ns for at_ns, *_ in self._told[1:]] + [time.time_ns()]
        return [(at, end, *rest) for (at, *rest), end in zip(self._told, ends, strict=True)]  # type: ignore[misc]


def start(lab: Lab, gateway: Gateway) -> None:
    """Start a gateway, and wait until it could carry traffic."""
    gateway.start()
    eventually(lambda: _not_ready(gateway), READY_S)


def _not_ready(gateway: Gateway) -> str:
    status = gateway.agent_status() or {}
    uplinks = status.get("uplinks", {}).values()
    ready = status.get("live") and uplinks and all(uplink["routes"] for uplink in uplinks)
    return "" if ready else f"{gateway.name} has learned no routes"


def restore(lab: Lab) -> None:
    """Have every gateway run, and in use."""
    for gateway in lab.gateways:
        gateway.start()
        members.undrain(lab, gateway.name)
