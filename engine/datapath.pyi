from collections.abc import Iterable
from typing import NamedTuple

from onehop.engine.effects import Effect
from onehop.engine.inspect import Installed, Proposed
from onehop.engine.states import States
from onehop.engine.topology import Topology

class Received(NamedTuple):
    consumed: int  # bytes of the buffer that were whole messages
    out: bytes  # flow-mods and packet-outs: one write
    slow: list[bytes]  # the other messages, whole and untouched, in their order
    effects: list[Effect]
    state: list[tuple[str, bytes]] = []  # for these hosts, to be sent before `out` is written

class Datapath:
    """The hot path of one switch: packet-ins to flow-mods and packet-outs."""

    counters: dict[str, int]  # a copy: packet_ins, malformed, flows_installed, refused, ...
    flow_count: int
    topology: Topology
    states: States

    def __init__(
        self,
        topology: Topology,
        *,
        host: str,
        seed: int = 0,
        max_flows: int = 200_000,
        states: States | None = None,
        patience_ns: int = 0,
        idle_ns: int = 60_000_000_000,
        bundle_from: int = 0,
    ) -> None:
        """patience_ns: how long a packet is kept whose connection peers may not have told yet.

        idle_ns: how long a flow may carry nothing before it is deleted.

        bundle_from: so many flow-mods at once, or more, come out as one bundle; 0: none ever do.
        """

    def set_tunnel_port(self, ofport: int) -> None:
        """The flow-based tunnel is OVS port `ofport`; 0: there is none."""

    def bind(self, port: str, ofport: int) -> None:
        """The exterior port `port` of this host is OVS port `ofport`; 0: it is unplugged."""

    def limit(self, port: str, rate: float, burst: float) -> None:
        """At most `rate` packet-ins a second from `port`, `burst` at once; rate 0: any number."""

    def receive(self, data: bytes | bytearray | memoryview, now_ns: int) -> Received:
        """Answer every whole message in `data`, and take in what it says of flows' use."""

    def inject(self, packet: bytes, in_port: str, now_ns: int) -> Received:
        """Simulate a packet again, as if it came in now (one that waited for a neighbor)."""

    def reconsider(self, now_ns: int) -> Received:
        """Decide the packets that were kept and whose connection has come, or whose time is up."""

    def unreachable(self, packet: bytes, in_port: str, now_ns: int) -> Received:
        """Give up on a packet that waited: answer host unreachable."""

    def solicit(self, port: str, address: str, now_ns: int) -> Received:
        """Ask again for the MAC of `address` on the link of router port `port`."""

    def advertise(self, port: str, now_ns: int) -> Received:
        """Tell the machine behind `port` of its router, unasked, where it has a lease for IPv6."""

    def invalidate(self, tags: Iterable[int], now_ns: int) -> bytes:
        """Simulate each flow that carries one of `tags` again; modify or delete what changed."""

    def adopt(self, stats_reply: bytes, now_ns: int) -> bytes:
        """Take over the dynamic flows found in OVS (one or more whole flow-stats replies).

        Those that would be installed again are kept under their cookies; others are modified or
        deleted by the bytes returned. Other messages and static flows are passed over.
        """

    def uses(self, tag: int) -> bool:
        """Whether any flow carries `tag`: what it names is still in use."""

    def forget(self) -> None:
        """Forget every flow: the switch is another one now, or was emptied. Then adopt."""

    def stats_request(self, xid: int, slice: int, slices: int) -> bytes:
        """A request for slice `slice` of `slices` (a power of two) of our flows, for `adopt`."""

    def go_on(self, now_ns: int) -> bytes:
        """Ask the switch about the flows whose turn has come, and clear away expired state.

        Each a part at a time: call it often. What the switch answers belongs to `receive`.
        """

    def merge(self, message: bytes, now_ns: int, *, expects: bool = True) -> bytes:
        """Take in a peer's state message, of any bytes; what that changes in the switch.

        expects: flows may be installed for the answers that are to be expected.
        """

    room: int  # how many places flows have: the low half of a cookie is below it

    def installed(self, cookies: Iterable[int], now_ns: int) -> list[Installed]:
        """The flows in the places that these cookies name; whose they are is in the answer."""

    def proposed(self, packet: bytes, in_port: str, now_ns: int) -> Proposed:
        """What would be installed for a packet; nothing changes. ValueError: it is no packet."""

    def take_state(self) -> list[tuple[str, bytes]]:
        """What other hosts are to hear since the last `Received`: after `merge`, say."""
