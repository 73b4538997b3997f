"""Gateways that join and leave a running lab.

A gateway joins: its node and wire are made, the topology states it, its switch and agent start.
It leaves in the order that an operator would choose: it is drained, nothing passes it any more,
then it goes.
"""

from __future__ import annotations

import pathlib
import re
import time

import msgspec

from onehop.engine.model import Topology, dump
from onehop.lab import checks, holder, outside, state
from onehop.lab.gateways import Gateway
from onehop.lab.hosts import command_line
from onehop.lab.lab import Lab
from onehop.lab.processes import kill, services
from onehop.lab.state import LabError, NodeState
from onehop.lab.topo import MAX_GATEWAYS, Plan, Uplink, plan, with_gateway, without
from onehop.lab.up import apply
from onehop.lab.wiretap import UplinkTap

DRAIN_S = 30.0
LOOK_S = 0.6


def join(lab: Lab, name: str) -> Gateway:
    """Add gateway `name` ("g4") and start it; `lab.wait_ready` tells when it carries traffic."""
    topology = with_gateway(lab.topology, _number(lab, name))
    new = plan(topology)
    _remember(lab, holder.ask(lab.directory, holder.Request(build=new)))
    joined = lab.gateway(name)
    joined.boot()
    outside.add(lab.node("outside"), new, _uplink(new, name))
    _state(lab, topology)
    joined.start_agent()
    return joined


def leave(lab: Lab, name: str) -> None:
    """Drain gateway `name` and remove it."""
    uplink = _uplink(lab.plan, name)
    drain(lab, name)
    _state(lab, without(lab.topology, name))
    outside.remove(lab.node("outside"), lab.plan, uplink)
    kill(services(name))
    _remember(lab, holder.ask(lab.directory, holder.Request(remove=name)))


def drain(lab: Lab, name: str) -> None:
    """Have nobody choose gateway `name` any more; return when nothing passes it."""
    _set_drain(lab, name, "true")
    checks.eventually(lambda: _still_used(lab, name), DRAIN_S)


def undrain(lab: Lab, name: str) -> None:
    """Put gateway `name` to use again."""
    _set_drain(lab, name, "false")


def _set_drain(lab: Lab, name: str, value: str) -> None:
    stated = ["set", "host", name, f"drain={value}", "--store", lab.state.store]
    command_line(stated, "nice")


def _state(lab: Lab, topology: Topology) -> None:
    pathlib.Path(lab.state.topology).write_text(dump(topology))
    apply(lab)


def _remember(lab: Lab, nodes: dict[str, NodeState]) -> None:
    lab.state = msgspec.structs.replace(lab.state, nodes=nodes)
    state.save(lab.state, lab.directory)


def _number(lab: Lab, name: str) -> int:
    found = re.fullmatch(r"g(\d)", name)
    if not found or not 1 <= int(found[1]) <= MAX_GATEWAYS:
        raise LabError(f"gateway {name}: its name is g1 to g{MAX_GATEWAYS}")
    if name in lab.state.nodes:
        raise LabError(f"gateway {name}: it is there already")
    return int(found[1])


def _uplink(plan: Plan, name: str) -> Uplink:
    found = [uplink for uplink in plan.uplinks if uplink.host == name]
    if not found:
        raise LabError(f"gateway {name}: the topology states none of that name")
    return found[0]


def _still_used(lab: Lab, name: str) -> str:
    with UplinkTap(lab.node("isp").pid, f"{name}-in") as tap:
        time.sleep(LOOK_S)
        packets = tap.count()
    return f"{packets} packets in {LOOK_S} s through {name}" if packets else ""
