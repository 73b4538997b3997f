"""Bodies that state objects: what can be made of them, and all that is wrong with the rest.

1. One mistake hides no other: what can be made is checked against the store, together with why
   the rest cannot.
"""

from __future__ import annotations

import reprlib
from typing import Any

from onehop.controller.objects import Ident
from onehop.engine.model import STATED, Problem, Resource
from onehop.engine.model.check import Unread
from onehop.engine.model.values import read_resource


class Body:
    """The objects of a body."""

    def __init__(self) -> None:
        self.made: list[Resource] = []  # each kind and name once
        self._idents: set[Ident] = set()
        self._problems: list[Problem] = []
        self._unread: set[Ident] = set()

    @property
    def unread(self) -> Unread:
        """What could not be made, and why."""
        return Unread(tuple(dict.fromkeys(self._problems)), frozenset(self._unread))

    def add_kinds(self, raw: dict[str, Any]) -> None:
        """Take in lists of objects by kind, as in a topology file."""
        plurals = {kind.PLURAL: kind for kind in STATED}
        for plural, items in raw.items():
            if plural not in plurals:
                reason = f"unknown field; there are {', '.join(plurals)}"
                self._problems.append(Problem("body", "", plural, reason))
            elif not isinstance(items, list):
                self._problems.append(Problem("body", "", plural, "expected a list"))
            else:
                self.add(plurals[plural], items)

    def add(self, kind: type[Resource], raws: list[Any]) -> None:
        """Take in objects of one kind."""
        for place, raw in enumerate(raws, 1):
            label = f"#{place}" if len(raws) > 1 else ""
            if isinstance(raw, dict):
                self._take(kind, read_resource(kind, raw, label), raw)
            else:
                reason = f"is not an object with fields but {reprlib.repr(raw)}"
                self._problems.append(Problem(kind.KIND, label, "", reason))

    def _take(
        self, kind: type[Resource], read: Resource | list[Problem], raw: dict[str, Any]
    ) -> None:
        if isinstance(read, list):
            self._problems += read
            self._unread.add((kind.KIND, str(raw.get("name", ""))))
        elif (kind.KIND, read.name) in self._idents:
            reason = "stands twice in what is to be made"
            self._problems.append(Problem(kind.KIND, read.name, "name", reason))
        else:
            self._idents.add((kind.KIND, read.name))
            self.made.append(read)
