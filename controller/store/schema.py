"""The store's OVSDB schema (RFC 7047), made from the model.

1. A kind is a table, a field is a column; nothing is written here that the model says.
2. A reference is a reference: strong in what users state, so that nobody can remove what another
   resource names; weak in state, which goes with what it is about.  A weak reference is never
   empty: the one who removes something removes the state about it in the same transaction.
3. A field that may name several kinds has a column for each, of which at most one is set.
4. What has an order keeps it: a tuple is a map from place to value.
5. A part of a resource (a rule of a chain) is JSON.  What the parts in a field refer to stands in
   further columns, a set for each kind, so that nobody can remove it; nobody reads them.
6. A resource's name never changes and is unique in its table; nor does the host of a lease, so
   that it has one until the lease is given back.
7. The checksum follows from the tables: a server converts a file that has another.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from typing import Any, NamedTuple

from onehop.engine.model import KINDS, STATE, Resource
from onehop.engine.model.values import Field, fields_of, kinds_named_in

DATABASE = "onehop"
VERSION = "1.0.0"  # for people; a server goes by the checksum
# One row: how often what is stated has changed, and the names of the last changes by that number,
# so that who lost the connection learns whether its change happened.
REVISION = "Revision"
MANY = {"min": 0, "max": "unlimited"}
REVISION_COLUMNS = {
    "number": {"type": "integer"},
    "changes": {"type": {"key": "integer", "value": "string", **MANY}},
}
ATOMS = {str: "string", int: "integer", bool: "boolean", float: "real"}


class Column(NamedTuple):
    """A column, and the part of a field that it holds."""

    name: str
    field: Field
    ref: str  # the kind that it refers to, or ""

    @property
    def derived(self) -> bool:
        """Whether it repeats what another column says."""
        return bool(self.ref and self.field.part)


def table_of(kind: type[Resource]) -> str:
    return kind.__name__


@cache
def columns_of(kind: type[Resource]) -> tuple[Column, ...]:
    """The columns of a kind's fields; `name` is a column of every table."""
    return tuple(column for field in fields_of(kind) for column in _columns(field))


def _columns(field: Field) -> list[Column]:
    if field.part:
        kinds = sorted(kinds_named_in(field.part))
        return [Column(field.name, field, ""), *(_named(field, kind) for kind in kinds)]
    if len(field.refs) < 2:
        return [Column(field.name, field, *field.refs or ("",))]
    return [_named(field, ref) for ref in field.refs]


def _named(field: Field, ref: str) -> Column:
    return Column(f"{field.name}_{ref}", field, ref)


def schema() -> dict[str, Any]:
    """The whole schema, as ovsdb-tool takes it."""
    tables = {table_of(kind): _table(kind) for kind in KINDS.values()}
    tables[REVISION] = {"columns": REVISION_COLUMNS, "maxRows": 1, "isRoot": True}
    text = json.dumps(tables).encode()
    checksum = f"{zlib.crc32(text)} {len(text)}"
    return {"name": DATABASE, "version": VERSION, "cksum": checksum, "tables": tables}


def _table(kind: type[Resource]) -> dict[str, Any]:
    columns = {column.name: {"type": _type(kind, column)} for column in columns_of(kind)}
    columns["name"] = {"type": "string", "mutable": False}
    if kind.LEASED:
        columns["host"]["mutable"] = False
    return {"columns": columns, "indexes": [["name"]], "isRoot": True}


def _type(kind: type[Resource], column: Column) -> Any:
    field, base = column.field, _base(kind, column)
    if column.derived:
        return {"key": base, **MANY}
    if field.many:
        return {"key": "integer", "value": base, **MANY}
    if field.optional or len(field.refs) > 1:
        return {"key": base, "min": 0, "max": 1}
    return {"key": base}


def _base(kind: type[Resource], column: Column) -> Any:
    if column.ref:
        # OVSDB takes no weak reference for one that never changes.
        strength = "weak" if kind in STATE and not kind.LEASED else "strong"
        table = table_of(KINDS[column.ref])
        return {"type": "uuid", "refTable": table, "refType": strength}
    if column.field.choices:
        return {"type": "string", "enum": ["set", list(column.field.choices)]}
    return {"type": "string" if column.field.part else ATOMS[column.field.base]}
