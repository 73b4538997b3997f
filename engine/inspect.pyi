"""What is installed, and what would be, as people ask for it."""

from typing import NamedTuple

class Installed(NamedTuple):
    """A flow that the engine has made."""

    cookie: int
    table: int
    priority: int
    match: bytes  # OXM fields, in the order of FlowStats.match
    noted: bytes  # its instructions, as the switch was told
    would: bytes | None  # as they would be now; None: it would be deleted
    packets: int  # when last counted
    used_ns: int  # when it was installed, or last found to have carried packets
    tags: tuple[int, ...]  # what it depends on

class Proposed(NamedTuple):
    """What the engine would have the switch do about a packet and those like it."""

    table: int
    match: bytes  # b"": no flow is made for it
    instructions: bytes | None  # None: neither forwarded nor dropped by a flow
    cookie: int  # of the flow that is installed for just that; 0: none is

def canonical(match: bytes) -> bytes:
    """OXM fields as `Installed.match` has them, however the switch wrote them."""
