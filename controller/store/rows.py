"""Rows of the store to resources and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from onehop.controller.store.schema import Column, columns_of
from onehop.engine.model import Part, Resource
from onehop.engine.model.values import Field, fields_of, read_resource, references, several

Find = Callable[[str, str], Any]  # a kind and a name to the row, or None


class UnreadableRowError(ValueError):
    """A row that somebody wrote past the model's rules."""


def read_row(kind: type[Resource], row: Any, names: Mapping[Any, tuple[str, str]]) -> Resource:
    """The resource that `row` holds; `names` has (kind, name) by the UUID of a row."""
    try:
        values = {field.name: _read(field, columns, row, names) for field, columns in _plan(kind)}
    except msgspec.DecodeError as error:
        raise UnreadableRowError(f"{kind.KIND} {row.name!r}: {error}") from error
    resource = read_resource(kind, values, row.name)
    if isinstance(resource, list):
        raise UnreadableRowError("; ".join(map(str, resource)))
    return resource


@cache
def _plan(kind: type[Resource]) -> list[tuple[Field, list[str]]]:
    columns = columns_of(kind)
    return [
        (
            field,
            [column.name for column in columns if column.field is field and not column.derived],
        )
        for field in fields_of(kind)
    ]


def _read(field: Field, columns: list[str], row: Any, names: Mapping[Any, tuple[str, str]]) -> Any:
    """A field's value, straight from the row's data: attributes of rows take ten times longer."""
    held = [atom for column in columns for atom in row._data[column].values.items()]
    if field.many:
        held = sorted((place.value, value) for place, value in held)
    atoms = [value if field.many else key for key, value in held]
    values = [names[atom.value][1] if field.refs else atom.value for atom in atoms]
    if field.part:
        values = [msgspec.json.decode(value) for value in values]
    if field.many:
        return tuple(values)
    return values[0] if values else None


def row_values(resource: Resource, find: Find) -> dict[str, Any]:
    """What a row that holds `resource` has in its columns; LookupError: it names what is not."""
    return {
        column.name: _write(column, getattr(resource, column.field.name), find)
        for column in columns_of(type(resource))
        if column.name != "name"
    }


def write_row(row: Any, values: dict[str, Any]) -> None:
    """Put `values` into a row of the transaction that is being made."""
    for column, value in values.items():
        setattr(row, column, value)


def _write(column: Column, value: Any, find: Find) -> Any:
    field = column.field
    if column.derived:
        return list(_refer_to_all(column.ref, value, find))
    if field.part:
        value = [msgspec.json.encode(part).decode() for part in value]
    if field.refs:
        value = list(_refer(column, several(value), find))
    if field.many:
        return dict(enumerate(value))
    if field.refs:
        return value
    return list(several(value)) if field.optional else value


def _refer(column: Column, names: tuple[str, ...], find: Find) -> Iterator[Any]:
    for name in names:
        found = {kind: find(kind, name) for kind in column.field.refs}
        if not any(found.values()):
            raise LookupError(f"there is no {' or '.join(found)} {name!r}")
        if found[column.ref]:
            yield found[column.ref]


def _refer_to_all(kind: str, parts: tuple[Part, ...], find: Find) -> Iterator[Any]:
    """The rows of `kind` that parts name.  What there is none of is named by another column."""
    named = {ref.name for part in parts for ref in references(part) if kind in ref.kinds}
    return (row for name in sorted(named) if (row := find(kind, name)))
