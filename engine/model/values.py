"""The values of single fields: what their annotations say, and whether a value obeys.

1. Reads annotations only; no field and no kind is named here.
2. Every refusal says what was found and what was expected, in words for the one who wrote it.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from onehop.engine.model.resources import MAC, MADE_NAME, NAME, Problem, Resource

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

TEXTS = 1 << 17  # that stay read; a topology is read again at each change of it

PATTERNS = {
    MAC: "a MAC address like 02:00:00:00:00:01",
    NAME: "a name: letters, digits and . _ : / @ - between two of them, at most 200",
    MADE_NAME: "a name: printable ASCII from a letter or digit on, no space at its end",
}


class Field(NamedTuple):
    """What the annotation of a field says."""

    name: str
    type: Any  # the whole annotation
    base: type  # str, int, bool or float: of the value, or of each of several
    many: bool  # a tuple of values
    optional: bool  # may be None
    required: bool  # has no default
    check: str  # "address", "interface", "prefix", "mac" or ""
    refs: tuple[str, ...]  # the kinds that it may name
    owned: bool  # goes when what it names goes
    choices: tuple[str, ...]  # of a Literal


@cache
def fields_of(kind: type[Resource]) -> tuple[Field, ...]:
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
            optional = NoneType in args
            inner = next(arg for arg in args if arg is not NoneType)
        elif origin is tuple:
            many, inner = True, args[0]
        else:
            break
    return Field(
        name=name,
        type=annotation,
        base=str if origin is Literal else inner,
        many=many,
        optional=optional,
        required=required,
        check=extra.get("check", ""),
        refs=extra.get("ref", ()),
        owned=extra.get("owned", False),
        choices=args if origin is Literal else (),
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
        return list(_problems(kind, raw, label))
    return list(_refusals(resource)) or resource


def field_problems(resource: Resource) -> Iterator[Problem]:
    """What is wrong with the fields of a resource, each taken alone."""
    kind = type(resource)
    raw = {field.name: getattr(resource, field.name) for field in fields_of(kind)}
    read = read_resource(kind, raw, resource.name)
    yield from read if isinstance(read, list) else ()


def _refusals(resource: Resource) -> Iterator[Problem]:
    """What is wrong with the texts of a resource whose fields have the right types."""
    for field in fields_of(type(resource)):
        for text in several(getattr(resource, field.name)) if field.check else ():
            reason = refusal(field.check, text)
            if reason:
                yield Problem(resource.KIND, resource.name, field.name, reason)


class Reference(NamedTuple):
    """A name in a field that must be that of a resource."""

    field: str
    kinds: tuple[str, ...]
    name: str


def references(whole: Resource) -> Iterator[Reference]:
    """Every reference in the fields of `whole`."""
    for field in _referring_fields(type(whole)):
        for name in several(getattr(whole, field.name)):
            yield Reference(field.name, field.refs, name)


@cache
def _referring_fields(kind: type[Resource]) -> tuple[Field, ...]:
    return tuple(field for field in fields_of(kind) if field.refs)


def several(value: Any) -> tuple[Any, ...]:
    """The values of a field: none, one or many."""
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)


def _problems(kind: type[Resource], raw: Mapping[Any, Any], label: str) -> Iterator[Problem]:
    name = raw["name"] if isinstance(raw.get("name"), str) else label
    fields = {field.name: field for field in fields_of(kind)}
    for unknown in raw.keys() - fields.keys():
        yield Problem(kind.KIND, name, str(unknown), _unknown_field(fields))
    for field in fields.values():
        for reason in _reasons(field, raw):
            yield Problem(kind.KIND, name, field.name, reason)


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
    return error.replace("`", "").replace(" - at $", "").replace("Expected", "expected")


def refusal(check: str, text: str) -> str:
    """Why `text` is not what `check` asks for, or "" where it is."""
    try:
        CHECKS[check](text)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(TEXTS)
def read_address(text: str) -> IPAddress:
    """The address of one machine."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address like 10.0.0.5 or fd00::5") from None
    return _one_machine(address, text)


@lru_cache(TEXTS)
def read_interface(text: str) -> IPInterface:
    """The address of one machine, with or without the length of its subnet's prefix."""
    if not _has_plain_length(text, required=False):
        raise ValueError(f"{text!r} is not an address like 10.0.0.5/24 or fd00::5/64")
    try:
        interface = ip_interface(text)
    except ValueError:
        reason = f"{text!r} is not an address like 10.0.0.5/24 or fd00::5/64"
        raise ValueError(reason) from None
    _one_machine(interface.ip, text)
    return interface


@lru_cache(TEXTS)
def read_prefix(text: str) -> IPNetwork:
    """A prefix, with no bit set beyond its length."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text or not _has_plain_length(text, required=True):
        raise ValueError(f"{text!r} is not a prefix like 10.0.0.0/24 or fd00::/64")
    if network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"{text!r} has bits set beyond its length; is {network} meant?")
    return network


def read_mac(text: str) -> str:
    """The MAC of one machine, in lower case."""
    if text.replace(":", "").strip("0") == "":
        raise ValueError(f"{text!r} is the zero MAC")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{text!r} is a group MAC (its first byte is odd)")
    return text.lower()


def _one_machine(address: IPAddress, text: str) -> IPAddress:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} has a scope; leave out {'%' + address.scope_id!r}")
    if address.is_multicast or address.is_unspecified or int(address) == (1 << 32) - 1:
        raise ValueError(f"{text!r} is not the address of one machine")
    return address


def _has_plain_length(text: str, *, required: bool) -> bool:
    return bool(re.fullmatch(r"[^/]+/[0-9]{1,3}" if required else r"[^/]+(/[0-9]{1,3})?", text))


CHECKS: dict[str, Callable[[str], object]] = {
    "address": read_address,
    "interface": read_interface,
    "prefix": read_prefix,
    "mac": read_mac,
}
