"""`onehop trace`: what becomes of a packet now, and what the switch really does with it.

1. The verdict is the live agent's, with the connections that it knows; the flow is the switch's.
2. Where they differ, that is an error, in red, and the exit code is `DIFFERS`.
3. Where no agent answers, what follows from the store alone is told as that: exit code `BY_STORE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from onehop.controller import questions
from onehop.controller.agents import Agents
from onehop.controller.cli import packet_line, words
from onehop.controller.cli.objects import Timeout, complete_port, opened
from onehop.controller.cli.options import AgentsFolder, StoreAddress
from onehop.controller.cli.output import InputError, Json, print_json
from onehop.controller.flow_words import Names, action_words, match_words
from onehop.controller.lookup import Judgement, judge
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine import model, openflow
from onehop.engine.explain import Output
from onehop.engine.model import Resource
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

app = typer.Typer()

DIFFERS, BY_STORE = 1, 3  # exit codes


@app.command()
def trace(
    port: Annotated[
        str,
        typer.Argument(
            metavar="PORT",
            help="The port where it comes in; '*' with --watch.",
            autocompletion=complete_port,
        ),
    ],
    line: Annotated[
        str, typer.Argument(metavar="[PACKET]", help=f"Like {packet_line.EXAMPLE}.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "--packet", exists=True, dir_okay=False, help="A captured one: pcap, or hexadecimal."
        ),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Which one of the capture.")] = 1,
    flags: Annotated[str, typer.Option(help="TCP's, of FSRPAU: S opens, A goes on.")] = "S",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the packets like it that come, on all hosts.")
    ] = False,
    folder: AgentsFolder = questions.FOLDER,
    store: StoreAddress = DEFAULT_REMOTE,
    timeout_s: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Say what becomes of a packet now, and whether the switch does just that.

    Exit code 1: it does something else. 3: no agent answers; what is told follows from the store.
    """
    if watch:
        from onehop.controller.cli.watch import watch_packets

        read = packet_line.read(line) if line else None
        watch_packets(port, read, Agents(folder, timeout_s=timeout_s), as_json=json)
        return
    if bool(line) == bool(file):
        raise InputError("packet: say it in words, or give a file with --packet")
    with opened(store, timeout_s) as client:
        topology, resources = client.topology(), list(client.held.values())
    stated = _port(topology, port)
    if file:
        data = packet_line.captured(file, number)
    else:
        sender = _sender(port, resources)
        data = packet_line.packet(packet_line.read(line), port, flags, topology, sender)
    raise typer.Exit(
        _trace(stated, data, resources, Agents(folder, timeout_s=timeout_s), as_json=json)
    )


def _trace(
    port: model.Port, data: bytes, resources: list[Resource], agents: Agents, *, as_json: bool
) -> int:
    said, flows, names, problem = _asked(port, data, agents)
    if said is None:
        by_store = _by_store(resources, port.name, data)
        _print(port, data, by_store, None, names, problem, as_json)
        return BY_STORE
    judged = judge(said, flows, data, names) if said.number else None
    complaint = judged.problem if judged else ""
    _print(port, data, said, judged, names, complaint, as_json)
    return DIFFERS if complaint else 0


def _asked(
    port: model.Port, data: bytes, agents: Agents
) -> tuple[questions.Simulated | None, list[openflow.FlowStats], Names, str]:
    """What the agent of the port's host says; None and why where it says nothing."""
    if not port.host:
        return None, [], {}, f"port {port.name!r} is not bound to a host"
    reply = agents.one(questions.Simulate(port=port.name, packet=data, held=True), port.host)
    about = agents.one(questions.Status(), port.host)
    simulated = [a for a in reply.answers if isinstance(a, questions.Simulated)]
    if reply.problem or not simulated:
        return None, [], {}, f"host {port.host!r}: {reply.problem}"
    replies = [a.data for a in reply.answers if isinstance(a, questions.Raw)]
    flows = openflow.flow_stats(b"".join(replies))
    return simulated[0], flows, _names(about.answers), ""


def _names(answers: Sequence[questions.Answer]) -> Names:
    names: dict[int, str] = {}
    for about in answers:
        if isinstance(about, questions.About):
            names |= {device.number: name for name, device in about.devices.items()}
            names |= {number: port for port, number in about.numbers.items()}
            names |= {about.tunnel: "tunnel"}
    return names


def _port(topology: model.Topology, name: str) -> model.Port:
    for port in topology.ports:
        if port.name == name:
            return port
    raise InputError(f"port: there is no port {name!r}")


