"""What a host writes to the store about itself, as differences to what the store holds.

1. A host writes and removes only rows that carry its own name.
2. A port that works and has no row gets none: absence means that nothing is known against it.
3. Nothing is written about the ports of monitors, which the store does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from onehop.controller.agent.desired import Desired, Snapshot
from onehop.controller.agent.events import OfPort
from onehop.engine.model import Host, LearnedRoute, PortStatus, Resource
from onehop.engine.model.monitors import is_derived

T = TypeVar("T", bound=Resource)
USUAL_WEIGHT, LAST_WEIGHT = 100, 65_535  # the last: taken only where there is no other route


class Rows(NamedTuple):
    """Rows to write and to remove."""

    put: list[Resource]
    remove: list[tuple[str, str]]


def routes(
    host: str, snapshot: Snapshot, learned: Mapping[str, frozenset[LearnedRoute]], *, keep: bool
) -> Rows:
    """The routes learned, by uplink port; `keep` those of uplinks that have not reported yet.

    Those of a host that is drained stay, as the last ones that anybody chooses.
    """
    there = _own(host, snapshot, LearnedRoute)
    wanted = {route.name: route for found in learned.values() for route in found}
    for name, row in there.items():
        if keep and row.next_hop_port not in learned:
            wanted[name] = row
    return _difference(there, weighted(wanted, drained=is_drained(host, snapshot)))


def is_drained(host: str, snapshot: Snapshot) -> bool:
    """Whether the topology says that `host` is to be drained."""
    stated = snapshot.get(Host.KIND, {}).get(host)
    return isinstance(stated, Host) and stated.drain


def weighted(routes: Mapping[str, LearnedRoute], *, drained: bool) -> dict[str, LearnedRoute]:
    """The routes as their gateway states them."""
    weight = LAST_WEIGHT if drained else USUAL_WEIGHT
    return {name: msgspec.structs.replace(row, weight=weight) for name, row in routes.items()}


def statuses(state: Desired, snapshot: Snapshot, ports: Mapping[str, OfPort]) -> Rows:
    """The exterior ports of this host that work, and those that don't."""
    there = _own(state.host, snapshot, PortStatus)
    wanted: dict[str, PortStatus] = {}
    for interface in (i for i in state.interfaces if not is_derived(i.port)):
        port = ports.get(interface.device)
        up = port is not None and port.link_up
        if not up or interface.port in snapshot.get(PortStatus.KIND, {}):
            wanted[interface.port] = PortStatus(host=state.host, port=interface.port, up=up)
    return _difference(there, wanted)


def _difference(there: Mapping[str, Resource], wanted: Mapping[str, Resource]) -> Rows:
    put = [row for name, row in sorted(wanted.items()) if there.get(name) != row]
    gone = [(row.KIND, name) for name, row in sorted(there.items()) if name not in wanted]
    return Rows(put, gone)


def _own(host: str, snapshot: Snapshot, kind: type[T]) -> dict[str, T]:
    rows: Iterable[tuple[str, T]] = snapshot.get(kind.KIND, {}).items()  # type: ignore[assignment]
    return {name: row for name, row in rows if row.host == host}  # type: ignore[attr-defined]
