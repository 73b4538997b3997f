"""`onehop host`: which interface of which host a port is; the agent need not run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from onehop.controller.cli.objects import Timeout, complete_host, complete_port, opened
from onehop.controller.cli.options import StoreAddress
from onehop.controller.cli.output import Json, print_step
from onehop.controller.store.server import DEFAULT_REMOTE

app = typer.Typer(help="Bind ports to interfaces of hosts.", no_args_is_help=True)

PortName = Annotated[str, typer.Argument(metavar="PORT", autocompletion=complete_port)]


@app.command()
def bind(
    port: PortName,
    host: Annotated[str, typer.Argument(metavar="HOST", autocompletion=complete_host)],
    interface: Annotated[str, typer.Argument(metavar="INTERFACE")],
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Make a port an interface of a host, also when it is one of another host now."""
    _set(port, {"host": host, "interface": interface}, store, timeout_s, as_json)


@app.command()
def unbind(
    port: PortName,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Unplug a port."""
    _set(port, {"host": None, "interface": None}, store, timeout_s, as_json)


def _set(port: str, changes: dict[str, Any], remote: str, timeout_s: float, as_json: bool) -> None:
    from onehop.controller import objects

    decision = objects.edit_decision(("port", port), lambda held: objects.edited(held, changes))
    with opened(remote, timeout_s) as client:
        print_step(client.change(decision, timeout_s), as_json)
