"""Tunnel keys and MACs for what states none.

1. A key is 1 … `MAX_KEY`, and no two bridges or ports share one (VNI 0 is BFD's).
2. What states a key gets it; what had one before keeps it unless somebody now states it.
3. The rest depends on names only, so that two who assign keys to one topology agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from typing import TypeVar

import msgspec

from onehop.engine.model.resources import MAX_KEY, Bridge, Port, Topology

Keyed = Bridge | Port
AnyKeyed = TypeVar("AnyKeyed", Bridge, Port)


def router_mac(port: Port) -> str:
    """The MAC of a router port: the stated one, or one that follows from its name."""
    if port.mac is not None:
        return port.mac
    digest = hashlib.sha256(port.name.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))  # 0x02: locally administered


def assign_keys(
    topology: Topology,
    taken: Mapping[tuple[str, str], int] = {},  # noqa: B006 (never changed)
    used: Container[int] = (),
) -> Topology:
    """Give each bridge and port without a tunnel key one.

    `taken` holds the keys that were assigned before, by (kind, name), also those of what is not
    in `topology`: nothing else gets these.  `used` has keys that nothing gets at all.
    """
    keyed: list[Keyed] = [*topology.bridges, *topology.ports]
    keys = _choose_keys(keyed, taken, used)
    return msgspec.structs.replace(
        topology,
        bridges=tuple(_with_key(bridge, keys) for bridge in topology.bridges),
        ports=tuple(_with_key(port, keys) for port in topology.ports),
    )


def _choose_keys(
    keyed: Iterable[Keyed], taken: Mapping[tuple[str, str], int], used: Container[int]
) -> dict[tuple[str, str], int]:
    keyed = sorted(keyed, key=lambda resource: (resource.KIND, resource.name))
    owners = {r.tunnel_key: (r.KIND, r.name) for r in keyed if r.tunnel_key}
    unkeyed = [(r.KIND, r.name) for r in keyed if not r.tunnel_key]
    for ident in unkeyed:
        if ident in taken:
            owners.setdefault(taken[ident], ident)
    settled = set(owners.values())
    assigned = set(taken.values())
    for ident in unkeyed:
        if ident not in settled:
            owners[_free_key(ident, assigned, used, owners)] = ident
    return {ident: key for key, ident in owners.items()}


def _free_key(ident: tuple[str, str], *taken: Container[int]) -> int:
    digest = hashlib.sha256(" ".join(ident).encode()).digest()
    key = int.from_bytes(digest[:4], "big") % MAX_KEY + 1
    while any(key in keys for keys in taken):
        key = key % MAX_KEY + 1
    return key


def _with_key(resource: AnyKeyed, keys: Mapping[tuple[str, str], int]) -> AnyKeyed:
    if resource.tunnel_key:
        return resource
    return msgspec.structs.replace(resource, tunnel_key=keys[resource.KIND, resource.name])
