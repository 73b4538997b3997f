"""What the commands on objects share: their arguments, completion, the store, and printing.

1. Completion asks the store for a second at most and offers nothing where it does not answer.
2. A terminal gets a table, a pipe gets JSON, unless the user says which.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from onehop.controller.cli.clients import opened as opened
from onehop.controller.cli.output import print_json
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine.model import KINDS, STATED, Resource
from onehop.engine.model.values import fields_of, several

if TYPE_CHECKING:
    from onehop.controller.store.client import Held

COMPLETION_S = 1.0
WIDE = 10_000  # characters: nothing is folded where no terminal sets a width

Form = Literal["table", "json", "yaml", "name"]
Output = Annotated[
    Form | None,
    typer.Option("-o", "--output", help="How to print; a table on a terminal, else JSON."),
]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait.")]


def form(output: Form | None, as_json: bool) -> Form:
    """How to print."""
    if as_json:
        return "json"
    return output or ("table" if sys.stdout.isatty() else "json")


def print_objects(kind: type[Resource], found: Sequence[Resource], how: Form, held: Held) -> None:
    """Print objects of one kind, and how those are whose health is known."""
    from onehop.controller.health import with_health
    from onehop.controller.objects import plain

    match how:
        case "json":
            print_json([with_health(resource, held) for resource in found])
        case "yaml":
            typer.echo(yaml_of({kind.PLURAL: [plain(resource) for resource in found]}), nl=False)
        case "name":
            for resource in found:
                typer.echo(resource.name)
        case "table":
            print_table(kind, found, held)


def yaml_of(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=99)


def print_table(kind: type[Resource], found: Sequence[Resource], held: Held | None = None) -> None:
    """Print objects as a table, without the columns in which nothing stands."""
    from onehop.controller.health import health

    rows = [{name: _cell(name, getattr(r, name)) for name in columns(kind)} for r in found]
    for row, resource in zip(rows, found, strict=True):
        row["health"] = str(health(resource, held or {}) or "")
    heads = [*columns(kind), "health"]
    shown = [name for name in heads if name == "name" or any(row[name] for row in rows)]
    print_rows(shown, ([row[name] for name in shown] for row in rows))
    if not found:
        typer.echo(f"there is no {kind.KIND}", err=True)


def _cell(name: str, value: Any) -> str:
    return words(value or None) if name == "shared" else words(value)


def print_rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", min_width=len(head))
    for row in rows:
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else WIDE
    Console(highlight=False, width=width).print(table)


def columns(kind: type[Resource]) -> list[str]:
    """The fields of a kind, the name first."""
    return ["name", *(field.name for field in fields_of(kind) if field.name != "name")]


def words(value: Any) -> str:
    """A field's value as people read it; what has parts is JSON."""
    parts = (one if isinstance(one, str) else msgspec.json.encode(one) for one in several(value))
    return ", ".join(part if isinstance(part, str) else part.decode() for part in parts)


# Completion.


def complete_kind(incomplete: str) -> list[str]:
    return [kind.PLURAL for kind in KINDS.values() if kind.PLURAL.startswith(incomplete)]


def complete_stated_kind(incomplete: str) -> list[str]:
    return [kind.KIND for kind in STATED if kind.KIND.startswith(incomplete)]


def complete_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the kind that stands before."""
    return _names([_kind_before(ctx)], ctx, incomplete)


def complete_word(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names and fields of the kind that stands before, and names as values of references."""
    kind = _kind_before(ctx)
    if kind is None:
        return []
    name, equals, text = incomplete.partition("=")
    if not equals:
        return [*_fields(kind, incomplete), *_names([kind], ctx, incomplete)]
    return [f"{name}={found}" for found in _values(kind, name, text, ctx)]


def complete_field(ctx: typer.Context, incomplete: str) -> list[str]:
    """Fields of the kind that stands before, and names as values of references."""
    kind = _kind_before(ctx)
    if kind is None:
        return []
    name, equals, text = incomplete.partition("=")
    if not equals:
        return _fields(kind, incomplete)
    return [f"{name}={found}" for found in _values(kind, name, text, ctx)]


def complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names([KINDS["host"]], ctx, incomplete)


def complete_port(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names([KINDS["port"]], ctx, incomplete)


def _kind_before(ctx: typer.Context) -> type[Resource] | None:
    from onehop.controller.errors import InputError
    from onehop.controller.objects import kind_named

    try:
        return kind_named(ctx.params.get("kind") or "")
    except InputError:
        return None


def _fields(kind: type[Resource], incomplete: str) -> list[str]:
    return [f"{f.name}=" for f in fields_of(kind) if f.name.startswith(incomplete)]


def _values(kind: type[Resource], name: str, text: str, ctx: typer.Context) -> list[str]:
    """What may stand after "name=", with commas where it may be several."""
    field = next((f for f in fields_of(kind) if f.name == name.rstrip("+-")), None)
    if field is None:
        return []
    before, comma, last = text.rpartition(",") if field.many else ("", "", text)
    kinds = [KINDS[ref] for ref in field.refs]
    found = _names(kinds, ctx, last) or [c for c in field.choices if c.startswith(last)]
    return [before + comma + one for one in found]


def _names(kinds: Iterable[type[Resource] | None], ctx: typer.Context, text: str) -> list[str]:
    wanted = {kind.KIND for kind in kinds if kind is not None}
    if not wanted:
        return []
    try:
        with opened(ctx.params.get("store") or DEFAULT_REMOTE, COMPLETION_S) as store:
            held = store.snapshot()
    except (OSError, ValueError):
        return []
    return sorted(name for kind in wanted for name in held[kind] if name.startswith(text))


KindOf = Annotated[
    str, typer.Argument(metavar="KIND", help="port, bridge, …", autocompletion=complete_kind)
]
StatedKindOf = Annotated[
    str,
    typer.Argument(metavar="KIND", help="port, bridge, …", autocompletion=complete_stated_kind),
]
NameOf = Annotated[
    str, typer.Argument(metavar="NAME", help="The object.", autocompletion=complete_name)
]
