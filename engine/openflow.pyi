from collections.abc import Mapping, Sequence
from typing import NamedTuple

STATIC: int  # cookie class of the flows that the agent states
DYNAMIC: int  # cookie class of the flows that came from verdicts
CLASS_MASK: int  # the bits of a cookie that hold its class
DYNAMIC_PRIORITY: int
CONTROLLER: int  # reserved port numbers
IN_PORT: int
MAX_LEN: int  # to the controller with the whole packet

Action = (
    tuple[str]
    | tuple[str, int]
    | tuple[str, str, int]
    | tuple[str, str, str]
    | tuple[str, int, int]
)
"""("output", port) | ("controller",) | ("set_tunnel", address, key) | ("set", field, value) |
("compare_length", bytes of a frame, bit of reg0) | ("goto", table): one tunnel copy is set_tunnel
followed by output."""
LIMITED: int  # the table of flows whose match says something about the length

class FlowStats(NamedTuple):
    cookie: int
    priority: int
    packets: int
    octets: int
    match: bytes  # the OXM fields, without header and padding
    instructions: bytes
    table: int = 0
    age_s: float = 0.0

def static_flow(
    cookie: int,
    priority: int,
    match: Mapping[str, int | str],
    actions: Sequence[Action],
    table: int = ...,
) -> bytes:
    """A flow-mod that adds a flow (or replaces the one with the same match and priority).

    Match fields: see `fields.FIELDS`; addresses are text, with a prefix length where masked.
    Prerequisites (eth_type, ip_proto) are added where they follow from the other fields.
    """

def static_match(match: Mapping[str, int | str]) -> bytes:
    """The OXM fields of `match`, in the order in which FlowStats.match has them from OVS."""

def static_instructions(actions: Sequence[Action]) -> bytes:
    """What FlowStats.instructions is for a flow with `actions`."""

def delete_flows(cookie: int, cookie_mask: int) -> bytes:
    """A flow-mod that deletes every flow whose cookie agrees with `cookie` in `cookie_mask`."""

def delete_strict(priority: int, match: Mapping[str, int | str]) -> bytes: ...
def packet_out(data: bytes, actions: Sequence[Action], in_port: int = ...) -> bytes: ...
def flow_stats_request(
    xid: int, cookie: int = 0, cookie_mask: int = 0, match: Mapping[str, int | str] | None = None
) -> bytes:
    """Ask for the flows whose cookie agrees in `cookie_mask`, and that `match` covers."""

def flow_stats(data: bytes) -> list[FlowStats]:
    """The flows in one or more whole flow-stats reply messages, other messages passed over.

    Raises ValueError for bytes that are no OpenFlow 1.3 messages.
    """

def has_more(data: bytes) -> bool:
    """Whether a multipart reply says that further parts will come."""

def barrier_request(xid: int) -> bytes: ...
def ask_meter() -> bytes:
    """The meter of those flows that drop for want of a connection: once per connection, at first.

    What passes it goes to the agent. Without it a reply that is quicker than the change of such a
    flow would be lost; without a meter a flood of them would be the agent's.
    """

def async_config() -> bytes:
    """What a controller wants to be told of: to be sent once per connection.

    Packets without a flow, packets for the controller, packets whose TTL runs out (which OVS
    keeps for itself unless asked), and ports.
    """
