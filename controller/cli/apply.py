"""`onehop apply`, `onehop diff`, `onehop export`: the whole of what is stated, as a file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from onehop.controller.cli.objects import Timeout, opened, words
from onehop.controller.cli.options import StoreAddress
from onehop.controller.cli.output import InputError, Json, print_json, print_step
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine.model import Resource, Topology, dump, load
from onehop.engine.model.values import fields_of

app = typer.Typer()
diff_app = typer.Typer()
export_app = typer.Typer()

DIFFERS = 3  # the exit code of `diff` where something would change

File = Annotated[
    typer.FileText, typer.Option("--file", "-f", help="The topology, YAML; - is the input.")
]


@app.command()
def apply(
    file: File,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Replace what the store states by what a file states, in one step.

    What the file does not name is removed, with the state about it. Nothing changes when the
    file has a mistake.
    """
    topology = read_file(file)
    with opened(store, timeout_s) as client:
        print_step(client.apply(topology, timeout_s), as_json)


@diff_app.command()
def diff(
    file: File,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Show what `apply` would change; the exit code is 3 when it would change something."""
    topology = read_file(file)
    with opened(store, timeout_s) as client:
        held, (put, remove) = client.held, client.difference(topology)
        changes: list[tuple[Resource | None, Resource | None]] = []
        changes += [(held.get((r.KIND, r.name)), r) for r in put]
        changes += [(held[ident], None) for ident in remove]
    if as_json:
        print_json([{"before": before, "after": after} | _ident(before or after)
                    for before, after in changes])  # fmt: skip
    else:
        for before, after in changes:
            typer.echo(_line(before, after))
    if changes:
        raise typer.Exit(DIFFERS)


@export_app.command()
def export(store: StoreAddress = DEFAULT_REMOTE, timeout_s: Timeout = 5.0) -> None:
    """Print what is stated as a file that `apply` takes; applied again it changes nothing."""
    with opened(store, timeout_s) as client:
        typer.echo(dump(client.topology()), nl=False)


def read_file(file: typer.FileText) -> Topology:
    try:
        return load(file.read(), file.name)
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name}: is not text: {error}") from error


def _ident(resource: Resource | None) -> dict[str, str]:
    return {"kind": resource.KIND, "name": resource.name} if resource else {}


def _line(before: Resource | None, after: Resource | None) -> str:
    if before is None and after is not None:
        return f"+ {after.KIND} {after.name!r}: {_fields(_stated(after))}"
    if before is not None and after is None:
        return f"- {before.KIND} {before.name!r}"
    assert before is not None and after is not None
    changed = {
        field.name: f"{_word(getattr(before, field.name))} -> {_word(getattr(after, field.name))}"
        for field in fields_of(type(after))
        if getattr(before, field.name) != getattr(after, field.name)
    }
    return f"~ {after.KIND} {after.name!r}: {_fields(changed)}"


def _stated(resource: Resource) -> dict[str, str]:
    named = {f.name: getattr(resource, f.name) for f in fields_of(type(resource))}
    return {name: _word(v) for name, v in named.items() if name != "name" and v not in (None, ())}


def _fields(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _word(value: Any) -> str:
    return words(value) or "none"
