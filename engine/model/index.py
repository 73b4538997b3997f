"""What is stated, and where to find what a change may concern: an index that changes with it.

1. A *key* is something that resources have in common: what they name, an address on a device, a
   tunnel key.  `having` finds the resources of a key at a cost that follows their number.
2. What has fields that make no sense is there for those who name it, and has no keys.
3. A port is *linked* where it names a peer or a port names it; `links` has those of a device.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping

from onehop.engine.model.keysof import keys_of, snat_ranges
from onehop.engine.model.resources import Chain, Port, Resource
from onehop.engine.model.texts import IPAddress

Ident = tuple[str, str]  # a kind and a name


class Index(Mapping[Ident, Resource]):
    """Resources by kind and name, and by what they have in common."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._resources: dict[Ident, Resource] = {}
        self._ages: dict[Ident, int] = {}
        self._born = 0
        self._having = _Multimap()
        self._linked: dict[str, str] = {}  # the device of each linked port
        self._ranges = _Ranges()
        self.mtus: Counter[int] = Counter()
        for resource in resources:
            self.put(resource)

    def __getitem__(self, ident: Ident) -> Resource:
        return self._resources[ident]

    def __iter__(self) -> Iterator[Ident]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def having(self, *key: Hashable) -> list[Ident]:
        """The resources of a key."""
        return self._having.get(key)

    def users(self, ident: Ident, *kinds: str) -> list[Ident]:
        """What names `ident`, of some kinds or of all."""
        found = self._having.get(("names", *ident))
        return [user for user in found if user[0] in kinds] if kinds else found

    def oldest(self, idents: Iterable[Ident]) -> list[Ident]:
        """Those of `idents` that are held, in the order in which they came."""
        return sorted(self._ages.keys() & idents, key=self._ages.__getitem__)

    def links(self, device: str) -> list[Ident]:
        """The ports of a device that are linked."""
        return self._having.get(("linked", device))

    def port(self, name: str | None) -> Port | None:
        found = self._resources.get(("port", name or ""))
        return found if isinstance(found, Port) else None

    @property
    def tunnel_keys(self) -> Container[int]:
        """The tunnel keys that bridges and ports have."""
        return _TunnelKeys(self)

    def chains_around(self, first: int, last: int, version: int) -> set[str]:
        """The chains with snat pools that have one of these addresses."""
        return self._ranges.around(first, last, version)

    def chains_with(self, address: IPAddress) -> set[str]:
        """The chains with snat pools that have an address."""
        return self._ranges.around(int(address), int(address), address.version)

    def put(self, resource: Resource, *, sound: bool = True) -> None:
        """Hold `resource`, in the place of another of its name or behind all others."""
        ident = (resource.KIND, resource.name)
        self._forget(ident)
        self._resources[ident] = resource
        if ident not in self._ages:
            self._born += 1
            self._ages[ident] = self._born
        if sound:
            self._note(ident, resource, 1)
        self._relink(ident, resource)

    def remove(self, ident: Ident) -> None:
        self._forget(ident)
        resource = self._resources.pop(ident, None)
        if resource is not None:
            del self._ages[ident]
            self._relink(ident, resource)

    def _forget(self, ident: Ident) -> None:
        resource = self._resources.get(ident)
        if resource is not None and ident in self._having.known:
            self._note(ident, resource, -1)
            self._relink(ident, resource)

    def _note(self, ident: Ident, resource: Resource, change: int) -> None:
        """Add the keys of a resource, or take them away."""
        (self._having.add if change > 0 else self._having.discard)(ident, set(keys_of(resource)))
        if isinstance(resource, Port) and resource.mtu is not None:
            self.mtus[resource.mtu] += change
            if not self.mtus[resource.mtu]:
                del self.mtus[resource.mtu]
        if isinstance(resource, Chain):
            for first, last, version in set(snat_ranges(resource)):
                self._ranges.change(first, last, version, resource.name, change)

    def _relink(self, ident: Ident, resource: Resource) -> None:
        if isinstance(resource, Port):
            for name in (ident[1], resource.peer):
                if name is not None:
                    self._relink_port(name)

    def _relink_port(self, name: str) -> None:
        port, ident = self.port(name), ("port", name)
        linked = port and ident in self._having.known and (port.peer or self.users(ident, "port"))
        device = port.device if port and linked else None
        before = self._linked.get(name)
        if device == before:
            return
        if before is not None:
            self._having.discard_one(("linked", before), ident)
            del self._linked[name]
        if device is not None:
            self._having.add_one(("linked", device), ident)
            self._linked[name] = device


class _TunnelKeys(Container[int]):
    """The tunnel keys in an index, as it is when asked."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __contains__(self, key: object) -> bool:
        return bool(self._index.having("tunnel key", key))


class _Multimap:
    """Idents by key; most keys have one, which then stands alone, to save memory."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Ident | set[Ident]] = {}
        self.known: set[Ident] = set()

    def get(self, key: Hashable) -> list[Ident]:
        found = self._found.get(key, ())
        return list(found) if isinstance(found, set) else [found] if found else []

    def add(self, ident: Ident, keys: set[Hashable]) -> None:
        self.known.add(ident)
        for key in keys:
            self.add_one(key, ident)

    def discard(self, ident: Ident, keys: set[Hashable]) -> None:
        self.known.discard(ident)
        for key in keys:
            self.discard_one(key, ident)

    def add_one(self, key: Hashable, ident: Ident) -> None:
        found = self._found.setdefault(key, ident)
        if isinstance(found, set):
            found.add(ident)
        elif found != ident:
            self._found[key] = {found, ident}

    def discard_one(self, key: Hashable, ident: Ident) -> None:
        found = self._found.get(key)
        if isinstance(found, set):
            found.discard(ident)
            if not found:
                del self._found[key]
        elif found == ident:
            del self._found[key]


class _Ranges:
    """Ranges of addresses and whose they are, in the order of their first address."""

    def __init__(self) -> None:
        self._sorted: dict[int, list[tuple[int, int, str]]] = {4: [], 6: []}
        self._longest = 0  # that there ever was

    def change(self, first: int, last: int, version: int, owner: str, change: int) -> None:
        ranges, entry = self._sorted[version], (first, last, owner)
        if change > 0:
            insort(ranges, entry)
            self._longest = max(self._longest, last - first)
        else:
            del ranges[bisect_left(ranges, entry)]

    def around(self, first: int, last: int, version: int) -> set[str]:
        ranges = self._sorted[version]
        found = set()
        for place in range(bisect_left(ranges, (first - self._longest,)), len(ranges)):
            start, end, owner = ranges[place]
            if start > last:
                break
            if end >= first:
                found.add(owner)
        return found
