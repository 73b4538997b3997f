"""Broadcast domains as an index shows them: what is linked, and no more of it than that.

1. A *skeleton* is what makes a domain what it is: its bridges, its linked ports, its routers.  The
   machines' ports are not in it, so that it stays small however many there are.
2. A skeleton may have more than the domain where links are stated that are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onehop.engine.model.index import Index
from onehop.engine.model.resources import Port


@dataclass
class Skeleton:
    """What makes a broadcast domain."""

    devices: set[str] = field(default_factory=set)  # bridges, and routers that are linked
    bridges: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)


class Domains:
    """The skeletons of an index that does not change meanwhile."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._of_bridges: dict[str, Skeleton] = {}
        self._of_ports: dict[str, Skeleton] = {}  # of linked ports, and of routers' ports

    def of_port(self, port: Port) -> Skeleton:
        """The skeleton of the domain that `port` is in, with the port's own link."""
        if self._is_bridge(port.device) and not self._ends(port):
            return self.of_bridge(port.device)
        if port.name not in self._of_ports:
            self._keep(self._grown([port.name]))
        return self._of_ports[port.name]

    def of_bridge(self, bridge: str) -> Skeleton:
        if bridge not in self._of_bridges:
            skeleton = self._grown([name for _, name in self._index.links(bridge)])
            skeleton.devices.add(bridge)
            skeleton.bridges.add(bridge)
            self._keep(skeleton)
        return self._of_bridges[bridge]

    def _keep(self, skeleton: Skeleton) -> None:
        self._of_bridges.update(dict.fromkeys(skeleton.bridges, skeleton))
        self._of_ports.update(dict.fromkeys(skeleton.ports, skeleton))

    def _grown(self, names: list[str]) -> Skeleton:
        """What is reached from linked ports."""
        found, waiting = Skeleton(), list(names)
        while waiting:
            name = waiting.pop()
            port = self._index.port(name)
            if port is None or name in found.ports:
                continue
            found.ports.add(name)
            waiting += self._ends(port)
            if port.device in found.devices:
                continue
            found.devices.add(port.device)
            if self._is_bridge(port.device):
                found.bridges.add(port.device)
                waiting += [other for _, other in self._index.links(port.device)]
        return found

    def _ends(self, port: Port) -> list[str]:
        """The ports that `port` names, or that name it."""
        named = [port.peer] if port.peer is not None else []
        return named + [name for _, name in self._index.users(("port", port.name), "port")]

    def _is_bridge(self, device: str) -> bool:
        return ("bridge", device) in self._index
