"""The wires of the lab: veth pairs whose carriers are told at once.

The kernel tells of a lost carrier at once only where the device has another one below it;
otherwise it may wait for a second (linkwatch).  It takes a veth for such a device unless the
indices of its two ends, each counted in its own namespace, are equal by chance.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from mininet.link import Link

_indices = count(10_000)  # beyond what any namespace counts to


class Wire(Link):  # type: ignore[misc]  # Mininet has no types
    """A veth pair, made where its ends belong."""

    @classmethod
    def makeIntfPair(  # noqa: N802, PLR0913  # Mininet's name and parameters
        cls,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: N803, FBT001, FBT002
    ) -> None:
        said = node1.cmd(
            f"ip link add name {intfname1} index {next(_indices)} type veth "
            f"peer name {intfname2} netns {node2.pid}"
        )
        if said:
            raise OSError(said.strip())
