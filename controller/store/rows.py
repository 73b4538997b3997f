"""Rows of the store to resources and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from onehop.controller.store.schema import Column, columns_of
from onehop.engine.model import Resource
from onehop.engine.model.values import Field, field_problems, fields_of, several

Find = Callable[[str, str], Any]  # a kind and a name to the row, or None


class UnreadableRowError(ValueError):
    """A row that somebody wrote past the model's rules."""


def read_row(kind: type[Resource], row: Any) -> Resource:
    """The resource that `row` holds."""
    columns = columns_of(kind)
    try:
        values = {field.name: _read(field, row, columns) for field in fields_of(kind)}
        resource = kind(**values)
        problems = list(field_problems(resource))
    except (AttributeError, TypeError, ValueError) as error:
        raise UnreadableRowError(f"{kind.KIND} {row.name!r}: {error}") from error
    if problems:
        raise UnreadableRowError("; ".join(map(str, problems)))
    return resource


def _read(field: Field, row: Any, columns: list[Column]) -> Any:
    if field.many:
        held = getattr(row, field.name)
        return tuple(_plain(field, held[place]) for place in sorted(held))
    names = [column.name for column in columns if column.field is field]
    found = [_plain(field, value) for name in names for value in _held(row, name)]
    return found[0] if found else None


def _held(row: Any, column: str) -> list[Any]:
    value = getattr(row, column)
    return value if isinstance(value, list) else [value]


def _plain(field: Field, value: Any) -> Any:
    return value.name if field.refs else value


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
