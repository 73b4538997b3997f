"""The words "field=value" of a command line: what they state about an object.

1. A value is read by its field's annotation; what has no such form stays a text, for the model to
   refuse in its own words.
2. "field=" states nothing: the field is what it is when it is not stated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from onehop.controller.errors import InputError
from onehop.engine.model import ModelError, Problem, Resource
from onehop.engine.model.files import read_yaml
from onehop.engine.model.values import Field, fields_of

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def assigned(
    kind: type[Resource], words: Iterable[str], resource: Resource | None = None
) -> dict[str, Any]:
    """The fields that "field=value" words state; "field+=value" adds to what `resource` has."""
    fields = {field.name: field for field in fields_of(kind)}
    held = msgspec.to_builtins(resource) if resource else {}
    label = resource.name if resource else ""
    changes: dict[str, Any] = {}
    problems = []
    for word in words:
        name, equals, text = word.partition("=")
        sign = name[-1:] if name[-1:] in ("+", "-") else ""
        name = name.removesuffix(sign).replace("-", "_")
        if not equals:
            raise InputError(f"{word!r} is not of the form field=value")
        if name not in fields:
            changes[name] = text  # the model refuses it, together with all else
        elif sign and not fields[name].many:
            problems.append(Problem(kind.KIND, label, name, "holds one value; use = instead"))
        elif not sign and name in changes:
            reason = "stands twice; put commas between several values"
            problems.append(Problem(kind.KIND, label, name, reason))
        else:
            value = value_of(fields[name], text)
            before = changes.get(name, held.get(name, ()))
            changes[name] = _joined(sign, before, value)
    if problems:
        raise ModelError(problems)
    return changes


def _joined(sign: str, before: Any, value: Any) -> Any:
    if sign == "+":
        return (*before, *value)
    if sign == "-":
        return tuple(one for one in before if one not in value)
    return value


def value_of(field: Field, text: str) -> Any:
    """The plain value that `text` stands for; a part of an object is YAML."""
    if not text:
        return () if field.many else None
    if field.base not in (str, int, bool, float):
        return read_yaml(text, field.name)
    if field.many:
        return tuple(_atom(field, part.strip()) for part in text.split(","))
    return _atom(field, text)


def _atom(field: Field, text: str) -> Any:
    if field.base is bool:
        return text in YES if text in (*YES, *NO) else text
    if field.base in (int, float):
        try:
            return field.base(text)
        except ValueError:
            return text
    return text
