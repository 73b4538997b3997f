"""What one may ask an agent while it runs, and what it answers: values and bytes, no sockets.

A question is one frame; its answers are frames, of which the last is `Done` or `Refused`.  A frame
is its length (32 bits) and a MessagePack map whose ``type`` names the struct.

1. `VERSION` stands in every question.  Another one is refused in words; fields that are not known
   are passed over, so that a newer minor client can ask an older agent.
2. Nothing that is asked changes anything: no learning, no connection, no port taken.
3. Bytes that are no question, or too many of them, are refused before anything is done.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from onehop.controller import folders
from onehop.controller.agent.metrics import Status as AgentStatus
from onehop.engine.effects import MacLearned, NeighborLearned
from onehop.engine.explain import Action, Output, Verdict
from onehop.engine.states import Entry

VERSION = 1
QUESTION_BYTES = 1 << 16  # the longest question: a packet and some words
ANSWER_BYTES = 1 << 24  # the longest frame of an answer
FOLDER = folders.AGENTS

_HEAD = struct.Struct(">I")


class FrameError(ValueError):
    """What came is no question, or no answer; says why."""


class _Question(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    version: int = VERSION


# The questions.


class Status(_Question, frozen=True, tag=True):
    """How is the agent?  One `About`."""


class Flows(_Question, frozen=True, tag=True):
    """Which flows has the engine made?  `FlowsAre`, in pieces."""

    port: str = ""  # only those of packets that come in by it
    cookies: tuple[int, ...] = ()  # only these
    tags: bool = False  # say what each depends on


class Held(_Question, frozen=True, tag=True):
    """Which flows does the switch hold, whosever they are?  `Raw` flow-stats replies."""

    port: str = ""  # those of other ports are left out, where the switch can


class Audit(_Question, frozen=True, tag=True):
    """Where do the switch and the engine disagree?  `Difference`s, then `Audited`."""


class Connections(_Question, frozen=True, tag=True):
    """What is remembered of connections?  `Raw` messages, for `States.merge`."""

    addresses: tuple[str, ...] = ()  # only of these


class Simulate(_Question, frozen=True, tag=True):
    """What would happen to a packet now?  One `Simulated`; with `held`, then `Raw` replies."""

    port: str
    packet: bytes
    held: bool = False  # and which flows does the switch hold that it may meet?


class Sessions(_Question, frozen=True, tag=True):
    """How are the BGP sessions?  One `SessionsAre`."""


class Watch(_Question, frozen=True, tag=True):
    """Which packets come to the agent?  `Seen`, until the asker hangs up."""

    fields: dict[str, str | int] = {}  # as `packet.parse_key` names them; addresses as prefixes
    port: str = ""


Question = Status | Flows | Held | Audit | Connections | Simulate | Sessions | Watch


# The answers.


class About(msgspec.Struct, frozen=True, tag=True):
    """How the agent is, and what one must know to read its switch's flows."""

    status: AgentStatus
    seed: int
    numbers: dict[str, int]  # virtual port -> number in the switch
    devices: dict[str, Device]  # of the switch
    tunnel: int  # the number of the tunnel's port; 0: none
    now_ns: int  # of the clock that times are of
    limits: tuple[int, ...]  # the lengths that flows tell apart


class Device(msgspec.Struct, frozen=True):
    """A port of the switch."""

    number: int
    link_up: bool
    live: bool  # of a tunnel with BFD: its session is up


class Flow(msgspec.Struct, frozen=True):
    """A flow that the engine has made."""

    cookie: int
    table: int
    priority: int
    match: bytes  # OXM fields in the order of `fields.FIELDS`
    noted: bytes  # its instructions, as the switch was told
    would: bytes | None  # as the engine would have them now; None: it would delete the flow
    packets: int  # when last counted
    idle_s: float  # since it was last found to have carried packets
    tags: tuple[int, ...] = ()  # what it depends on, as `Topology.update` reports them


class FlowsAre(msgspec.Struct, frozen=True, tag=True):
    """Some flows."""

    flows: tuple[Flow, ...]


class Raw(msgspec.Struct, frozen=True, tag=True):
    """Messages as they are: of OpenFlow, or of the state channel."""

    data: bytes


class Simulated(msgspec.Struct, frozen=True, tag=True):
    """What would happen to a packet."""

    kind: str
    reason: str
    cacheable: bool
    steps: tuple[str, ...]
    actions: tuple[Action, ...]
    outputs: tuple[Output, ...]
    emitted: tuple[Output, ...]  # what the network itself would send
    learned: tuple[str, ...]  # what would be learned, in words
    awaited: str  # whose MAC is wanted
    created: tuple[str, ...]  # what would be remembered of its connection, in words
    used: tuple[str, ...]  # what is remembered of it
    tags: tuple[str, ...]
    table: int = 0  # of the flow for packets like it
    match: bytes = b""  # its match; b"": there is none
    would: bytes | None = None  # its instructions, or this packet's; None: the agent's to decide
    cookie: int = 0  # of the flow that the engine has made for it; 0: none
    number: int = 0  # of the port in the switch; 0: not plugged in
    reg0: int = 0  # what stands there where the switch compares the packet's length


