"""Whose flow state is whose: the hosts of the ports that share a stateful port group.

1. Whatever the order of changes, the same resources give the same answer.
2. A group may name ports that are not there, and ports may come and go: those count as hostless.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from onehop.engine.model import Port, PortGroup, Resource


class Sharing:
    """Which hosts must hear of the connections of a port."""

    def __init__(self) -> None:
        self._host: dict[str, str] = {}  # exterior port -> its host
        self._members: dict[str, tuple[str, ...]] = {}  # stateful group -> its ports
        self._groups: dict[str, set[str]] = defaultdict(set)  # port -> its stateful groups

    def change(
        self, put: Iterable[Resource], remove: Iterable[tuple[str, str]]
    ) -> dict[str, tuple[str, ...]]:
        """Apply the changes; the hosts of each port whose hosts may be others now."""
        touched: set[str] = set()
        for resource in put:
            match resource:
                case PortGroup():
                    touched |= self._regroup(resource.name, resource)
                case Port():
                    touched |= self._move(resource.name, resource.host)
        for kind, name in remove:
            if kind == PortGroup.KIND:
                touched |= self._regroup(name, None)
            elif kind == Port.KIND:
                touched |= self._move(name, None)
        return {port: self.hosts(port) for port in sorted(touched)}

    def hosts(self, port: str) -> tuple[str, ...]:
        """The hosts of all ports in the stateful groups of `port`."""
        near = {name for group in self._groups.get(port, ()) for name in self._members[group]}
        return tuple(sorted({self._host[name] for name in near if name in self._host}))

    def _regroup(self, name: str, group: PortGroup | None) -> set[str]:
        before = self._members.pop(name, ())
        after = group.ports if group is not None and group.stateful else ()
        for port in before:
            self._groups[port].discard(name)
        for port in after:
            self._groups[port].add(name)
        if after:
            self._members[name] = after
        return {*before, *after}

    def _move(self, port: str, host: str | None) -> set[str]:
        if self._host.get(port) == host:
            return set()
        if host is None:
            del self._host[port]
        else:
            self._host[port] = host
        return {name for group in self._groups.get(port, ()) for name in self._members[group]}
