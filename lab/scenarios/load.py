"""What runs while gateways go and come: the load, the probes, the long-lived connections.

1. All of it starts before the first event and lasts until `finish`.
2. `phase` is the only place where a phase's throughput is taken: it settles, then measures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from onehop.lab import ways
from onehop.lab.lab import Lab
from onehop.lab.meter import Meter, Rate, between
from onehop.lab.probing import Probing
from onehop.lab.recorder import Recorder
from onehop.lab.results import Connections, Kind, Phase, counted
from onehop.lab.screen import Screen
from onehop.lab.sessions import Sessions
from onehop.lab.state import LabError
from onehop.lab.traffic import LoadDirection, Traffic

SETTLE_S, WINDOW_S = 3.0, 5.0
AIM_SETTLE_S = 0.5
AIM_TRIES = 5
CARRIES_SHARE = 0.1  # of its rate, or of its share: an uplink that carries so much is in use


class Load:
    """Traffic, probes and connections of one scenario."""

    AFTER_NONE_S = 7.0  # TCP waits longer and longer while nothing answers: up to 6.4 s by then

    def __init__(
        self,
        lab: Lab,
        screen: Screen,
        directory: Path,
        direction: LoadDirection,
        streams: int,
        *,
        offered_bps: float | None = None,
    ) -> None:
        """Without `offered_bps` the load takes all that the uplinks give."""
        self.lab, self.screen = lab, screen
        self.uplink_bps = lab.state.options.uplink_mbit * 1e6
        self._directory = directory
        self._stack = ExitStack()
        self._offered_bps = offered_bps
        self._traffic = Traffic(
            lab.machines, lab.clients, direction, streams=streams, offered_bps=offered_bps
        )

    def __enter__(self) -> Load:
        with ExitStack() as stack:
            self.screen.doing("opening the long-lived connections")
            self.sessions = Sessions(ways.pairs(self.lab), ways.listeners(self.lab))
            stack.callback(self.sessions.kill)
            if self.sessions.wait_open() == 0:
                raise LabError(
                    "no connection between the machines and the outside could be opened"
                )
            self.probing = Probing(self.lab, self._directory)
            stack.callback(self.probing.kill)
            self.screen.doing("connecting iperf3's streams")
            stack.enter_context(self._traffic)
            receivers = stack.enter_context(self._traffic.receivers())
            meter = Meter(self.lab, receivers, self._traffic.direction)
            self.recorder = Recorder(meter, self.screen, self._traffic.check)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def phase(
        self,
        gateways: Collection[str],
        *,
        settle_s: float | None = None,
        window_s: float = WINDOW_S,
    ) -> Phase:
        """Let the load settle, then measure it."""
        number = len(gateways)
        self.screen.doing(f"{counted(number, 'gateway')}: letting TCP settle")
        self.recorder.hold(SETTLE_S if settle_s is None else settle_s)
        self.screen.doing(f"{counted(number, 'gateway')}: measuring")
        first, last = self.recorder.window(window_s)
        rate = between(first, last)
        return Phase(
            gateways=number,
            mbit_per_s=round(rate.bps / 1e6, 1),
            efficiency=round(rate.bps / self._wanted_bps(number), 4) if number else None,
            start=self.recorder.t(first.at_ns),
            end=self.recorder.t(last.at_ns),
        )

    def _wanted_bps(self, gateways: int) -> float:
        capacity = gateways * self.uplink_bps
        return min(self._offered_bps, capacity) if self._offered_bps else capacity

    def aim(self, gateways: Collection[str]) -> None:
        """Have a probe stream of each direction cross each of these gateways."""
        self.screen.doing("aiming probe streams at: " + " ".join(gateways))
        for _ in range(AIM_TRIES):
            if not any(self.probing.aim(gateways).values()):
                break
            self.recorder.hold(AIM_SETTLE_S)
        self.recorder.hold(AIM_SETTLE_S)

    def carries(self, gateway: str, timeout_s: float) -> bool:
        """Wait until the load uses this gateway."""
        self.screen.doing(f"waiting until {gateway} carries traffic")
        fair_bps = self.uplink_bps
        if self._offered_bps:
            fair_bps = min(fair_bps, self._offered_bps / len(self.lab.gateways))

        def used(rate: Rate) -> bool:
            return rate.wires_bps.get(gateway, 0.0) > CARRIES_SHARE * fair_bps

        return self.recorder.until(used, timeout_s)

    def finish(self) -> Connections:
        """End it all, in an order that breaks nothing; what became of the connections."""
        self.screen.doing("asking every connection for a last echo")
        self.probing.stop()
        self._traffic.stop()
        outcome = self.sessions.stop()
        for reason in outcome.reasons:
            self.screen.event(reason)
        return Connections(
            tried=sum(tally.tried for tally in outcome.by_kind.values()),
            opened=sum(tally.opened for tally in outcome.by_kind.values()),
            broken=sum(tally.broken for tally in outcome.by_kind.values()),
            silence_ms=round(outcome.silence_ms, 1),
            broken_after=self.recorder.after(outcome.broken_s),
            by_kind={kind: Kind(**tally._asdict()) for kind, tally in outcome.by_kind.items()},
        )


@contextmanager
def putting_back(restore: Callable[[], None]) -> Iterator[None]:
    """Call `restore` in the end; where the block failed, its error is the one that is told."""
    try:
        yield
    except BaseException:
        with suppress(LabError):
            restore()
        raise
    restore()
