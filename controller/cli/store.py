"""`onehop store`: run the store's server, show what the store holds."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Annotated

import typer

from onehop.controller.cli.cluster import app as cluster_app
from onehop.controller.cli.options import Directory, StoreAddress
from onehop.controller.cli.output import Json, print_json
from onehop.controller.store.server import DEFAULT_DIRECTORY, DEFAULT_REMOTE

app = typer.Typer(help="Run the store, show what it holds.", no_args_is_help=True)
app.add_typer(cluster_app, name="cluster")

Remotes = Annotated[
    list[str],
    typer.Option(
        "--remote", help="Where clients find the server; may be given several times.",
    ),
]  # fmt: skip


@app.command()
def run(
    directory: Directory = pathlib.Path(DEFAULT_DIRECTORY),
    remote: Remotes = [DEFAULT_REMOTE],  # noqa: B006 (typer copies it)
    detach: Annotated[bool, typer.Option("--detach", help="Return once it listens.")] = False,
    as_json: Json = False,
) -> None:
    """Serve the store, in the foreground unless told otherwise."""
    from onehop.controller.store import server

    if detach:
        _say(as_json, server.start(directory, remote), remote)
    else:
        command = server.prepare(directory, remote)
        sys.stdout.flush()
        os.execv(command[0], command)


def _say(as_json: bool, pid: int, remotes: list[str]) -> None:
    if as_json:
        print_json({"pid": pid, "remotes": remotes})
    else:
        typer.echo(f"the store listens at {', '.join(remotes)} (process {pid})")


@app.command()
def stop(directory: Directory = pathlib.Path(DEFAULT_DIRECTORY), as_json: Json = False) -> None:
    """Stop the server that runs over a directory; its files stay."""
    from onehop.controller.store import server

    stopped = server.stop(directory)
    if as_json:
        print_json({"stopped": stopped})
    elif not stopped:
        typer.echo(f"no server runs over {directory}")


@app.command()
def dump(
    store: StoreAddress = DEFAULT_REMOTE,
    state: Annotated[bool, typer.Option("--state", help="Also what hosts found out.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Show what the store holds: a topology file that `onehop apply` takes."""
    from onehop.controller.cli.clients import opened
    from onehop.engine.model import KINDS, STATE, dump

    with opened(store, timeout_s) as client:
        topology, held = client.topology(), client.snapshot()
    if not (as_json or state):
        typer.echo(dump(topology), nl=False)
        return
    shown = [kind for kind in KINDS.values() if state or kind not in STATE]
    print_json({kind.PLURAL: list(held[kind.KIND].values()) for kind in shown})


@app.command()
def schema() -> None:
    """Print the OVSDB schema."""
    from onehop.controller.store.schema import schema

    print_json(schema())
