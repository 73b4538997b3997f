"""What a topology states about the link behind an exterior port: who speaks there, and to whom.

1. Behind a bridge's port is the machine whose MAC and addresses the port states.
2. Behind a router's port is somebody whom nobody states; the router itself is the next hop.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_interface

from onehop.engine import model

IPAddress = IPv4Address | IPv6Address


class Link:
    """The link behind one port of a topology."""

    def __init__(self, topology: model.Topology, port: model.Port) -> None:
        self.port = port
        self._ports = {found.name: found for found in topology.ports}
        self._bridges = {bridge.name for bridge in topology.bridges}

    @property
    def mac(self) -> str | None:
        """The MAC of the machine that speaks here."""
        return self.port.mac if self._is_bridges(self.port) else None

    def address(self, version: int) -> IPAddress | None:
        """The machine's address of a family."""
        own = _addresses(self.port) if self._is_bridges(self.port) else []
        return next((address for address in own if address.version == version), None)

    def next_hop_mac(self, dst: IPAddress) -> str | None:
        """The MAC that the machine would send to: of who has `dst`, else of a router."""
        if not self._is_bridges(self.port):
            return _mac(self.port)
        for port in self._beside():
            if dst in _addresses(port):
                return _mac(port)
        speaks = (r for r in self._routers() if dst.version in {a.version for a in _addresses(r)})
        return next(map(_mac, speaks), None)

    def _beside(self) -> Iterator[model.Port]:
        """Ports that state a MAC and addresses on this bridge."""
        yield from self._routers()
        yield from (p for p in self._ports.values() if p.device == self.port.device and p.mac)

    def _routers(self) -> Iterator[model.Port]:
        """Router ports that are peers of this bridge's ports."""
        for port in self._ports.values():
            for one, other in self._ends(port):
                if one.device == self.port.device and not self._is_bridges(other):
                    yield other

    def _ends(self, port: model.Port) -> Iterator[tuple[model.Port, model.Port]]:
        peer = self._ports.get(port.peer or "")
        if peer is not None:
            yield from ((port, peer), (peer, port))

    def _is_bridges(self, port: model.Port) -> bool:
        return port.device in self._bridges


def _addresses(port: model.Port) -> list[IPAddress]:
    return [ip_interface(text).ip for text in port.addresses]


def _mac(port: model.Port) -> str:
    return port.mac or model.router_mac(port)
