"""`onehop api`: serve the REST API, and its tokens."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

import typer

from onehop.controller.cli.options import StoreAddress
from onehop.controller.cli.output import CommandError, Json, print_json
from onehop.controller.store.server import DEFAULT_REMOTE

app = typer.Typer(help="Serve the REST API.")
token_app = typer.Typer(help="Who may use the API.", no_args_is_help=True)
app.add_typer(token_app, name="token")

Directory = Annotated[
    pathlib.Path,
    typer.Option(
        "--directory", envvar="ONEHOP_API_DIRECTORY",
        help="Where the tokens and the audit log are.",
    ),
]  # fmt: skip
DIRECTORY = pathlib.Path("/var/lib/onehop/api")


@app.callback(invoke_without_command=True)
def run(
    ctx: typer.Context,
    listen: Annotated[
        str, typer.Option("--listen", envvar="ONEHOP_API_LISTEN", help="ADDRESS:PORT")
    ] = "127.0.0.1:9280",
    store: StoreAddress = DEFAULT_REMOTE,
    directory: Directory = DIRECTORY,
    cert: Annotated[
        pathlib.Path | None, typer.Option("--cert", help="TLS: the certificate's chain, PEM.")
    ] = None,
    key: Annotated[
        pathlib.Path | None, typer.Option("--key", help="TLS: the certificate's key, PEM.")
    ] = None,
    keystone: Annotated[
        pathlib.Path | None,
        typer.Option("--keystone", help="Take OpenStack's tokens too: a JSON file says where."),
    ] = None,
) -> None:
    """Serve the REST API, until told to end. Several may serve one store."""
    if ctx.invoked_subcommand is not None:
        return
    from onehop.controller.api.server import Settings, serve

    settings = Settings(store, directory, listen, cert, key, keystone)
    serve(settings, lambda url: typer.echo(f"the API listens at {url}"))


@app.command()
def init(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Make the first token, an admin's; it is shown only now."""
    from onehop.controller.api.server import tokens_in

    tokens = tokens_in(directory)
    if tokens.all():
        raise CommandError(f"there are tokens in {directory} already; see onehop api token add")
    _show(tokens.add("admin", "admin"), as_json)


@token_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is; the audit log names them.")],
    role: Annotated[Literal["admin", "tenant", "reader"], typer.Option("--role")] = "reader",
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose objects it may see, and change as a tenant.")
    ] = "",
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make a token; it is shown only now."""
    from onehop.controller.api.server import tokens_in

    _show(tokens_in(directory).add(name, role, tenant), as_json)


@token_app.command("list")
def list_tokens(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Tell who has a token."""
    from onehop.controller.api.server import tokens_in

    held = [
        {"name": t.name, "role": t.role, "tenant": t.tenant, "made": t.made}
        for t in tokens_in(directory).all()
    ]
    if as_json:
        print_json(held)
    else:
        for token in held:
            typer.echo(
                f"{token['name']}  {token['role']}  {token['tenant'] or '-'}  {token['made']}"
            )


@token_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whose it is.")], directory: Directory = DIRECTORY
) -> None:
    """Make a token invalid, at once."""
    from onehop.controller.api.server import tokens_in

    tokens_in(directory).remove(name)


def _show(text: str, as_json: bool) -> None:
    if as_json:
        print_json({"token": text})
    else:
        typer.echo(text)
