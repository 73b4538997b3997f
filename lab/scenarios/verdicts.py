"""What the figures of gateways that go and come decide: the checks of failover and elastic."""

from __future__ import annotations

from onehop.lab.probing import Gaps
from onehop.lab.results import Check, Connections, Loss, Outage, Phase, counted

LEAST = 0.94  # efficiency
RETURN_S = 30.0


def outage_of(
    event: str, found: Gaps, *, limit_ms: float | None = None, lost_limit: int | None = None
) -> Outage:
    """What an event did to the streams that were looked at together."""
    return Outage(
        event=event,
        ms=found.ms,
        upstream_ms=found.upstream,
        downstream_ms=found.downstream,
        others_ms=None,
        lost_in_a_row=found.lost_in_a_row,
        lost_limit=lost_limit,
        limit_ms=limit_ms,
    )


def check_outage(outage: Outage) -> Check:
    if outage.upstream_ms is None or outage.downstream_ms is None or outage.ms is None:
        return Check(f"outage: {outage.event}", False, "no probe stream crossed it before")
    detail = (
        f"{outage.ms:.0f} ms (up {outage.upstream_ms:.0f}, down {outage.downstream_ms:.0f}); "
        f"{outage.limit_ms:.0f} ms at most wanted"
    )
    assert outage.limit_ms is not None
    passed = outage.ms <= outage.limit_ms
    if outage.lost_limit is not None:
        detail += f", {outage.lost_in_a_row} packets lost in a row; {outage.lost_limit} at most"
        passed &= outage.lost_in_a_row <= outage.lost_limit
    return Check(f"outage: {outage.event}", passed, detail)


def check_phase(phase: Phase) -> Check:
    assert phase.efficiency is not None
    detail = f"{phase.efficiency:.3f} ({phase.mbit_per_s:.0f} Mb/s); {LEAST} wanted"
    name = f"throughput of {counted(phase.gateways, 'gateway')} at {phase.start:.0f} s"
    return Check(name, phase.efficiency >= LEAST, detail)


def check_returned(returned: dict[str, bool]) -> list[Check]:
    """Every gateway is in use again."""
    return [
        Check(f"{name} came back by itself", back, f"within {RETURN_S:.0f} s")
        for name, back in returned.items()
    ]


def check_connections(connections: Connections) -> list[Check]:
    """One for each kind."""
    return [
        Check(
            f"no long-lived connection broken: {kind}",
            found.opened == found.tried and found.broken == 0,
            f"{found.opened} of {found.tried} opened, {found.broken} broken",
        )
        for kind, found in connections.by_kind.items()
    ] or [Check("no long-lived connection broken", False, "none was tried")]


def check_loss(loss: Loss) -> Check:
    """Nothing sent between an event and the next one is missing."""
    lost = loss.upstream + loss.downstream
    detail = f"{lost} of {loss.sent} packets lost (up {loss.upstream}, down {loss.downstream})"
    return Check(f"nothing lost: {loss.event}", loss.sent > 0 and lost == 0, detail)
