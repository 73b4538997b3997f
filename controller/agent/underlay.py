"""What the underlay carries, as the kernel knows it."""

from __future__ import annotations

import json

from onehop.controller.agent import namespaces


def mtu_of(tunnel_address: str) -> int | None:
    """The MTU of the device that has this address; None: there is no such device."""
    said = namespaces.run("ip", "-json", "address", "show", "to", tunnel_address)
    found = [link["mtu"] for link in json.loads(said or "[]") if "mtu" in link]
    return int(found[0]) if found else None
