"""Which addresses routers have besides their ports': floating IPs, VIPs, and the pools that they
translate sources to.

1. A router has the pools of the chains that packets meet at it: of its filters and its ports'
   filters, and of those that they jump to.
2. A chain without `snat` and jumps is nobody's: its changes cost nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_address, summarize_address_range

from onehop.engine.model import Chain, FloatingIp, NatTarget, Port, Resource, Router, Vip

Network = tuple[bytes, int]


class Reach:
    """The virtual addresses, and the pools of chains, by router."""

    def __init__(self) -> None:
        self._pools: dict[str, frozenset[Network]] = {}  # chain -> what its rules translate to
        self._jumps: dict[str, frozenset[str]] = {}
        self._sources: defaultdict[str, set[str]] = defaultdict(set)  # chain -> who jumps to it
        self._held: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)  # device -> filters
        self._holders: defaultdict[str, set[str]] = defaultdict(set)  # chain -> devices
        self._virtual: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def note(self, resource: Resource) -> None:
        match resource:
            case Chain():
                self._note_chain(resource)
            case Router():
                self._note_filters(resource.name, resource.KIND, _filters(resource))
            case Port():
                self._note_filters(resource.device, f"port {resource.name}", _filters(resource))
            case FloatingIp() | Vip():
                self._virtual[resource.router].add((resource.KIND, resource.name))

    def forget(self, resource: Resource) -> None:
        match resource:
            case Chain():
                for chain in self._jumps.pop(resource.name, ()):
                    self._sources[chain].discard(resource.name)
                self._pools.pop(resource.name, None)
            case Router():
                self._note_filters(resource.name, resource.KIND, set())
            case Port():
                self._note_filters(resource.device, f"port {resource.name}", set())
            case FloatingIp() | Vip():
                self._virtual[resource.router].discard((resource.KIND, resource.name))

    def devices(self, chain: Chain) -> set[str]:
        """Where packets meet the chain, as far as that matters."""
        if not any(rule.action in ("snat", "jump") for rule in chain.rules):
            return set()
        found, waiting = set[str](), [chain.name]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._sources[name]
        return set().union(*(self._holders[name] for name in found))

    def virtual(self, router: str) -> set[tuple[str, str]]:
        """The floating IPs and VIPs of the router, as (kind, name)."""
        return self._virtual.get(router, set())

    def pools(self, device: str) -> frozenset[Network]:
        """What sources become at the device."""
        found, waiting = set[str](), [c for held in self._held[device].values() for c in held]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._jumps.get(name, ())
        return frozenset().union(*(self._pools.get(name, frozenset()) for name in found))

    def _note_chain(self, chain: Chain) -> None:
        jumps = frozenset(rule.jump for rule in chain.rules if rule.jump)
        targets = [t for rule in chain.rules if rule.action == "snat" for t in rule.targets]
        if jumps:
            self._jumps[chain.name] = jumps
        if targets:
            self._pools[chain.name] = frozenset(net for t in targets for net in _networks(t))
        for jumped in jumps:
            self._sources[jumped].add(chain.name)

    def _note_filters(self, device: str, holder: str, filters: set[str]) -> None:
        if not filters and holder not in self._held.get(device, ()):
            return
        before = set().union(*self._held[device].values())
        if filters:
            self._held[device][holder] = filters
        else:
            self._held[device].pop(holder, None)
        after = set().union(*self._held[device].values())
        for chain in before ^ after:
            (self._holders[chain].add if chain in after else self._holders[chain].discard)(device)


def _filters(holder: Router | Port) -> set[str]:
    return {chain for chain in (holder.inbound_filter, holder.outbound_filter) if chain}


def _networks(target: NatTarget) -> Iterator[Network]:
    first, last = (
        ip_address(target.first_address),
        ip_address(target.last_address or target.first_address),
    )
    if first.version == last.version and first <= last:  # type: ignore[operator]
        for net in summarize_address_range(first, last):
            yield net.network_address.packed, net.prefixlen
