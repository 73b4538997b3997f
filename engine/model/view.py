"""A topology as the rules look at it: resources by name, links, and broadcast domains.

1. Holds sound resources only; the first of two with one name.
2. A *domain* is what one broadcast reaches: bridges that are linked and the ports on them, or
   the two ends of a link between routers, or a single port of a router.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from typing import TypeVar

from onehop.engine.model.resources import Bridge, Host, Port, Resource, Router
from onehop.engine.model.texts import IPInterface, IPNetwork, read_interface

AnyResource = TypeVar("AnyResource", bound=Resource)
Domain = tuple[str, str]  # ("bridge", its first bridge's name), ("link" or "port", port's name)


class View:
    """Sound resources, and what follows from them."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = list(resources)
        self.hosts = self.by_name(Host)
        self.bridges = self.by_name(Bridge)
        self.routers = self.by_name(Router)
        self.ports = self.by_name(Port)
        self.addresses: dict[str, tuple[IPInterface, ...]] = {
            port.name: tuple(read_interface(text) for text in port.addresses)
            for port in self.ports.values()
        }
        self._claims = self._find_claims()
        self.peers = self._find_peers()
        self.loops: list[Port] = []  # the links that close a loop of bridges
        self._domains = self._join_bridges()
        self.subnets = self._find_subnets()

    def by_name(self, kind: type[AnyResource]) -> dict[str, AnyResource]:
        """The resources of one kind."""
        named: dict[str, AnyResource] = {}
        for resource in self._resources:
            if isinstance(resource, kind):
                named.setdefault(resource.name, resource)
        return named

    def ports_of(self, devices: Container[str]) -> list[Port]:
        """The ports of any of `devices`, in the order in which they are stated."""
        return [port for port in self.ports.values() if port.device in devices]

    def domain(self, port: Port) -> Domain:
        """The broadcast domain that `port` is in."""
        peer = self.ports.get(self.peers.get(port.name, ""))
        for end in (port, peer):
            if end and end.device in self.bridges:
                return self.domain_of_bridge(end.device)
        return ("link", min(port.name, peer.name)) if peer else ("port", port.name)

    def domain_of_bridge(self, bridge: str) -> Domain:
        """The broadcast domain that the ports of `bridge` are in."""
        return "bridge", self._first(bridge) if bridge in self.bridges else bridge

    def why_no_link(self, port: Port) -> str:
        """Why the peer that `port` states cannot be its peer, or "" where it can."""
        peer = self.ports.get(port.peer or "", port)
        if port.host is not None or port.interface is not None:
            return "a port has either a peer or a host and an interface"
        if peer is port:
            return "is the port itself"
        if peer.host is not None or peer.interface is not None:
            return f"port {peer.name!r} has a host and an interface"
        other = peer.peer or self._claims[peer.name]
        return f"port {peer.name!r} is the peer of {other!r}" if other != port.name else ""

    def _find_subnets(self) -> defaultdict[tuple[Domain, int], set[IPNetwork]]:
        """By domain and version of IP, the subnets that routers give it."""
        subnets: defaultdict[tuple[Domain, int], set[IPNetwork]] = defaultdict(set)
        for port in self.ports_of(self.routers):
            for address in self.addresses[port.name]:
                if not address.is_link_local:
                    subnets[self.domain(port), address.version].add(address.network)
        return subnets

    def _find_claims(self) -> dict[str, str]:
        """Of each port that is stated as a peer, the first that states it."""
        claims: dict[str, str] = {}
        for port in self.ports.values():
            if port.peer is not None:
                claims.setdefault(port.peer, port.name)
        return claims

    def _find_peers(self) -> dict[str, str]:
        peers: dict[str, str] = {}
        for port in self.ports.values():
            if port.peer in self.ports and not self.why_no_link(port):
                peers[port.name] = port.peer
                peers[port.peer] = port.name
        return peers

    def _join_bridges(self) -> dict[str, str]:
        self._domains = {name: name for name in self.bridges}
        for port in self.ports.values():
            if port.peer is not None and port.name in self.peers:
                self._join(port, self.ports[port.peer])
        return self._domains

    def _join(self, port: Port, peer: Port) -> None:
        mutual = peer.peer == port.name and peer.name < port.name  # seen from the other side
        if mutual or not (port.device in self.bridges and peer.device in self.bridges):
            return
        mine, other = self._first(port.device), self._first(peer.device)
        if mine == other:
            self.loops.append(port)
        self._domains[max(mine, other)] = min(mine, other)

    def _first(self, bridge: str) -> str:
        while self._domains[bridge] != bridge:
            self._domains[bridge] = bridge = self._domains[self._domains[bridge]]
        return bridge
