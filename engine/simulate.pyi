from onehop.engine.explain import Verdict
from onehop.engine.states import States
from onehop.engine.topology import Topology

class Simulator:
    """The walk as Python sees it: for traces, tests and the command line."""

    topology: Topology
    states: States

    def __init__(
        self, topology: Topology, *, seed: int = 0, states: States | None = None
    ) -> None: ...
    def simulate(self, packet: bytes, in_port: str, now_ns: int = 0) -> Verdict:
        """What happens to `packet` at the port `in_port`.

        Raises ValueError for bytes that are no packet and KeyError for a port never heard of.
        """

    def unreachable(self, packet: bytes, in_port: str, now_ns: int = 0) -> Verdict:
        """The same where the next hop's MAC is not to be had."""

    def repeat(self, packet: bytes, in_port: str, times: int) -> None:
        """Parse and walk so often and look at no verdict: for measurements."""

    def apply(self, verdict: Verdict, now_ns: int = 0) -> list[int]:
        """Learn and remember what it says; returns the tags of what that changed."""
