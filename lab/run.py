"""`onehop lab run SCENARIO` and `onehop lab demo`; with these the lab's commands are complete.

1. `run` uses the lab that is up; where none is, it brings up one of its own and takes it down.
2. `demo` is what `make lab` does: up, scaling, failover, down, and the report.
3. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from onehop.controller.cli.output import InputError
from onehop.lab import commands, results, scenarios, state, up
from onehop.lab import platform as platforms
from onehop.lab.commands import Computes, File, Gateways, Mtu, UplinkMbit, app
from onehop.lab.gateways import How
from onehop.lab.lab import Lab
from onehop.lab.results import Result
from onehop.lab.screen import Screen
from onehop.lab.state import LabError
from onehop.lab.traffic import LoadDirection

JsonFile = Annotated[
    pathlib.Path | None, typer.Option("--json", help="Write the result here; - prints it.")
]
Reports = Annotated[pathlib.Path, typer.Option(help="Where the report is written.")]
FailoverHow = Literal[How, "drain"]
HowOption = Annotated[FailoverHow, typer.Option(help="How gateways stop (failover).")]
DirectionOption = Annotated[
    LoadDirection, typer.Option(help="Which way the load goes (failover, elastic).")
]
Streams = Annotated[int, typer.Option(min=1, max=32, help="TCP streams of each machine.")]


@app.command("run")
def run_command(
    scenario: Annotated[str, typer.Argument(help=f"One of: {', '.join(scenarios.NAMES)}.")],
    how: HowOption = "kill",
    direction: DirectionOption = "downstream",
    streams: Streams = 4,
    computes: Computes = None,
    gateways: Gateways = None,
    uplink_mbit: UplinkMbit = None,
    mtu: Mtu = None,
    file: File = None,
    json: JsonFile = None,
    report: Annotated[
        pathlib.Path | None, typer.Option(help="Also write charts and a page to this folder.")
    ] = None,
) -> None:
    """Run a scenario, in the lab that is up or in one of its own."""
    if scenario not in scenarios.NAMES:
        raise InputError(f"scenario {scenario!r}: one of {', '.join(scenarios.NAMES)}")
    given = commands.options(computes, gateways, uplink_mbit, mtu, file)
    options = {"how": how, "direction": direction, "streams": streams}
    needed = {"store": 3} if scenario == "store" else {}
    with a_lab(given, needed) as lab:
        result = play(lab, scenario, **options)
    _write_json([result], json)
    if report:
        _write_report([result], report)
    _end([result])


@app.command("demo")
def demo_command(
    how: HowOption = "kill",
    computes: Computes = None,
    gateways: Gateways = None,
    uplink_mbit: UplinkMbit = None,
    mtu: Mtu = None,
    file: File = None,
    reports: Reports = pathlib.Path("reports"),
    json: JsonFile = None,
) -> None:
    """Bring up a lab, show scaling and failover, take it down, write the report."""
    began = time.monotonic()
    given = commands.options(computes, gateways, uplink_mbit, mtu, file)
    found = []
    with own_lab(given) as lab:
        _console().print(commands.summary(lab))
        found.append(play(lab, "scaling"))
        found.append(play(lab, "failover", how=how))
    page = _write_report(found, reports)
    _write_json(found, json)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    _console().print(f"\nThe report: {page.resolve()} ({minutes} min {seconds:02} s in all)")
    _end(found)


@contextmanager
def a_lab(given: dict[str, Any], needed: dict[str, Any]) -> Iterator[Lab]:
    """The lab that is up, or one of our own, which has what is needed."""
    if not up.held(state.home()):
        with own_lab(given | needed) as lab:
            yield lab
        return
    stated = [name for name, value in given.items() if value is not None]
    if stated:
        raise InputError(
            f"--{stated[0].replace('_', '-')}: a lab is up already, with options of its own; "
            "`onehop lab down` ends it"
        )
    yield Lab.attach()


@contextmanager
def own_lab(given: dict[str, Any]) -> Iterator[Lab]:
    """A lab for this command alone."""
    with ExitStack() as stack:
        lab = commands.bring_up(given, platforms.detect())
        stack.callback(up.down)
        yield lab


def play(lab: Lab, name: str, **options: Any) -> Result:
    """Run a scenario with live progress, and print what it found."""
    title = {"failover": f"failover: {options.get('how', 'kill')}"}.get(name, name)
    with _alone(lab), Screen(title, lab.state.options.uplink_mbit) as screen:
        result = _scenario(name)(lab, screen, **_taken(name, options))
    show(result)
    return result


@contextmanager
def _alone(lab: Lab) -> Iterator[None]:
    """Two scenarios would measure each other."""
    with (lab.directory / "scenario.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("a scenario runs in this lab already: wait until it ends") from None
        yield


def _scenario(name: str) -> Callable[..., Result]:
    from onehop.lab.scenarios import elastic, failover, onehop, scaling, stateful, store

    known: dict[str, Callable[..., Result]] = {
        "scaling": scaling.run,
        "failover": failover.run,
        "onehop": onehop.run,
        "elastic": elastic.run,
        "stateful": stateful.run,
        "store": store.run,
    }
    return known[name]


def _taken(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a scenario has."""
    takes = {
        "scaling": {"streams"},
        "failover": {"how", "direction", "streams"},
        "elastic": {"direction", "streams"},
        "onehop": set[str](),
        "stateful": set[str](),
        "store": set[str](),
    }
    return {option: value for option, value in options.items() if option in takes[name]}


def show(result: Result) -> None:
    """Print a result's tables."""
    from onehop.lab.tables import tables

    for table in tables(result):
        _console().print(table)
    _console().print(verdict(result))


def verdict(result: Result) -> Table:
    """The checks; those that failed stand out."""
    title = f"{result.scenario}: {'passed' if result.passed else 'FAILED'}"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("")
    table.add_column("check")
    table.add_column("measured")
    for check in result.checks:
        mark = "[green]✓[/green]" if check.passed else "[bold red]✗[/bold red]"
        style = "" if check.passed else "red"
        table.add_row(mark, f"[{style}]{check.name}" if style else check.name, check.detail)
    return table


def _write_json(found: list[Result], path: pathlib.Path | None) -> None:
    """One result as itself, several as a list."""
    if path is None:
        return
    text = results.to_json(found[0] if len(found) == 1 else found) + b"\n"
    if str(path) == "-":
        typer.echo(text.decode(), nl=False)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def _write_report(found: list[Result], folder: pathlib.Path) -> pathlib.Path:
    os.environ.setdefault("MPLCONFIGDIR", "/tmp/onehop-matplotlib")
    from onehop.lab.report import write

    return write(found, folder)


def _end(found: list[Result]) -> None:
    if not all(result.passed for result in found):
        raise typer.Exit(1)


def _console() -> Console:
    return Console(stderr=True)
