"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from onehop.lab.results import (
    FailoverResult,
    OnehopResult,
    Result,
    ScalingResult,
    TimelineResult,
)


def tables(result: Result) -> Iterator[Table]:
    """The figures of a result."""
    match result:
        case ScalingResult():
            yield points(result)
        case TimelineResult():
            yield phases(result)
            yield outages(result)
            yield connections(result)
            if isinstance(result, FailoverResult) and result.losses:
                yield losses(result)
        case OnehopResult():
            yield crossings(result)


def points(result: ScalingResult) -> Table:
    table = _table(
        "Throughput by uplinks, all machines at once",
        ("uplinks", "direction", "Mb/s", "efficiency", "per uplink, Mb/s", "wires differ by"),
    )
    for point in result.points:
        table.add_row(
            str(point.uplinks),
            point.direction,
            f"{point.mbit_per_s:.0f}",
            f"{point.efficiency:.3f}",
            "  ".join(f"{rate:.0f}" for rate in point.per_uplink),
            f"{point.disagreement:.2%}",
        )
    return table


def phases(result: TimelineResult) -> Table:
    table = _table("Steady phases", ("gateways", "from", "to", "Mb/s", "efficiency"))
    for phase in result.phases:
        table.add_row(
            str(phase.gateways),
            f"{phase.start:.1f} s",
            f"{phase.end:.1f} s",
            f"{phase.mbit_per_s:.0f}",
            "" if phase.efficiency is None else f"{phase.efficiency:.3f}",
        )
    return table


def outages(result: TimelineResult) -> Table:
    table = _table(
        "Longest gap in the 1 kHz probe streams",
        ("event", "upstream", "downstream", "other gateways' streams", "limit", "lost in a row"),
    )
    for outage in result.outages:
        table.add_row(
            outage.event,
            milliseconds(outage.upstream_ms),
            milliseconds(outage.downstream_ms),
            milliseconds(outage.others_ms),
            milliseconds(outage.limit_ms),
            str(outage.lost_in_a_row),
        )
    return table


def connections(result: TimelineResult) -> Table:
    table = _table("Long-lived TCP connections", ("by way of", "tried", "opened", "broken"))
    for kind, found in result.connections.by_kind.items():
        table.add_row(kind, str(found.tried), str(found.opened), str(found.broken))
    return table


def losses(result: FailoverResult) -> Table:
    table = _table("Lost of the probe streams", ("event", "sent", "upstream", "downstream"))
    for loss in result.losses:
        table.add_row(loss.event, str(loss.sent), str(loss.upstream), str(loss.downstream))
    return table


def crossings(result: OnehopResult) -> Table:
    table = _table("On the underlay's links", ("packets", "sent", "hops each", "links"))
    for crossing in result.crossings:
        table.add_row(
            crossing.what,
            str(crossing.sent),
            "" if crossing.hops is None else f"{crossing.hops:.2f}",
            "  ".join(f"{name} {count}" for name, count in crossing.links.items()) or "none",
        )
    return table


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