def _sender(port: str, resources: Sequence[Resource]) -> str:
    """Who speaks at a router's port: a neighbor that was met there."""
    met = (row.mac for row in resources if isinstance(row, model.Neighbor) and row.port == port)
    return next(met, packet_line.SOMEBODY)


def _by_store(resources: Sequence[Resource], port: str, data: bytes) -> questions.Simulated:
    topology = Topology()
    topology.update(resources)
    try:
        verdict = Simulator(topology).simulate(data, port)
    except ValueError as error:
        raise InputError(f"packet: {error}") from None
    return questions.simulated(verdict, topology.names.of_tag)


# Printing


def _print(
    port: model.Port,
    data: bytes,
    said: questions.Simulated,
    judged: Judgement | None,
    names: Names,
    complaint: str,
    as_json: bool,
) -> None:
    if as_json:
        print_json(_plain(port, data, said, judged, names, complaint))
        return
    for label, text in _lines(port, data, said, judged, names):
        typer.echo(f"{label:11} {text}")
    if complaint:
        differs = judged is not None
        typer.secho(
            f"{'DIFFERS' if differs else 'no agent':11} {complaint}",
            fg="red" if differs else "yellow",
            bold=differs,
            err=True,
        )


def _lines(
    port: model.Port,
    data: bytes,
    said: questions.Simulated,
    judged: Judgement | None,
    names: Names,
) -> Iterator[tuple[str, str]]:
    at = f" at host {port.host}" if port.host else ""
    if not judged and not said.number:
        yield "by store", "what follows from the store alone: no connections, no switch"
    yield "packet", f"{words.packet_words(data)}, into {port.name}{at}"
    yield from _listed("walk", said.steps)
    yield "verdict", said.kind + (f": {said.reason}" if said.reason else "")
    yield from _listed("belongs to", said.used)
    yield from _listed("would open", said.created)
    yield from _listed("would learn", said.learned)
    if said.awaited:
        yield "waits for", said.awaited
    yield from _listed("out", map(_output, said.outputs))
    yield from _listed("answer", map(_output, said.emitted))
    if judged:
        yield from _flow_lines(judged, names)


def _flow_lines(judged: Judgement, names: Names) -> Iterator[tuple[str, str]]:
    flow = judged.flow
    if flow is None:
        yield "switch", "no flow"
        return
    if judged.to_agent and judged.owner == "configuration":
        yield "switch", "no flow for packets like it yet: the next goes to the agent"
        return
    yield "switch", f"flow {flow.cookie:#x} of table {flow.table}, priority {flow.priority}"
    yield "", match_words(flow.match, names)
    yield "", f"does: {', '.join(action_words(flow.instructions, names))}"
    yield "", f"{flow.packets} packets, {flow.octets} bytes in {flow.age_s:.1f} s"


def _listed(label: str, lines: Sequence[str] | Iterator[str]) -> Iterator[tuple[str, str]]:
    for at, text in enumerate(lines):
        yield "" if at else label, text


def _output(output: Output) -> str:
    return f"at {output.port}: {words.packet_words(output.packet)}"


def _plain(
    port: model.Port,
    data: bytes,
    said: questions.Simulated,
    judged: Judgement | None,
    names: Names,
    complaint: str,
) -> dict[str, Any]:
    return {
        "port": port.name,
        "host": port.host or "",
        "packet": data.hex(),
        "summary": words.packet_words(data),
        "source": "agent" if judged or said.number else "store",
        "kind": said.kind,
        "reason": said.reason,
        "steps": said.steps,
        "actions": [words.action_words(action) for action in said.actions],
        "connections": said.used,
        "would_open": said.created,
        "would_learn": said.learned,
        "awaited": said.awaited,
        "outputs": [{"port": o.port, "packet": o.packet.hex()} for o in said.outputs],
        "emitted": [{"port": o.port, "packet": o.packet.hex()} for o in said.emitted],
        "tags": said.tags,
        "engine": None if said.would is None else action_words(said.would, names),
        "switch": _plain_flow(judged, names),
        "agrees": judged is not None and not judged.problem,
        "problem": complaint,
    }


def _plain_flow(judged: Judgement | None, names: Names) -> Mapping[str, Any] | None:
    if judged is None or judged.flow is None:
        return None
    flow = judged.flow
    return {
        "cookie": f"{flow.cookie:#x}",
        "table": flow.table,
        "priority": flow.priority,
        "match": match_words(flow.match, names),
        "actions": action_words(flow.instructions, names),
        "packets": flow.packets,
        "bytes": flow.octets,
        "age_s": flow.age_s,
        "from": judged.owner,
        "to_agent": judged.to_agent,
    }
