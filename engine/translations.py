"""What follows from floating IPs and leased ports: facts for the compiled topology.

1. ("floating", router, "floating" or "fixed", address): the other address of the pair.
2. ("block", host, address, first port): how many ports are leased.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from onehop.engine.model import FloatingIp, NatBlock

Said = tuple[tuple[Any, ...], Any]


def say_translation(resource: Any) -> Iterator[Said]:
    """What a floating IP or a leased block says."""
    match resource:
        case FloatingIp():
            outer = ip_address(resource.address).packed
            inner = ip_address(resource.fixed_address).packed
            if len(outer) == len(inner):
                yield ("floating", resource.router, "floating", outer), inner
                yield ("floating", resource.router, "fixed", inner), outer
        case NatBlock():
            address = ip_address(resource.address).packed
            yield ("block", resource.host, address, resource.first_port), resource.n_ports