class Difference(msgspec.Struct, frozen=True, tag=True):
    """A flow that is not as it should be."""

    what: Literal["missing", "foreign", "different", "outdated"]
    table: int
    priority: int
    match: bytes
    cookie: int
    held: bytes | None  # its instructions in the switch; None: it is not there
    should: bytes | None  # what the engine says; None: it should not be there


class Audited(msgspec.Struct, frozen=True, tag=True):
    """How much was compared."""

    static: int
    dynamic: int


class Seen(msgspec.Struct, frozen=True, tag=True):
    """A packet that came to the agent."""

    clock_s: float
    port: str
    packet: bytes
    kind: str
    reason: str
    outputs: tuple[str, ...]  # ports
    missed: int  # packets before it that there was no time for


class Session(msgspec.Struct, frozen=True):
    """A BGP session of an uplink."""

    uplink: str
    neighbor: str
    asn: int
    state: str  # as bgpd calls it
    up_s: float = 0.0
    received: int = 0  # prefixes
    sent: int = 0


class SessionsAre(msgspec.Struct, frozen=True, tag=True):
    """All BGP sessions of a host."""

    sessions: tuple[Session, ...]


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """Nothing new; the agent is still there."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """That was all."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """There is no answer, or no more of it."""

    reason: str


Answer = (
    About
    | FlowsAre
    | Raw
    | Simulated
    | Difference
    | Audited
    | SessionsAre
    | Seen
    | Waiting
    | Done
    | Refused
)


def simulated(
    verdict: Verdict, zone_name: Callable[[int], str] = lambda _: "", **proposed: Any
) -> Simulated:
    """A verdict as an answer; `proposed` is what a switch would be told."""

    def words(entry: Entry) -> str:
        zone = zone_name(entry.zone)
        return _entry(entry) + (f" ({zone})" if zone else "")

    wanted = verdict.awaited
    return Simulated(
        kind=verdict.kind,
        reason=verdict.reason,
        cacheable=verdict.cacheable,
        steps=verdict.steps,
        actions=verdict.actions,
        outputs=verdict.outputs,
        emitted=verdict.emitted_outputs,
        learned=tuple(map(_learned, verdict.learned)),
        awaited=f"{wanted.address} on the link of {wanted.port}" if wanted else "",
        created=tuple(map(words, verdict.created)),
        used=tuple(map(words, verdict.used)),
        tags=verdict.tags,
        **proposed,
    )


def _learned(found: MacLearned | NeighborLearned) -> str:
    if isinstance(found, NeighborLearned):
        return f"{found.address} is at {found.mac}, on the link of {found.port}"
    return f"{found.mac} is behind {found.port} of {found.bridge}"


def _entry(entry: Entry) -> str:
    ends = (_end(entry.source, entry.source_port), _end(entry.destination, entry.destination_port))
    more = f" as {_end(entry.address, entry.port)}" if entry.address else ""
    state = f", {entry.state}" if entry.state else ""
    return f"{entry.kind.replace('_', ' ')} {' > '.join(ends)}{more}{state}"


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


_QUESTIONS = msgspec.msgpack.Decoder(Question)
_ANSWERS = msgspec.msgpack.Decoder(Answer)


def frame(said: Question | Answer) -> bytes:
    """A question or an answer as bytes."""
    body = msgspec.msgpack.encode(said)
    return _HEAD.pack(len(body)) + body


def question(body: bytes) -> Question:
    """A question, read; a FrameError where it is none."""
    try:
        asked: Question = _QUESTIONS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"no question: {error}") from None
    if asked.version != VERSION:
        raise FrameError(f"version {asked.version} is asked, this agent speaks {VERSION}")
    return asked


def answer(body: bytes) -> Answer:
    """An answer, read."""
    try:
        said: Answer = _ANSWERS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"no answer: {error}") from None
    return said


class Splitter:
    """A stream, cut into bodies of frames."""

    def __init__(self, limit: int) -> None:
        self._data, self._limit = bytearray(), limit

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> bytes | None:
        """The next whole body; a FrameError where it would be longer than the limit."""
        if len(self._data) < _HEAD.size:
            return None
        (length,) = _HEAD.unpack_from(self._data)
        if length > self._limit:
            raise FrameError(f"{length} bytes are more than {self._limit}")
        end = _HEAD.size + length
        if len(self._data) < end:
            return None
        body = bytes(self._data[_HEAD.size : end])
        del self._data[:end]
        return body
