"""Rows of the store, as OVSDB's JSON (RFC 7047, section 5.1), to resources and back.

1. A column that a row does not state has OVSDB's default: nothing, zero, false or no text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from onehop.controller.ovsdb import Datum
from onehop.controller.store.schema import Column, columns_of
from onehop.engine.model import Part, Resource
from onehop.engine.model.values import Field, fields_of, read_resource, references, several

Json = Any
Find = Callable[[str, str], Json]  # a kind and a name to the row's UUID in JSON, or None
NONE: Json = ["set", []]


class UnreadableRowError(ValueError):
    """A row that somebody wrote past the model's rules."""


def read_row(
    kind: type[Resource], row: Mapping[str, Json], names: Mapping[UUID, tuple[str, str]]
) -> Resource:
    """The resource that `row` holds; `names` has (kind, name) by the UUID of a row."""
    columns = _read_columns(kind)
    values = dict(_defaults(kind))
    try:
        for name, value in row.items():
            if name in columns and value != NONE:
                field = columns[name]
                values[field.name] = _read(field, value, names)
    except msgspec.DecodeError as error:
        raise UnreadableRowError(f"{kind.KIND} {row['name']!r}: {error}") from error
    resource = read_resource(kind, values, row["name"])
    if isinstance(resource, list):
        raise UnreadableRowError("; ".join(map(str, resource)))
    return resource


@cache
def _read_columns(kind: type[Resource]) -> dict[str, Field]:
    """The field that a column holds, or holds a part of."""
    return {column.name: column.field for column in columns_of(kind) if not column.derived}


@cache
def _defaults(kind: type[Resource]) -> dict[str, Any]:
    """What a field is when its columns hold OVSDB's defaults."""
    return {field.name: _default(field) for field in fields_of(kind)}


def _default(field: Field) -> Any:
    if field.many:
        return ()
    return None if field.optional or field.refs else field.base()


def _read(field: Field, value: Json, names: Mapping[UUID, tuple[str, str]]) -> Any:
    """A field's value; where it may name several kinds, one of its columns has all of it."""
    if not field.many:
        return names[UUID(value[1])][1] if field.refs else value
    atoms = [atom for _, atom in sorted(value[1], key=_place)]
    if field.refs:
        return tuple(names[UUID(atom[1])][1] for atom in atoms)
    return tuple(map(msgspec.json.decode, atoms) if field.part else atoms)


def _place(pair: list[Json]) -> int:
    place: int = pair[0]
    return place


def row_values(resource: Resource, find: Find, *, new: bool = False) -> dict[str, Json]:
    """What a row that holds `resource` has in its columns; LookupError: it names what is not.

    Of a `new` row, only what is not the default.
    """
    values = {"name": resource.name} if new else {}
    for column in _written_columns(type(resource)):
        value = getattr(resource, column.field.name)
        if new and value == _defaults(type(resource))[column.field.name]:
            continue
        written = _write(column, value, find)
        if written != NONE or not new:
            values[column.name] = written
    return values


@cache
def _written_columns(kind: type[Resource]) -> list[Column]:
    """The columns but for the name, which never changes."""
    return [column for column in columns_of(kind) if column.name != "name"]


def write_row(row: Any, values: dict[str, Json]) -> None:
    """Put `values` into a row of the transaction that is being made."""
    for name, value in values.items():
        column = row._table.columns[name]
        row._idl.txn._write(row, column, Datum.from_json(column.type, value))


def _write(column: Column, value: Any, find: Find) -> Json:
    field = column.field
    if column.derived:
        return _set(list(_refer_to_all(column.ref, value, find)))
    values = several(value)
    if field.part:
        values = tuple(msgspec.json.encode(part).decode() for part in value)
    if field.refs:
        values = tuple(_refer(column, values, find))
    if field.many:
        return ["map", [[place, one] for place, one in enumerate(values)]]
    return _set(list(values))


def _set(values: list[Json]) -> Json:
    return values[0] if len(values) == 1 else ["set", values]


def _refer(column: Column, names: tuple[str, ...], find: Find) -> Iterator[Json]:
    for name in names:
        found = {kind: find(kind, name) for kind in column.field.refs}
        if not any(found.values()):
            raise LookupError(f"there is no {' or '.join(found)} {name!r}")
        if found[column.ref]:
            yield found[column.ref]


def _refer_to_all(kind: str, parts: tuple[Part, ...], find: Find) -> Iterator[Json]:
    """The rows of `kind` that parts name.  What there is none of is named by another column."""
    named = {ref.name for part in parts for ref in references(part) if kind in ref.kinds}
    return (row for name in sorted(named) if (row := find(kind, name)))
