"""`onehop apply`: have the store hold what a topology file states."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from onehop.controller.cli.output import InputError, Json, print_json
from onehop.controller.cli.store import StoreAddress
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine.model import Topology, load

app = typer.Typer()


@app.command()
def apply(
    file: Annotated[
        typer.FileText, typer.Option("--file", "-f", help="The topology, YAML; - is the input.")
    ],
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Replace what the store states by what a file states, in one step.

    What the file does not name is removed, with the state about it. Nothing changes when the
    file has a mistake.
    """
    from onehop.controller.store.client import Store

    topology = _read(file)
    with contextlib.closing(Store(store)) as client:
        put, remove = client.apply(topology, timeout_s)
    changed = [(resource.KIND, resource.name) for resource in put]
    if as_json:
        print_json({"put": _plain(changed), "removed": _plain(remove)})
        return
    for verb, idents in (("put", changed), ("removed", remove)):
        for kind, name in idents:
            typer.echo(f"{verb} {kind} {name!r}")
    if not changed and not remove:
        typer.echo("nothing to change")


def _read(file: typer.FileText) -> Topology:
    try:
        return load(file.read(), file.name)
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name}: is not text: {error}") from error


def _plain(idents: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"kind": kind, "name": name} for kind, name in idents]
