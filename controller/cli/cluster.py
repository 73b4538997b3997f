"""`onehop store cluster`: several servers that hold one store."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from onehop.controller.cli.options import Directory, StoreAddress
from onehop.controller.cli.output import Json, print_json
from onehop.controller.store.server import DEFAULT_DIRECTORY, DEFAULT_REMOTE

app = typer.Typer(help="Several servers that hold one store.", no_args_is_help=True)

Address = Annotated[
    str,
    typer.Option("--address", help="Where the other members find this one: tcp:ADDRESS:PORT."),
]
File = Annotated[pathlib.Path, typer.Argument(metavar="FILE")]
DIRECTORY = pathlib.Path(DEFAULT_DIRECTORY)


@app.command()
def init(
    address: Address,
    directory: Directory = DIRECTORY,
    election_ms: Annotated[
        int, typer.Option(help="A leader that is silent for so long is replaced.", min=100)
    ] = 500,
) -> None:
    """Make the first member; it keeps what a single server left here. Then: onehop store run."""
    from onehop.controller.store import cluster

    cluster.create(directory, address, election_ms)
    typer.echo(f"{directory} is the first member of a cluster, at {address}")


@app.command()
def join(
    peers: Annotated[list[str], typer.Argument(metavar="PEER…", help="Addresses of members.")],
    address: Address,
    directory: Directory = DIRECTORY,
) -> None:
    """Make a further member, which begins with nothing. Then: onehop store run."""
    from onehop.controller.store import cluster

    cluster.join(directory, address, peers)
    typer.echo(f"{directory} joins {', '.join(peers)} when it runs, as {address}")


@app.command()
def status(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Tell how the member that runs over a directory sees the cluster."""
    from onehop.controller.store import cluster

    found = cluster.status(directory)
    if as_json:
        print_json(found)
        return
    typer.echo(
        f"{found.id}: {found.role}, {found.status}; leader {found.leader}, term {found.term}"
    )
    for member in found.servers:
        typer.echo(f"  {member.id}  {member.address}{_words(member, found)}")


def _words(member: Any, found: Any) -> str:
    leads = member.id == found.leader or (member.self and found.leader == "self")
    words = ["this one"] * member.self + ["leader"] * leads
    return f"  ({', '.join(words)})" if words else ""


@app.command()
def backup(file: File, store: StoreAddress = DEFAULT_REMOTE) -> None:
    """Write all that the store holds to a file; the store goes on meanwhile."""
    from onehop.controller.store import cluster

    cluster.backup(store, file)


@app.command()
def restore(file: File, store: StoreAddress = DEFAULT_REMOTE) -> None:
    """Have the store hold what a backup holds, and nothing else."""
    from onehop.controller.store import cluster

    cluster.restore(store, file)


@app.command()
def upgrade(store: StoreAddress = DEFAULT_REMOTE, as_json: Json = False) -> None:
    """Give a running store this version's schema; what it holds stays."""
    from onehop.controller.store import cluster

    done = cluster.upgrade(store)
    if as_json:
        print_json({"upgraded": done})
    elif not done:
        typer.echo("nothing to change")
