"""The pictures of a report, as PNG files and as SVG for the page.

1. A chart draws what a result holds and computes nothing but positions.
2. Published figures look different from measured ones (hollow or hatched), and say so.
3. Text in SVG stays text, in the page's own font.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 (after the choice of the backend)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

from onehop.lab import published  # noqa: E402
from onehop.lab.results import (  # noqa: E402
    Event,
    Outage,
    Phase,
    Point,
    Result,
    ScalingResult,
    TimelineResult,
    counted,
)

INK, MUTED, GRID = "#0f172a", "#64748b", "#e2e8f0"
BLUES = ("#1d4ed8", "#3b82f6", "#93c5fd", "#bfdbfe", "#dbeafe")
TEALS = ("#0f766e", "#14b8a6", "#5eead4", "#99f6e4", "#ccfbf1")
AMBER, GREY, RED, GREEN = "#d97706", "#94a3b8", "#dc2626", "#15803d"
CAPACITY: dict[str, Any] = {"color": INK, "lw": 1.1, "ls": (0, (3, 2))}
HALO: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
PUBLISHED: dict[str, Any] = {"facecolor": "#fef3c7", "edgecolor": AMBER, "hatch": "////"}
BOUND: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "ls": "--"}
SHADES = {"downstream": BLUES, "upstream": TEALS}
STYLE = {
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
}

Draw = Callable[[], Figure]


def charts(result: Result) -> dict[str, Draw]:
    """The charts that a result has, by name."""
    match result:
        case ScalingResult():
            return {
                "throughput": lambda: throughput(result),
                "efficiency": lambda: efficiency(result),
            }
        case TimelineResult():
            return {"timeline": lambda: timeline(result), "outages": lambda: outages(result)}
    return {}


def render(draw: Draw, png: Path) -> str:
    """Write the PNG, and return the SVG for a page."""
    with plt.rc_context(STYLE):  # type: ignore[arg-type]
        figure = draw()
        figure.savefig(png, dpi=160, facecolor="white")
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True)
        plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def throughput(result: ScalingResult) -> Figure:
    """Bars by uplinks and direction; the parts of a bar are its uplinks."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    rate = result.platform.uplink_mbit
    for point in result.points:
        at = point.uplinks + (-0.2 if point.direction == "downstream" else 0.2)
        _stack(axes, at, point)
        axes.annotate(
            f"{point.mbit_per_s:.0f}",
            (at, max(point.mbit_per_s, point.uplinks * rate)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
        )
    most = max(point.uplinks for point in result.points)
    for uplinks in range(1, most + 1):
        axes.hlines(
            uplinks * rate, uplinks - 0.44, uplinks + 0.44, color=INK, lw=1.1, ls=(0, (3, 2))
        )
    axes.set_xticks(range(1, most + 1), [counted(number) for number in range(1, most + 1)])
    axes.set_ylabel("goodput, Mb/s")
    axes.set_ylim(0, most * rate * 1.16)
    axes.grid(visible=False, axis="x")
    axes.legend(
        handles=[
            Patch(color=BLUES[0], label="downstream"),
            Patch(color=TEALS[0], label="upstream"),
            Line2D(
                [], [], color=INK, lw=1.1, ls=(0, (3, 2)), label=f"shaped rate, {rate} Mb/s each"
            ),
        ],
        loc="upper left",
    )
    return figure


def _stack(axes: Axes, at: float, point: Point) -> None:
    bottom = 0.0
    total = sum(point.per_uplink) or 1.0
    for number, part in enumerate(point.per_uplink):
        height = part * point.mbit_per_s / total  # the parts are counted on the wires
        shade = SHADES[point.direction][number % len(BLUES)]
        axes.bar(at, height, 0.36, bottom, color=shade, edgecolor="white", linewidth=0.8)
        bottom += height


def efficiency(result: ScalingResult) -> Figure:
    """Goodput over capacity, beside what others published."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    most = max(point.uplinks for point in result.points)
    for direction, shade, offset in (("downstream", BLUES[1], -0.3), ("upstream", TEALS[1], -0.1)):
        mine = [point for point in result.points if point.direction == direction]
        for point in mine:
            axes.bar(point.uplinks + offset, point.efficiency, 0.18, color=shade)
            _above(axes, point.uplinks + offset, point.efficiency, f"{point.efficiency:.3f}")
    for figure_ in (known for known in published.MIDONET if known.uplinks <= most):
        at = figure_.uplinks + 0.1
        axes.bar(at, figure_.most, 0.18, lw=1, **PUBLISHED)
        if figure_.least != figure_.most:
            axes.hlines(figure_.least, at - 0.09, at + 0.09, color=AMBER, lw=1.6)
        text = f"{figure_.least:.2f}" + (
            f"–\n{figure_.most:.2f}" if figure_.least != figure_.most else ""
        )
        _above(axes, at, figure_.most, text, AMBER)
    for uplinks in range(1, most + 1):
        bound = published.neutron_bound(uplinks)
        axes.bar(uplinks + 0.3, bound, 0.18, lw=1.1, **BOUND)
        _above(axes, uplinks + 0.3, bound, f"≤ {bound:.2f}", MUTED)
    neutron = published.NEUTRON_OVS
    if neutron.uplinks <= most:
        axes.bar(neutron.uplinks + 0.3, neutron.most, 0.18, lw=1, **PUBLISHED)
        _above(axes, neutron.uplinks + 0.3, 0.02, f"{neutron.most:.2f}", AMBER)
    axes.axhline(0.94, color=GREEN, lw=1, ls=(0, (4, 3)))
    _above(axes, most + 0.36, 0.98, "0.94 wanted", GREEN)
    axes.set_xticks(range(1, most + 1), [counted(number) for number in range(1, most + 1)])
    axes.set_ylabel("goodput / capacity")
    axes.set_ylim(0, 1.32)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.grid(visible=False, axis="x")
    axes.legend(
        handles=[
            Patch(color=BLUES[1], label="onehop downstream, measured"),
            Patch(color=TEALS[1], label="onehop upstream, measured"),
            Patch(label="MidoNet, Neutron with OVS: published", **PUBLISHED),
            Patch(
                facecolor="none", edgecolor=GREY, ls="--", label="Neutron L3 HA, bound by design"
            ),
        ],
        loc="upper center",
        ncols=2,
        fontsize=9,
    )
    return figure


def timeline(result: TimelineResult) -> Figure:
    """Goodput over time, with the events and the steady windows."""
    figure, axes = plt.subplots(figsize=(11, 4.6))
    rate = result.platform.uplink_mbit
    times = [moment.t for moment in result.timeline]
    rates = [moment.mbit_per_s for moment in result.timeline]
    shade = SHADES[result.direction]
    axes.fill_between(times, rates, color=shade[2], alpha=0.45, lw=0)
    axes.plot(times, rates, color=shade[0], lw=1.4)
    top = max([*rates, *(phase.gateways * rate for phase in result.phases), 1.0])
    for phase in result.phases:
        capacity = phase.gateways * rate
        axes.hlines(capacity, phase.start, phase.end, **CAPACITY)
        axes.axvspan(phase.start, phase.end, color="#f1f5f9", lw=0, zorder=0)
        label = counted(phase.gateways, "gateway")
        if phase.efficiency is not None:
            label += f"\n{phase.mbit_per_s:.0f} Mb/s\n{phase.efficiency:.3f}"
        axes.annotate(
            label,
            ((phase.start + phase.end) / 2, _highest(result, phase, capacity)),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color=INK,
            linespacing=1.25,
            bbox=HALO,
        )
    _events(axes, result.events, top)
    axes.set_xlim(0, max([*times, 1.0]))
    axes.set_ylim(0, top * 1.58)
    axes.set_yticks(range(0, int(top) + rate, rate))
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"{result.direction} goodput, Mb/s")
    axes.grid(visible=False, axis="x")
    return figure


def _highest(result: TimelineResult, phase: Phase, capacity: float) -> float:
    """Above everything that is drawn in a phase's window."""
    inside = [m.mbit_per_s for m in result.timeline if phase.start <= m.t <= phase.end]
    return max([capacity, *inside])


def _events(axes: Axes, events: Sequence[Event], top: float) -> None:
    for event in events:
        colour = _colour(event.what)
        axes.axvline(event.t, ymax=0.80, color=colour, lw=1.1)
        axes.annotate(
            event.what,
            (event.t, top * 1.28),
            rotation=38,
            ha="left",
            va="bottom",
            fontsize=8.5,
            color=colour,
            annotation_clip=False,
        )


def _colour(what: str) -> str:
    if "stopped" in what or "leaves" in what or "does not" in what:
        return RED
    return GREEN if "carries" in what else MUTED


def outages(result: TimelineResult) -> Figure:
    """How long each event was felt, on a logarithmic scale beside published figures."""
    rows = [outage for outage in result.outages if outage.ms is not None and outage.limit_ms]
    others = published.INTERRUPTIONS
    figure, axes = plt.subplots(figsize=(7.2, 1.0 + 0.56 * (len(rows) + len(others))))
    labels = []
    for at, outage in enumerate(rows):
        _outage(axes, at, outage)
        labels.append(outage.event)
    for at, known in enumerate(others, len(rows)):
        low, high, middle = (
            1000 * s for s in (min(known.runs_s), max(known.runs_s), known.median_s)
        )
        axes.barh(at, high - low, 0.5, low, lw=1, **PUBLISHED)
        axes.plot([1000 * known.median_s], [at], "D", color=AMBER, ms=6)
        axes.annotate(
            f"{known.span}, median {known.median_s:.0f} s",
            (low, at), xytext=(-7, 0), textcoords="offset points", va="center", ha="right",
            color=MUTED, fontsize=9,
        )  # fmt: skip
        labels.append(f"{known.system}: {known.failure}\n(published)")
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(1, 120_000)
    axes.set_xticks(
        [1, 10, 100, 1000, 10_000, 60_000], ["1 ms", "10 ms", "100 ms", "1 s", "10 s", "1 min"]
    )
    axes.minorticks_off()
    axes.grid(visible=False, axis="y")
    return figure


def _outage(axes: Axes, at: int, outage: Outage) -> None:
    assert outage.ms is not None and outage.limit_ms is not None
    passed = outage.ms <= outage.limit_ms
    axes.barh(at, max(outage.ms, 1.0) - 1, 0.5, 1.0, color=BLUES[1] if passed else RED)
    axes.vlines(outage.limit_ms, at - 0.36, at + 0.36, color=GREEN, lw=1.6)
    axes.annotate(
        f"{outage.ms:.0f} ms",
        (max(outage.ms, outage.limit_ms), at),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontweight="bold",
        fontsize=9.5,
    )


def _above(axes: Axes, x: float, y: float, text: str, colour: str = INK) -> None:
    where = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center"}
    axes.annotate(text, (x, y), fontsize=8.2, color=colour, bbox=HALO, **where)  # type: ignore[arg-type]
