"""`onehop create`, `onehop set` and `onehop delete`: single objects, one transaction each."""

from __future__ import annotations

from typing import Annotated

import typer

from onehop.controller.cli.objects import (
    NameOf,
    StatedKindOf,
    Timeout,
    complete_field,
    complete_name,
    opened,
)
from onehop.controller.cli.options import StoreAddress
from onehop.controller.cli.output import InputError, Json, print_step
from onehop.controller.store.server import DEFAULT_REMOTE

create_app = typer.Typer()
set_app = typer.Typer()
delete_app = typer.Typer()


@create_app.command()
def create(
    kind: StatedKindOf,
    stated: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] FIELD=VALUE…",
            help="The object's name, and its fields; commas between several values.",
            autocompletion=complete_field,
        ),
    ],
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Make an object.

    onehop create port vm1 device=blue host=c1 interface=tap1 addresses=10.0.0.5,fd00::5
    """
    from onehop.controller import objects
    from onehop.controller.cli.assign import assigned

    found_kind = objects.kind_named(kind, stated=True)
    names = [word for word in stated if "=" not in word]
    if len(names) > 1:
        raise InputError(f"one object has one name, not {' '.join(map(repr, names))}")
    fields = assigned(found_kind, [word for word in stated if "=" in word])
    raw = {**({"name": names[0]} if names else {}), **fields}
    resource = objects.made(found_kind, {k: v for k, v in raw.items() if v is not None})
    with opened(store, timeout_s) as client:
        print_step(client.change(objects.create_decision([resource]), timeout_s), as_json)


@set_app.command("set")
def set_fields(
    kind: StatedKindOf,
    name: NameOf,
    stated: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE…",
            help="= replaces, += adds, -= takes away; nothing after = is the default.",
            autocompletion=complete_field,
        ),
    ],
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Change fields of an object; the others stay.

    onehop set port vm1 admin_state_up=false addresses+=10.0.0.6
    """
    from onehop.controller import objects
    from onehop.controller.cli.assign import assigned

    found_kind = objects.kind_named(kind, stated=True)
    decision = objects.edit_decision(
        (found_kind.KIND, name),
        lambda held: objects.edited(held, assigned(found_kind, stated, held)),
    )
    with opened(store, timeout_s) as client:
        print_step(client.change(decision, timeout_s), as_json)


@delete_app.command()
def delete(
    kind: StatedKindOf,
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME…", help="The objects.", autocompletion=complete_name),
    ],
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Remove objects that no other object uses, all or none."""
    from onehop.controller import objects

    found_kind = objects.kind_named(kind, stated=True)
    idents = [(found_kind.KIND, name) for name in dict.fromkeys(names)]
    with opened(store, timeout_s) as client:
        print_step(client.change(objects.delete_decision(idents), timeout_s), as_json)
