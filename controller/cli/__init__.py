"""The command line `onehop`: one Typer app, whose subcommands are imported when they are used.

1. `COMMANDS` is all that the root knows of a subcommand: where it is, and one line about it.
   A subcommand's module holds a `typer.Typer` named ``app``, or as `COMMANDS` says; one with a
   single command *is* that command.  A layer above (the lab) is named here and never imported
   from here.
2. Exit codes: 0 done, 1 failed, 2 usage or bad input.  Errors go to stderr, one line for each
   problem; a traceback means a bug of ours.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Subcommand(NamedTuple):
    """What the root knows of a subcommand."""

    module: str
    help: str
    app: str = "app"


COMMANDS = {
    "get": Subcommand("onehop.controller.cli.show", "List objects, or show some.", "get_app"),
    "describe": Subcommand(
        "onehop.controller.cli.show", "Tell all about an object.", "describe_app"
    ),
    "create": Subcommand("onehop.controller.cli.change", "Make an object.", "create_app"),
    "set": Subcommand("onehop.controller.cli.change", "Change an object's fields.", "set_app"),
    "delete": Subcommand("onehop.controller.cli.change", "Remove objects.", "delete_app"),
    "host": Subcommand("onehop.controller.cli.host", "Bind ports to interfaces of hosts."),
    "apply": Subcommand("onehop.controller.cli.apply", "Make the store hold what a file states."),
    "diff": Subcommand(
        "onehop.controller.cli.apply", "Show what applying a file would change.", "diff_app"
    ),
    "plan": Subcommand(
        "onehop.controller.cli.plan", "Say what applying a file would do to live connections."
    ),
    "export": Subcommand(
        "onehop.controller.cli.apply", "Print the file that the store's content is.", "export_app"
    ),
    "shell": Subcommand("onehop.controller.cli.shell", "Type commands, one after the other."),
    "api": Subcommand("onehop.controller.cli.api", "Serve the REST API."),
    "simulate": Subcommand("onehop.controller.cli.simulate", "Send packets through a file."),
    "trace": Subcommand("onehop.controller.cli.trace", "Say what becomes of a packet, live."),
    "audit": Subcommand("onehop.controller.cli.audit", "Compare switches with their engines."),
    "store": Subcommand("onehop.controller.cli.store", "Run the store, show what it holds."),
    "agent": Subcommand("onehop.controller.cli.agent", "Run the agent of a host."),
    "lab": Subcommand("onehop.lab.run", "Build a network here, with real packets."),
}


class LazyGroup(TyperGroup):
    """Lists its subcommands without importing them; turns expected errors into exit codes."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, known in COMMANDS.items():
            self.commands[name] = TyperCommand(
                name=name, help=known.help, rich_markup_mode=self.rich_markup_mode
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and load_command(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, RuntimeError) as error:
            raise typer.Exit(_report(error)) from error


def load_command(name: str) -> Any:
    """Import the subcommand `name`."""
    known = COMMANDS[name]
    subcommand = getattr(importlib.import_module(known.module), known.app)
    subcommand.rich_markup_mode = None
    command = typer.main.get_command(subcommand)
    command.name = name
    return command


def _report(error: Exception) -> int:
    from onehop.controller.cli.output import report

    return report(error)


app = typer.Typer(
    cls=LazyGroup,
    help="A virtual network whose every packet crosses the physical network in one hop.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"onehop {version('onehop')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, the installed script `onehop`; a shell if alone on a terminal."""
    alone = len(sys.argv) == 1 and sys.stdin.isatty() and sys.stdout.isatty()
    app(["shell"] if alone else None, prog_name="onehop")
