"""What every subcommand shares: the `--json` option, printing, and how errors end a command.

1. A command fails by raising: `CommandError` or an OSError ends it with 1, `InputError` or a
   `ModelError` with 2.  Any other error is a bug and keeps its traceback.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from onehop.controller.errors import CommandError, InputError
from onehop.engine.model import ModelError

__all__ = ["CommandError", "InputError", "Json", "print_json", "print_step", "report"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print `value` (plain data or structs) as JSON for people and machines."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_step(step: Any, as_json: bool) -> None:
    """Print what a change put and removed."""
    changed = [(resource.KIND, resource.name) for resource in step.put]
    if as_json:
        print_json({"put": _idents(changed), "removed": _idents(step.remove)})
        return
    for verb, idents in (("put", changed), ("removed", step.remove)):
        for kind, name in idents:
            typer.echo(f"{verb} {kind} {name!r}")
    if not changed and not step.remove:
        typer.echo("nothing to change")


def _idents(idents: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"kind": kind, "name": name} for kind, name in idents]


def report(error: Exception) -> int:
    """Print an expected error, one line for each problem, and return the exit code it means.

    Raises the error again where it is not expected.
    """
    match error:
        case BrokenPipeError():
            raise error
        case ModelError() | InputError():
            code = 2
        case CommandError() | OSError():
            code = 1
        case _:
            raise error
    for line in str(error).splitlines():
        print(f"onehop: {line}", file=sys.stderr)
    return code
