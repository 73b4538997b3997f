"""Live progress on standard error: a line for each stage, what it does and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Step = Callable[[str], None]  # one more is done, by this name


class Stages:
    """A command's stages, one after another or side by side."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=self.console,
        )

    def __enter__(self) -> Stages:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Step]:
        """`with stages.stage("nodes", 25) as step:` … `step("c1")` for each."""
        task = self.progress.add_task(name, total=total, now="")
        yield lambda now: self.progress.update(task, advance=1, now=now)
        self.progress.update(task, completed=total, now="")

    def say(self, text: str) -> None:
        self.progress.console.print(text)
