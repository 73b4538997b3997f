"""A scenario's live progress: what is being done, what each uplink carries, what happened.

On a terminal it is one picture that moves; elsewhere each step and each event is a line.
"""

from __future__ import annotations

import time
from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from onehop.lab.meter import Rate

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48


class Screen:
    """Where a scenario shows itself."""

    def __init__(self, title: str, uplink_mbit: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.title, self.uplink_mbit = title, uplink_mbit
        self._began = time.monotonic()
        self._doing = ""
        self._rate: Rate | None = None
        self._history: deque[float] = deque(maxlen=_WIDTH)
        self._live = Live(
            get_renderable=self._render, console=self.console, transient=True, refresh_per_second=4
        )

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        else:
            self.console.print(self.title)
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def doing(self, what: str) -> None:
        """From now on `what` is being done."""
        self._doing = what
        if not self.console.is_terminal:
            self._line(what)

    def event(self, what: str) -> None:
        """This happened; it stays on the screen."""
        self._line(what)

    def rate(self, rate: Rate) -> None:
        """What is being carried now."""
        self._rate = rate
        self._history.append(rate.bps)

    def _line(self, what: str) -> None:
        self.console.print(
            f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {what}", highlight=False
        )

    def _render(self) -> RenderableType:
        seconds = time.monotonic() - self._began
        head = Text.assemble((f" {self.title} ", "bold reverse"), f"  {seconds:5.1f} s  ")
        head.append(self._doing, "cyan")
        parts: list[RenderableType] = [head]
        if self._rate:
            parts += [self._uplinks(self._rate), self._total(self._rate)]
        return Group(*parts)

    def _uplinks(self, rate: Rate) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, bps in sorted(rate.wires_bps.items()):
            share = bps / 1e6 / self.uplink_mbit
            table.add_row(f"  {name}", bar(share), f"{bps / 1e6:6.0f} Mb/s", f"{share:4.0%}")
        return table

    def _total(self, rate: Rate) -> Text:
        most = max(len(rate.wires_bps), 1) * self.uplink_mbit * 1e6
        line = "".join(_BLOCKS[level(bps / most)] for bps in self._history)
        return Text.assemble(
            "  all ", (f"{line:<{_WIDTH}}", "green"), f" {rate.bps / 1e6:6.0f} Mb/s"
        )


def bar(share: float, width: int = 30) -> Text:
    """A bar of `share`, which may be over 1 for a moment."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble(("━" * full, "green"), ("━" * (width - full), "bright_black"))


def level(share: float) -> int:
    """The block for a share: empty only for nothing."""
    if share <= 0.005:
        return 0
    return min(1 + int(share * (len(_BLOCKS) - 1)), len(_BLOCKS) - 1)
