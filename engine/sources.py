"""What sources say, by what it is about, and the fact that follows.

1. Several sources may speak about one key. What they say is settled the same way in whatever order
   they came.
2. Nearly every key has one source, which stands here by itself; only where there are more is there
   a set of them. A load is mostly the making of small containers, and the looking for garbage
   among them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from onehop.engine.fact import Key

Source = tuple[str, str]  # kind and name of a resource, "device" for both kinds of device


class Sources:
    """What each source says, and who speaks about each key."""

    def __init__(self) -> None:
        self._by: dict[Source, dict[Key, Any]] = {}
        self._sources: dict[Key, Source | set[Source]] = {}

    def hear(self, source: Source, new: dict[Key, Any]) -> Collection[Key]:
        """Put this in place of what the source said; the keys about which that is another."""
        old = self._by.pop(source, None)
        if new:
            self._by[source] = new
        if old is None:
            for key in new:
                self._add(key, source)
            return new.keys()
        for key in new.keys() - old.keys():
            self._add(key, source)
        for key in old.keys() - new.keys():
            self._drop(key, source)
        return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}

    def settle(self, key: Key) -> Any:
        """The fact that follows from what all sources say; None where none does."""
        sources = self._sources.get(key)
        if sources is None:
            return None
        if isinstance(sources, tuple):
            said = [self._by[sources][key]]
        else:
            said = [self._by[source][key] for source in sources]
        return JOINT.get(key[0], min)(said)

    def _add(self, key: Key, source: Source) -> None:
        others = self._sources.setdefault(key, source)
        if isinstance(others, set):
            others.add(source)
        elif others is not source:
            self._sources[key] = {others, source}

    def _drop(self, key: Key, source: Source) -> None:
        others = self._sources[key]
        if isinstance(others, set) and len(others) > 1:
            others.discard(source)
        else:
            del self._sources[key]


def _all_of(said: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    return tuple(sorted(set().union(*said)))


def _each(said: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(said))


def _any_of(said: Iterable[Iterable[Any]]) -> frozenset[Any]:
    return frozenset().union(*said)


JOINT: dict[str, Callable[[list[Any]], Any]] = {  # what follows of all; else the least of them
    "addresses": _any_of,
    "members": _each,
    "pool": _each,
    "prefix": _all_of,
}
