"""The report of some results: JSON, PNG charts and one page that needs nothing else.

1. The page shows what the results hold, and published figures, each labelled as what it is.
2. It is one file: charts are in it as SVG, styles too; nothing is loaded from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from onehop.lab import published, results
from onehop.lab.charts import charts, render
from onehop.lab.results import (
    FailoverResult,
    OnehopResult,
    Result,
    ScalingResult,
    TimelineResult,
)

PAGE = "index.html"
TEMPLATE = "report.html.j2"


class Tile(NamedTuple):
    """One figure at the head of the page."""

    figure: str
    unit: str
    what: str
    passed: bool


def write(found: Sequence[Result], folder: Path) -> Path:
    """Write everything into `folder`; where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, dict[str, Markup]] = {}
    for result in found:
        name = result.scenario
        (folder / f"{name}.json").write_bytes(results.to_json(result) + b"\n")
        pictures[name] = {
            chart: Markup(render(draw, folder / f"{name}-{chart}.png"))  # noqa: S704 (ours)
            for chart, draw in charts(result).items()
        }
    page = folder / PAGE
    page.write_text(render_page(found, pictures))
    return page


def render_page(found: Sequence[Result], pictures: dict[str, dict[str, Markup]]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["ms"] = milliseconds
    return environment.get_template(TEMPLATE).render(
        results=found,
        by_name={result.scenario: result for result in found},
        pictures=pictures,
        tiles=[tile for result in found for tile in tiles(result)],
        passed=all(result.passed for result in found),
        platform=found[-1].platform,
        published=published,
        kinds={result.scenario: kind(result) for result in found},
    )


def kind(result: Result) -> str:
    """Which part of the template shows a result."""
    match result:
        case ScalingResult():
            return "scaling"
        case TimelineResult():
            return "timeline"
        case OnehopResult():
            return "crossings"
    return "checks"


def tiles(result: Result) -> list[Tile]:
    """The figures that matter most."""
    match result:
        case ScalingResult():
            return _scaling_tiles(result)
        case TimelineResult():
            return _timeline_tiles(result)
    return []


def _scaling_tiles(result: ScalingResult) -> list[Tile]:
    least = min(point.efficiency for point in result.points)
    most = max(point.uplinks for point in result.points)
    largest = max(point.mbit_per_s for point in result.points)
    one = [point for point in result.points if point.uplinks == 1]
    growth = [
        point.mbit_per_s / single.mbit_per_s
        for single in one
        for point in result.points
        if point.uplinks == most and point.direction == single.direction and single.mbit_per_s
    ]
    found = [
        Tile(
            f"{least:.1%}"[:-1], "%", "of the uplinks' capacity used, at the least", result.passed
        ),
        Tile(f"{largest:.0f}", "Mb/s", f"through {most} uplinks at once", result.passed),
    ]
    if growth and most > 1:
        found.insert(
            1, Tile(f"{min(growth):.2f}", "×", f"from 1 to {most} uplinks", result.passed)
        )
    return found


def _timeline_tiles(result: TimelineResult) -> list[Tile]:
    found = []
    limited = [o for o in result.outages if o.ms is not None and o.limit_ms is not None]
    if limited:
        worst = max(limited, key=lambda outage: outage.ms or 0.0)
        kept = all((o.ms or 0.0) <= (o.limit_ms or 0.0) for o in limited)
        what = f"the longest outage ({worst.event})"
        found.append(Tile(f"{worst.ms:.0f}", "ms", what, kept))
    if isinstance(result, FailoverResult) and result.losses:
        lost = sum(loss.upstream + loss.downstream for loss in result.losses)
        found.append(Tile(str(lost), "", "packets lost while draining", lost == 0))
    connections = result.connections
    what = f"of {connections.opened} long-lived connections broken"
    found.append(Tile(str(connections.broken), "", what, connections.broken == 0))
    return found


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}\u202fms"
