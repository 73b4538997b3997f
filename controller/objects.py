"""Work on single objects of the store, the same for the command line and the API.

1. No kind and no field is named here: all follows from the model's registry and annotations, so
   that a new kind is worked on without more code.
2. The `*_decision` functions make what `Store.change` takes: they know what is held when the
   change happens, and refuse by raising.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from onehop.controller.errors import InputError
from onehop.controller.store.client import NOTHING_UNREAD, Decide, Held, Step
from onehop.engine.model import KINDS, STATED, ModelError, Problem, Resource
from onehop.engine.model.check import Unread
from onehop.engine.model.index import Index
from onehop.engine.model.values import fields_of, read_resource, references, several

Ident = tuple[str, str]  # a kind and a name
Condition = Callable[[Resource], bool]


class MissingError(InputError):
    """An object that is not there."""

    def __init__(self, ident: Ident) -> None:
        super().__init__(f"there is no {ident[0]} {ident[1]!r}")


class ExistsError(InputError):
    """An object that is there already."""


class InUseError(InputError):
    """An object that others name."""


class User(NamedTuple):
    """An object that names another, and in which field."""

    resource: Resource
    field: str

    def __str__(self) -> str:
        return f"{self.resource.KIND} {self.resource.name!r} ({self.field})"


def kind_named(word: str, *, stated: bool = False) -> type[Resource]:
    """The kind that `word` means: "port", "ports", "port-group", "BGP_Peers"."""
    kinds = STATED if stated else tuple(KINDS.values())
    wanted = word.lower().replace("-", "_")
    for kind in kinds:
        if wanted in (kind.KIND, kind.PLURAL):
            return kind
    if wanted in {word for kind in KINDS.values() for word in (kind.KIND, kind.PLURAL)}:
        raise InputError(f"{word!r} is what hosts find out; nobody else states it")
    raise InputError(f"there is no kind {word!r}; there are {', '.join(k.KIND for k in kinds)}")


def of_kind(held: Held, kind: type[Resource]) -> list[Resource]:
    """The resources of a kind, by name."""
    return [held[ident] for ident in sorted(i for i in held if i[0] == kind.KIND)]


def get(held: Held, ident: Ident) -> Resource:
    """A resource; raises a MissingError."""
    if ident not in held:
        raise MissingError(ident)
    return held[ident]


def plain(resource: Resource) -> dict[str, Any]:
    """Everything that is said about a resource, its name first."""
    return {"name": resource.name, **msgspec.to_builtins(resource)}


def users(held: Held, ident: Ident) -> list[User]:
    """What names `ident`, state after what is stated."""
    kind, name = ident
    found = [
        User(resource, reference.field)
        for resource in held.values()
        for reference in references(resource)
        if reference.name == name and kind in reference.kinds
    ]
    places = list(KINDS)
    return sorted(found, key=lambda user: (places.index(user.resource.KIND), user.resource.name))


def condition(kind: type[Resource], field: str, text: str) -> Condition:
    """Whether a resource of `kind` has `text` in `field`, or among what is in it."""
    names = ["name", *(known.name for known in fields_of(kind) if known.name != "name")]
    if field not in names:
        raise InputError(f"{kind.KIND}: {field}: unknown field; there are {', '.join(names)}")
    return lambda resource: text in _texts(getattr(resource, field))


def _texts(value: Any) -> list[str]:
    values = several(value) or ("",)
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


# Decisions.


def create_decision(resources: Sequence[Resource], unread: Unread = NOTHING_UNREAD) -> Decide:
    """Put objects that are not there yet; no two of them are of the same kind and name.

    Where something is `unread`, an object that is there is one more mistake.
    """

    def decide(held: Index) -> Step:
        taken = [r for r in resources if (r.KIND, r.name) in held]
        if taken and unread.problems:
            there = [Problem(r.KIND, r.name, "name", "is there already") for r in taken]
            raise ModelError([*unread.problems, *there])
        if taken:
            raise ExistsError("\n".join(f"there is a {r.KIND} {r.name!r} already" for r in taken))
        return Step(list(resources), [])

    return decide


def edit_decision(ident: Ident, edit: Callable[[Resource], Resource]) -> Decide:
    """Put what `edit` makes of an object that is there."""

    def decide(held: Index) -> Step:
        return Step([edit(get(held, ident))], [])

    return decide


def delete_decision(
    idents: Sequence[Ident], agree: Callable[[Resource], None] = lambda _: None
) -> Decide:
    """Remove objects that no other one names; `agree` may refuse by raising."""

    def decide(held: Index) -> Step:
        complaints = []
        for ident in idents:
            agree(get(held, ident))
            using = [str(user) for user in _users_beside(held, ident, idents)]
            if using:
                complaints.append(f"{ident[0]} {ident[1]!r} is used by {', '.join(using)}")
        if complaints:
            raise InUseError("\n".join(complaints))
        return Step([], list(idents))

    return decide


def _users_beside(held: Index, ident: Ident, gone: Sequence[Ident]) -> list[User]:
    """What names `ident` when `gone` is no longer there."""
    names = {user: held[user] for user in set(held.users(ident)).difference(gone)}
    return users(names, ident)


# Plain data to objects.


def made(kind: type[Resource], raw: Mapping[str, Any], label: str = "") -> Resource:
    """A resource of plain data; raises a ModelError with every problem of its fields."""
    read = read_resource(kind, raw, label)
    if isinstance(read, list):
        raise ModelError(read)
    return read


def edited(resource: Resource, changes: Mapping[str, Any]) -> Resource:
    """`resource` with other values in some fields; None: back to what it is when not stated."""
    kind = type(resource)
    raw = {**msgspec.to_builtins(resource), **changes}
    result = made(kind, {name: v for name, v in raw.items() if v is not None}, resource.name)
    if result.name != resource.name:
        reason = f"cannot become {result.name!r}: a name never changes"
        raise ModelError([Problem(kind.KIND, resource.name, "name", reason)])
    return result
