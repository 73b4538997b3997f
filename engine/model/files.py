"""Topology files: YAML to a checked topology and back.

1. Scalars are what they look like to somebody who writes networks: 12:34:56:12:34:56 is a
   text, not a number to the base 60, and 2026-01-01 is no date.
2. Nothing that is stated is lost in silence: a key that stands twice is refused.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from onehop.engine.model.check import check
from onehop.engine.model.resources import STATED, ModelError, Problem, Resource, Topology
from onehop.engine.model.values import read_resource


def load(text: str | bytes, source: str = "topology.yaml") -> Topology:
    """Read a topology file; raises a `ModelError` with every problem in it."""
    topology, unread, problems = _read(_parse(text, source), source)
    problems += check(topology, unread=unread)
    if problems:
        raise ModelError(problems)
    return topology


def dump(topology: Topology) -> str:
    """Write `topology` as a file that `load` reads; what has its default is left out."""
    plain = {
        kind.PLURAL: [_plain(resource) for resource in getattr(topology, kind.PLURAL)]
        for kind in STATED
        if getattr(topology, kind.PLURAL)
    }
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=99)


def _plain(resource: Resource) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(resource)
    defaults = {field.name: field.default for field in msgspec.structs.fields(resource)}
    made = {"name"} if resource == _without_name(resource) else set()
    return {
        name: value
        for name, value in plain.items()
        if name not in made and getattr(resource, name) != defaults[name]
    }


def _without_name(resource: Resource) -> Resource | None:
    """The same resource with the name that it would make for itself."""
    fields = msgspec.structs.asdict(resource)
    try:
        return type(resource)(**{k: v for k, v in fields.items() if k != "name"})
    except TypeError:
        return None


def read_yaml(text: str | bytes, source: str) -> Any:
    """The plain data in a YAML file, by the rules above."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError([Problem("file", source, "", f"is not YAML: {reason}")]) from error


def _parse(text: str | bytes, source: str) -> dict[Any, Any]:
    raw = read_yaml(text, source)
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        reason = f"expected a mapping with {_plurals()} at the top"
        raise ModelError([Problem("file", source, "", reason)])
    return raw


def _read(
    raw: dict[Any, Any], source: str
) -> tuple[Topology, set[tuple[str, str]], list[Problem]]:
    """The resources that could be read, the names of those that could not, and why."""
    resources: list[Resource] = []
    unread: set[tuple[str, str]] = set()
    problems: list[Problem] = []
    for kind, item, label in _items(raw, source, problems):
        read = read_resource(kind, item, label)
        if isinstance(read, list):
            unread.add((kind.KIND, str(item.get("name", ""))))
            problems += read
        else:
            resources.append(read)
    return Topology.of(resources), unread, problems


def _items(
    raw: dict[Any, Any], source: str, problems: list[Problem]
) -> Iterator[tuple[type[Resource], dict[Any, Any], str]]:
    kinds = {kind.PLURAL: kind for kind in STATED}
    for plural, items in raw.items():
        if plural not in kinds:
            reason = f"unknown field; there are {_plurals()}"
            problems.append(Problem("file", source, str(plural), reason))
        elif not isinstance(items, list | None):
            problems.append(Problem("file", source, plural, "expected a list"))
        else:
            yield from _mappings(kinds[plural], items or [], problems)


def _mappings(
    kind: type[Resource], items: list[Any], problems: list[Problem]
) -> Iterator[tuple[type[Resource], dict[Any, Any], str]]:
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield kind, item, f"#{number}"
        else:
            reason = f"number {number} is not a mapping of fields but {reprlib.repr(item)}"
            problems.append(Problem(kind.KIND, "", "", reason))


def _plurals() -> str:
    return ", ".join(kind.PLURAL for kind in STATED)


class _Loader(yaml.CSafeLoader):
    """YAML without the numbers to the base 60 and the dates, and with unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.CSafeDumper):
    """YAML that `_Loader` reads."""


# A part of what YAML 1.1 takes for numbers, so that what `dump` leaves bare is read as text.
TAGS = {
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)",
    "tag:yaml.org,2002:float": r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?",
}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag not in TAGS and not tag.endswith(":timestamp")
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
for tag, pattern in TAGS.items():
    _Loader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), list("-+0123456789"))
