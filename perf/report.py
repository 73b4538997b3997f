"""The run's findings as a table, as JSON, and as charts against scale."""

from __future__ import annotations

import json
import os
import pathlib
import platform
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from record import OURS, Sample
from rich.console import Console
from rich.table import Table
from targets import Finding

Lines = dict[str, list[tuple[int, Sample]]]
PANELS = (  # of bench.png
    ("first packet, stateful", "batch"),
    ("first packet, L3", "batch"),
    ("first packet at scale", "thousand_ports"),
    ("flow lookup", "flows"),
    ("rules, acl", "rules"),
    ("conntrack inserts", "entries"),
    ("conntrack lookups", "entries"),
    ("Maglev rebuild", "members"),
    ("agent", "connections"),
    ("OVS, delivered of a second's first packets", "rate"),
    ("OVS, a first packet's delay, median", "connections"),
    ("OVS, topology change p99", "flows"),
)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and beside what."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": list(os.getloadavg()),
    }


def show(findings: Sequence[Finding], where: dict[str, Any]) -> None:
    table = Table("what", "target", "peer", "measured", "± spread", "ratio", "met")
    for found in findings:
        ratio = f"{found.ratio:.3g}" if found.ratio else ""
        spread = f"{found.spread:.2g}" if found.spread and found.spread < 1000 else ""
        if found.spread and found.spread >= 1000:
            spread = f"{found.spread / 1e6:.2g} M" if found.spread > 1e5 else f"{found.spread:.0f}"
        met = "[green]met[/]" if found.met else "[red]not met[/]"
        table.add_row(found.name, found.target, found.peer, found.measured, spread, ratio, met)
    console = Console(width=max(120, Console().width))
    console.print(table)
    for found in findings:
        if not found.met:
            console.print(f"not met: {found.name}: {found.reason}", highlight=False)
    load = ", ".join(f"{n:.1f}" for n in where["load"])
    console.print(
        f"{where['cpu']}, {where['cpus']} CPUs, Linux {where['kernel']}, Python {where['python']};"
        f" load {where['load_before'][0]:.1f} before, {load} after. Medians; spread is between the"
        " quartiles. µs and /s of the engine are of CPU time.",
        highlight=False,
    )


def save(
    findings: Sequence[Finding], samples: Sequence[Sample], where: dict[str, Any],
    folder: pathlib.Path,
) -> None:  # fmt: skip
    folder.mkdir(exist_ok=True)
    document = {
        "platform": where,
        "targets": [msgspec.to_builtins(found) for found in findings],
        "samples": [msgspec.to_builtins(sample) for sample in samples],
    }
    (folder / "bench.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def draw(samples: Sequence[Sample], folder: pathlib.Path) -> None:
    """One chart of each thing that was measured at several scales, bench-*.png; bench.png: those
    of the targets together."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    charts = curves(samples)
    for (what, axis), lines in charts.items():
        figure, axes = pyplot.subplots(figsize=(6, 4))
        plot(axes, what, axis, lines)
        name = "".join(c if c.isalnum() else "-" for c in f"{what} {axis}".lower())
        _save(figure, folder / f"bench-{name}.png", 110)
    shown = [chart for chart in PANELS if chart in charts]
    if len(shown) < len(PANELS):
        return
    figure, grid = pyplot.subplots(4, 3, figsize=(15, 15))
    for axes, chart in zip(grid.flat, shown, strict=True):
        plot(axes, *chart, charts[chart])
    _save(figure, folder / "bench.png", 60)


def curves(samples: Sequence[Sample]) -> dict[tuple[str, str], Lines]:
    """By what was measured and against which scale: each rival's line, of three points or more."""
    found: dict[tuple[str, str], Lines] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        for axis, at in sample.scale.items():
            others = ", ".join(f"{v:,} {k}" for k, v in sample.scale.items() if k != axis)
            line = f"{sample.who}" + (f", {others}" if others else "")
            found[sample.what, axis][line].append((at, sample))
    return {
        chart: lines for chart, lines in found.items()
        if max(len({at for at, _ in points}) for points in lines.values()) > 2
    }  # fmt: skip


def plot(axes: Any, what: str, axis: str, lines: Lines) -> None:
    ours_first = sorted(lines.items(), key=lambda line: (not line[0].startswith(OURS), line[0]))
    for name, points in ours_first:
        points.sort(key=lambda point: point[0])
        xs, ys = [at for at, _ in points], [s.value for _, s in points]
        spread = [s.spread / 2 for _, s in points]
        axes.errorbar(xs, ys, yerr=spread, marker="o", label=name,
                      linewidth=2 if name.startswith(OURS) else 1)  # fmt: skip
    unit = next(iter(lines.values()))[0][1].unit
    # What begins at 0 has no place on a scale of powers.
    across = "symlog" if min(at for points in lines.values() for at, _ in points) == 0 else "log"
    axes.set(xscale=across, yscale="log", title=what, xlabel=axis.replace("_", " "), ylabel=unit)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high * 2)  # what is flat looks flat
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3, which="both")


def _save(figure: Any, path: pathlib.Path, dpi: int) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, dpi=dpi)
    pyplot.close(figure)
