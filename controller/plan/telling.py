"""What becomes of a packet after the change, in words."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np

from onehop.controller.plan.conversations import ECHO, ETH, SCTP, TCP, UDP
from onehop.controller.plan.scene import NOW_NS, Scene
from onehop.engine.explain import Verdict
from onehop.engine.rehearsal import NOBODY, answer, frame

MOST_TOLD = 200  # of each kind of finding: each costs a walk in words
BY_RULES = ("dropped by a filter", "rejected by a filter")


class Teller:
    """Says in words what becomes of a packet after the change."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def there(self, probe: np.void) -> Verdict:
        port = self._scene.names.ports[probe["key"]["in_port"]]
        simulator = self._scene.simulator(int(probe["table"]))
        return simulator.simulate(frame(probe), port, NOW_NS)

    def back(self, probe: np.void, outcome: np.void) -> Verdict:
        """The answer, when what the packet says of its connection is known."""
        verdict = self.there(probe)
        sent = answer(outcome)
        place = self._scene.table_of(self._scene.host_of(int(outcome["host"])))
        simulator = self._scene.simulator(place)
        simulator.apply(verdict, NOW_NS)
        return simulator.simulate(
            frame(sent), self._scene.names.ports[sent["key"]["in_port"]], NOW_NS
        )


def reason_of(verdict: Verdict) -> str:
    """Why it is not forwarded, and what decided that."""
    steps = [step for step in verdict.steps if not step.startswith(" ")]
    is_filtered = verdict.reason in BY_RULES
    decided = [s for s in steps if s != verdict.reason and (": rule " in s) == is_filtered]
    where = decided[-1] if decided else ""
    if verdict.kind == "await" and verdict.awaited is not None:
        wanted = verdict.awaited
        return f"the MAC of {wanted.address} at {wanted.port} is not known yet"
    return f"{verdict.reason or verdict.kind}: {where}" if where else verdict.reason


def new_way(scene: Scene, now: np.void, then: np.void) -> str:
    """Where packets would leave, and where they do now."""
    leaves = [f"{port_of(scene, o)} on {scene.host_of(int(o['host']))}" for o in (now, then)]
    return f"would leave by {leaves[1]} instead of {leaves[0]}"


def port_of(scene: Scene, outcome: np.void) -> str:
    """The one port where a packet leaves; "": none, or several."""
    port = int(outcome["port"])
    return "" if port == NOBODY else str(scene.names.ports[port])


def address_of(key: np.void, end: str) -> str:
    """`end` is src or dst."""
    size = 4 if key["eth_type"] == ETH[4] else 16
    return str(ip_address(key[f"ip_{end}"].tobytes()[:size]))


def number_of(key: np.void, end: str, echo_id: int) -> int:
    """A port, or an echo's identifier."""
    return echo_id if int(key["ip_proto"]) in ECHO else int(key[f"tp_{end}"])


def end_text(key: np.void, end: str, echo_id: int) -> str:
    """Both of them in words."""
    return text_of(address_of(key, end), number_of(key, end, echo_id))


def text_of(address: str, number: int) -> str:
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


def protocol_name(number: int) -> str:
    names = {TCP: "tcp", SCTP: "sctp", UDP: "udp"}
    return names.get(number, "icmp" if number in ECHO else str(number))
