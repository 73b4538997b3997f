from collections.abc import Iterable

from onehop.engine.effects import MacLearned, NeighborLearned
from onehop.engine.model import Resource
from onehop.engine.names import Names

class Topology:
    """The virtual topology compiled, replaced piece by piece."""

    names: Names

    def __init__(self) -> None: ...
    def update(self, put: Iterable[Resource], remove: Iterable[tuple[str, str]] = ()) -> list[int]:
        """Apply one consistent step: `put` resources, then `remove` (kind, name) pairs.

        Returns the tags of what changed: the flows to simulate again. References to what is not
        there (yet) are allowed; what depends on them is inactive.
        """

    def set_host_alive(self, host: str, alive: bool) -> list[int]:
        """A host is alive until said otherwise. Returns tags, as `update` does."""

    def set_underlay_mtu(self, mtu: int) -> None:
        """The longest IP packet that the hosts can send each other; 1500 until it is said."""

    def learn(self, effect: MacLearned | NeighborLearned) -> list[int]:
        """Apply what a verdict learned: the same as to put its LearnedMac or Neighbor."""

    def get(self, kind: str, name: str) -> Resource | None:
        """The resource as it was put."""

    @property
    def limits(self) -> tuple[int, ...]:
        """The lengths that flows tell apart."""

    def is_active(self, port: str) -> bool:
        """Whether packets can leave by it: up, with a live host and carrier, or a peer."""

    def ports_of_host(self, host: str) -> list[str]:
        """The exterior ports bound to `host`."""

    def bridge_hosts(self, bridge: str) -> list[str]:
        """The live hosts that a flood of `bridge` goes to."""

    def neighbor(self, port: str, address: str) -> str | None:
        """The MAC of `address` on the link of a router port, where it is known."""

    def mac_tag(self, bridge: str, vlan: int, mac: str) -> int:
        """The tag of verdicts that depended on where this MAC is on this bridge."""

    def neighbor_tag(self, port: str, address: str) -> int:
        """The tag of verdicts that depended on the MAC of this address."""
