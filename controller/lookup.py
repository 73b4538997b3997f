"""Which flow of a switch a packet meets, and whether that does what the engine says.

1. The tables are gone through as Open vSwitch does (OpenFlow 1.3.5, section 5.3): in each the
   flow of the highest priority that matches, and on to the table that it names.
2. A field that is not known here matches nothing: such a flow is left out, never guessed.
3. A packet that reaches the agent is done with as the engine says, whatever flow sent it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple

from onehop.controller import questions
from onehop.controller.flow_words import Names, action_words, entries
from onehop.engine import openflow
from onehop.engine.inspect import canonical
from onehop.engine.openflow import FlowStats
from onehop.engine.packet import parse_key

MOST_TABLES = 255
Owner = Literal["packet", "configuration", "foreign"]


class Judgement(NamedTuple):
    """What the switch does with a packet, against what the engine says."""

    flow: FlowStats | None  # the last that it meets; None: the switch drops it for want of one
    owner: Owner | None  # where that comes from
    to_agent: bool
    problem: str  # in words; "": they agree


def values(packet: bytes, number: int, reg0: int) -> dict[str, int]:
    """The packet's fields as matches name them, where it comes in by port `number`."""
    found: dict[str, int] = {"in_port": number, "reg0": reg0, "metadata": 0, "tunnel_id": 0}
    for name, value in parse_key(packet).items():
        found[name] = value if isinstance(value, int) else _number(value)
    tci, tos, fragment = (found.pop(n, 0) for n in ("vlan_tci", "ip_tos", "ip_frag"))
    found["vlan_vid"], found["vlan_pcp"] = tci & 0x1FFF, tci >> 13
    if "ip_proto" in found:
        found["ip_dscp"], found["ip_ecn"] = tos >> 2, tos & 3
        found["ip_frag"] = 3 if fragment == 2 else fragment  # any, later (nicira-ext.h)
    return found


def way(flows: Iterable[FlowStats], packet: Mapping[str, int]) -> list[FlowStats]:
    """The flows that a packet meets, one of each table that it goes through."""
    met: list[FlowStats] = []
    matching = [flow for flow in flows if _matches(flow, packet)]
    table: int | None = 0
    while table is not None and len(met) < MOST_TABLES:
        here = [flow for flow in matching if flow.table == table]
        if not here:
            break
        met.append(max(here, key=lambda flow: flow.priority))
        table = _goto(met[-1].instructions)
    return met


def judge(
    said: questions.Simulated, flows: Sequence[FlowStats], packet: bytes, names: Names
) -> Judgement:
    """What the flows of the switch do with `packet`, of which the engine has `said` that."""
    fields = values(packet, said.number, said.reg0)
    met = way(flows, fields)
    if not met or _goto(met[-1].instructions) is not None:
        return Judgement(None, None, False, "the switch has no flow for it, and drops it")
    flow = met[-1]
    to_agent = _reaches_agent(flow, fields)
    owner = _owner(flow)
    return Judgement(flow, owner, to_agent, _problem(said, flow, owner, to_agent, names))


def _problem(
    said: questions.Simulated, flow: FlowStats, owner: Owner, to_agent: bool, names: Names
) -> str:
    does = ", ".join(action_words(flow.instructions, names))
    if owner == "foreign":
        return f"the flow is none of onehop's; it does: {does}"
    if to_agent:
        if said.cookie and owner == "configuration":
            return f"the engine has made flow {said.cookie:#x}, which the switch does not hold"
        return ""
    if owner == "configuration":
        wrong = said.kind == "forward"
        return f"a flow of the configuration does: {does}" if wrong else ""
    if said.would is None:
        return f"the agent should decide ({said.reason or said.kind}); the switch does: {does}"
    if said.would == flow.instructions:
        return ""
    return _differing(action_words(said.would, names), action_words(flow.instructions, names))


def _differing(should: Sequence[str], does: Sequence[str]) -> str:
    missing = [action for action in should if action not in does]
    extra = [action for action in does if action not in should]
    if not missing and not extra:
        return "the switch does the same in another order"
    parts = [f"does {', '.join(extra)}"] if extra else []
    parts += [f"does not do {', '.join(missing)}"] if missing else []
    return f"the switch {' and '.join(parts)}"


def _owner(flow: FlowStats) -> Owner:
    match flow.cookie & openflow.CLASS_MASK:
        case openflow.DYNAMIC:
            return "packet"
        case openflow.STATIC:
            return "configuration"
    return "foreign"


def _reaches_agent(flow: FlowStats, packet: Mapping[str, int]) -> bool:
    actions = action_words(flow.instructions, {})
    ttl_steps = actions.count("dec_ttl")  # a TTL that runs out goes to the agent
    return "output agent" in actions or bool(ttl_steps and packet.get("ip_ttl", 255) <= ttl_steps)


def _goto(instructions: bytes) -> int | None:
    found = [word for word in action_words(instructions, {}) if word.startswith("goto table ")]
    return int(found[0].split()[-1]) if found else None


def _matches(flow: FlowStats, packet: Mapping[str, int]) -> bool:
    return all(
        entry.name in packet and _agrees(packet[entry.name], entry.value, entry.mask)
        for entry in entries(canonical(flow.match))
    )


def _agrees(there: int, value: int, mask: int | None) -> bool:
    return there == value if mask is None else there & mask == value & mask


def _number(text: str) -> int:
    try:
        return int(ip_address(text))
    except ValueError:
        return int(text.replace(":", ""), 16)
