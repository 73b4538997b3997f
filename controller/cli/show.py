"""`onehop get` and `onehop describe`: what the store holds, by kind and by object."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import to_builtins

from onehop.controller import folders
from onehop.controller.cli.objects import (
    Form,
    KindOf,
    NameOf,
    Output,
    Timeout,
    complete_word,
    form,
    opened,
    print_objects,
    print_rows,
    print_table,
    words,
    yaml_of,
)
from onehop.controller.cli.options import AgentsFolder, StoreAddress
from onehop.controller.cli.output import Json, print_json
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine.model import KINDS, STATE, Host

if TYPE_CHECKING:
    from onehop.controller.health import Health
    from onehop.controller.host_state import HostState
    from onehop.controller.store.client import Held

get_app = typer.Typer()
describe_app = typer.Typer()


@get_app.command()
def get(
    kind: KindOf,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FIELD=VALUE]…",
            help="Only these objects, or those with this in a field.",
            autocompletion=complete_word,
        ),
    ] = None,
    output: Output = None,
    as_json: Json = False,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 5.0,
) -> None:
    """List the objects of a kind, or show some of them.

    One NAME alone prints that object, all else a list. Kinds: host, bridge, router, port, …, and
    what hosts found out: neighbor, learned_mac, …
    """
    from onehop.controller import objects
    from onehop.controller.health import with_health

    found_kind = objects.kind_named(kind)
    names = [word for word in chosen or () if "=" not in word]
    conditions = [
        objects.condition(found_kind, field.replace("-", "_"), text)
        for field, _, text in (word.partition("=") for word in chosen or () if "=" in word)
    ]
    with opened(store, timeout_s) as client:
        held = client.held
        found = [objects.get(held, (found_kind.KIND, name)) for name in names]
        found = found or objects.of_kind(held, found_kind)
    found = [resource for resource in found if all(holds(resource) for holds in conditions)]
    how = form(output, as_json)
    if how == "json" and names == chosen and len(names) == 1:
        print_json(with_health(found[0], held))
    else:
        print_objects(found_kind, found, how, held)


@describe_app.command()
def describe(
    kind: KindOf,
    name: NameOf,
    output: Output = None,
    as_json: Json = False,
    folder: AgentsFolder = folders.AGENTS,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 5.0,
) -> None:
    """Tell all about an object: its fields, what uses it, and what hosts found out about it.

    Of a host also what its agent says: interfaces, tunnels, BGP, flows, drops, connections.
    """
    from onehop.controller import objects
    from onehop.controller.health import health

    ident = (objects.kind_named(kind).KIND, name)
    with opened(store, timeout_s) as client:
        found = objects.get(client.held, ident)
        users = objects.users(client.held, ident)
        known = health(found, client.held)
        host = _host_state(found, client.held, folder) if isinstance(found, Host) else None
    using = [user for user in users if not isinstance(user.resource, STATE)]
    state: dict[str, list[Any]] = defaultdict(list)
    for user in users:
        if isinstance(user.resource, STATE) and user.resource not in state[user.resource.KIND]:
            state[user.resource.KIND].append(user.resource)
    _print(objects.plain(found), using, state, known, host, form(output, as_json))


def _host_state(host: Host, held: Held, folder: str) -> HostState:
    from onehop.controller.host_state import host_state  # which the other kinds need not wait for

    return host_state(host, held, folder)


def _print(
    found: dict[str, Any],
    using: list[Any],
    state: dict[str, list[Any]],
    known: Health | None,
    host: HostState | None,
    how: Form,
) -> None:
    from onehop.controller.objects import plain

    if how == "name":
        typer.echo(found["name"])
        return
    if how != "table":
        whole = {
            "object": found,
            "used_by": [
                {"kind": u.resource.KIND, "name": u.resource.name, "field": u.field} for u in using
            ],
            "state": {KINDS[k].PLURAL: [plain(r) for r in rs] for k, rs in state.items()},
        }
        if known:
            whole["health"] = to_builtins(known)
        if host:
            whole["live"] = to_builtins(host)
        if how == "json":
            print_json(whole)
        else:
            typer.echo(yaml_of(whole), nl=False)
        return
    if known:
        found = found | {"health": str(known)}
    width = max(map(len, found))
    for field, value in found.items():
        typer.echo(f"{field:{width}}  {words(tuple(value) if isinstance(value, list) else value)}")
    if using:
        typer.echo("\nused by")
        print_rows(
            ["kind", "name", "field"], ([u.resource.KIND, u.resource.name, u.field] for u in using)
        )
    for kind, resources in state.items():
        typer.echo(f"\n{KINDS[kind].PLURAL}")
        print_table(KINDS[kind], resources)
    if host:
        from onehop.controller.cli.host_words import print_host

        print_host(host)
