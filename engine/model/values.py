"""The values of single fields: what their annotations say, and whether a value obeys.

1. Reads annotations only; no field and no kind is named here.
2. What is wrong inside a part is told by its place from 1 on and its field: "rules #3 source".
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from onehop.engine.model.resources import MAC, MADE_NAME, NAME, Part, Problem, Resource
from onehop.engine.model.resources.base import TENANT
from onehop.engine.model.texts import refusal

Fault = tuple[str, str]  # the field, as in "rules #3 source", and the reason

TEXTS = 1 << 17  # that stay read; a topology is read again at each change of it

PATTERNS = {
    MAC: "a MAC address like 02:00:00:00:00:01",
    NAME: "a name: letters, digits and . _ : / @ - between two of them, at most 200",
    TENANT: "a tenant: letters, digits and . _ : / @ - between two of them, at most 200",
    MADE_NAME: "a name: printable ASCII from a letter or digit on, no space at its end",
}


class Field(NamedTuple):
    """What the annotation of a field says."""

    name: str
    type: Any  # the whole annotation
    base: type  # str, int, bool, float or a `Part`: of the value, or of each of several
    many: bool  # a tuple of values
    optional: bool  # may be None
    required: bool  # has no default
    check: str  # a key of `texts.CHECKS`, or ""
    refs: tuple[str, ...]  # the kinds that it may name
    owned: bool  # goes when what it names goes
    shared: tuple[str, ...]  # of the kinds that it may name, those whose sharing counts
    operators: bool  # no tenant states it, so it may name what anybody has
    choices: tuple[str, ...]  # of a Literal
    part: type[Part] | None  # what the field holds several of, where that has fields of its own


@cache
def fields_of(kind: type[Resource] | type[Part]) -> tuple[Field, ...]:
    """The fields of `kind`, in the order in which they are written."""
    return tuple(
        _read_annotation(found.name, found.type, required=found.required)
        for found in msgspec.structs.fields(kind)
    )


def _read_annotation(name: str, annotation: Any, *, required: bool) -> Field:
    many = optional = False
    extra: dict[str, Any] = {}
    inner = annotation
    while True:
        origin, args = get_origin(inner), get_args(inner)
        if origin is Annotated:
            for meta in args[1:]:
                extra |= meta.extra or {}
            inner = args[0]
        elif origin in (Union, UnionType):
            optional = optional or NoneType in args
            inner = next(arg for arg in args if arg is not NoneType)  # str of str | int
        elif origin is tuple:
            many, inner = True, args[0]
        else:
            break
    base: type[Any] = str if origin is Literal else inner
    return Field(
        name=name,
        type=annotation,
        base=base,
        many=many,
        optional=optional,
        required=required,
        check=extra.get("check", ""),
        refs=extra.get("ref", ()),
        owned=extra.get("owned", False),
        shared=extra.get("shared", ()),
        operators=extra.get("operators", False),
        choices=args if origin is Literal else (),
        part=base if issubclass(base, Part) else None,
    )


def read_resource(
    kind: type[Resource], raw: Mapping[Any, Any], label: str = ""
) -> Resource | list[Problem]:
    """Make a `kind` of plain data, or say everything that is wrong with its fields.

    `label` stands for the name where there is none.
    """
    try:
        resource = msgspec.convert(raw, kind)
    except (msgspec.ValidationError, TypeError):
        name = raw["name"] if isinstance(raw.get("name"), str) else label
        return [Problem(kind.KIND, name, *fault) for fault in _faults(kind, raw)]
    problems = [Problem(kind.KIND, resource.name, *fault) for fault in _refusals(resource)]
    return problems or resource


def field_problems(resource: Resource) -> Iterator[Problem]:
    """What is wrong with the fields of a resource, each taken alone."""
    kind = type(resource)
    raw = msgspec.structs.asdict(resource)
    for field in _fields_of_parts(kind):
        raw[field.name] = msgspec.to_builtins(raw[field.name])
    read = read_resource(kind, raw, resource.name)
    yield from read if isinstance(read, list) else ()


@cache
def _fields_of_parts(kind: type[Resource]) -> tuple[Field, ...]:
    return tuple(field for field in fields_of(kind) if field.part)


def _refusals(whole: Resource | Part) -> Iterator[Fault]:
    """What is wrong with the texts of something whose fields have the right types."""
    for field in _checked_fields(type(whole)):
        for place, value in enumerate(several(getattr(whole, field.name)), 1):
            if field.part:
                yield from _inside(field, place, _refusals(value))
            elif reason := refusal(field.check, value):
                yield field.name, reason


@cache
def _checked_fields(kind: type[Resource] | type[Part]) -> tuple[Field, ...]:
    return tuple(field for field in fields_of(kind) if field.check or field.part)


def _inside(field: Field, place: int, faults: Iterator[Fault]) -> Iterator[Fault]:
    return ((f"{field.name} #{place} {name}", reason) for name, reason in faults)


class Reference(NamedTuple):
    """A name in a field that must be that of a resource."""

    field: str
    kinds: tuple[str, ...]
    name: str
    shared: tuple[str, ...]
    operators: bool

    def allows(self, tenant: str, named: Resource) -> bool:
        """Whether what `tenant` has may name this one, of one of the kinds."""
        if self.operators or not tenant or getattr(named, "tenant", "") == tenant:
            return True
        return named.KIND in self.shared and getattr(named, "shared", False)


def references(whole: Resource | Part) -> Iterator[Reference]:
    """Every reference in the fields of `whole` and of its parts."""
    for field in _referring_fields(type(whole)):
        found = getattr(whole, field.name)
        if found is None or found == ():  # most of them
            continue
        for place, value in enumerate(several(found), 1):
            if not field.part:
                yield Reference(field.name, field.refs, value, field.shared, field.operators)
                continue
            for inner in references(value):
                yield inner._replace(field=f"{field.name} #{place} {inner.field}")


@cache
def kinds_named_in(kind: type[Resource] | type[Part]) -> frozenset[str]:
    """The kinds that `references` of a `kind` may name."""
    found: set[str] = set()
    for field in _referring_fields(kind):
        found |= kinds_named_in(field.part) if field.part else set(field.refs)
    return frozenset(found)


@cache
def _referring_fields(kind: type[Resource] | type[Part]) -> tuple[Field, ...]:
    return tuple(
        field
        for field in fields_of(kind)
        if field.refs or (field.part and _referring_fields(field.part))
    )


def several(value: Any) -> tuple[Any, ...]:
    """The values of a field: none, one or many."""
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)


def _faults(kind: type[Resource] | type[Part], raw: Mapping[Any, Any]) -> Iterator[Fault]:
    fields = {field.name: field for field in fields_of(kind)}
    for unknown in raw.keys() - fields.keys():
        yield str(unknown), _unknown_field(fields)
    for field in fields.values():
        if field.part and isinstance(raw.get(field.name), list | tuple):
            yield from _faults_of_parts(field, field.part, raw[field.name])
        else:
            yield from ((field.name, reason) for reason in _reasons(field, raw))


def _faults_of_parts(field: Field, part: type[Part], raw: Sequence[Any]) -> Iterator[Fault]:
    for place, item in enumerate(raw, 1):
        if isinstance(item, Mapping):
            yield from _inside(field, place, _faults(part, item))
        else:
            reason = f"is not a mapping of fields but {reprlib.repr(item)}"
            yield f"{field.name} #{place}", reason


def _unknown_field(fields: Mapping[str, Field]) -> str:
    return f"unknown field; there are {', '.join(fields)}"


def _reasons(field: Field, raw: Mapping[Any, Any]) -> Iterator[str]:
    if field.name not in raw:
        yield from ["is missing"] if field.required else []
        return
    try:
        value = msgspec.convert(raw[field.name], field.type)
    except msgspec.ValidationError as error:
        yield f"{reprlib.repr(raw[field.name])} is not right: {_in_words(field, str(error))}"
        return
    if field.check:
        yield from filter(None, (refusal(field.check, text) for text in several(value)))


def _in_words(field: Field, error: str) -> str:
    if "enum" in error:
        return f"expected one of {', '.join(field.choices)}"
    for pattern, meaning in PATTERNS.items():
        if pattern in error:
            return f"expected {meaning}"
    return error.partition(" - at ")[0].replace("`", "").replace("Expected", "expected")
