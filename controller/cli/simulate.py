"""`onehop simulate`: what would happen to these packets in this topology, and why.

1. Offline: reads two files and prints; nothing is installed anywhere.
2. Prints each step as soon as it is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from onehop.controller.cli import words
from onehop.controller.cli.output import Json, print_json
from onehop.controller.cli.packets import load
from onehop.controller.cli.play import Player, Step
from onehop.engine import model
from onehop.engine.explain import Output, Verdict

app = typer.Typer(add_completion=False)

TopologyFile = Annotated[
    Path,
    typer.Option("-f", "--file", exists=True, dir_okay=False, help="The topology (YAML)."),
]
PacketFile = Annotated[
    Path,
    typer.Option("-p", "--packets", exists=True, dir_okay=False, help="The packets (YAML)."),
]


@app.command(help="Send packets through a topology file; say what happens to each, and why.")
def simulate(file: TopologyFile, packets: PacketFile, json: Json = False) -> None:
    topology = model.load(file.read_bytes(), str(file))
    player = Player(topology)
    steps = player.play(load(packets.read_bytes(), topology, str(packets)))
    if json:
        found = [_plain(step) for step in steps]
        print_json({"steps": found, "waiting": [held.number for held in player.waiting]})
        return
    for step in steps:
        typer.echo("\n".join(_lines(step)) + "\n")
    for held in player.waiting:
        wanted = f"the MAC of {held.wanted.address} on the link of {held.wanted.port}"
        typer.echo(f"#{held.number} still waits for {wanted}")


def _plain(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "at": step.at_s,
        "in_port": step.in_port,
        "event": step.event,
        "packet": step.packet.hex(),
        "summary": words.packet_words(step.packet),
        "malformed": step.malformed,
        "verdict": step.verdict and words.plain(step.verdict),
    }


def _lines(step: Step) -> Iterator[str]:
    event = "" if step.event == "sent" else f" {step.event}"
    yield f"#{step.number}{event} at {step.at_s:g} s, port {step.in_port}"
    yield _line("packet", words.packet_words(step.packet))
    if step.verdict is None:
        yield _line("verdict", f"malformed: {step.malformed}")
    else:
        yield from _verdict_lines(step.verdict)


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    for at, text in enumerate(verdict.steps):
        yield _line("" if at else "walk", text)
    yield _line("verdict", verdict.kind + (f": {verdict.reason}" if verdict.reason else ""))
    for found in verdict.learned:
        yield _line("learned", words.learned_words(found))
    if wanted := verdict.awaited:
        yield _line("waits", f"for the MAC of {wanted.address} on the link of {wanted.port}")
    if words.makes_a_flow(verdict):
        yield _line("flow", ", ".join(f"{k}={v}" for k, v in words.match_words(verdict).items()))
        yield _line("actions", ", ".join(map(words.action_words, verdict.actions)) or "drop")
    for output in verdict.outputs:
        yield from _output_lines("out", output)
    for output in verdict.emitted_outputs:
        yield from _output_lines("sent", output)


def _output_lines(label: str, output: Output) -> Iterator[str]:
    yield _line(label, f"at {output.port}: {words.packet_words(output.packet)}")
    yield _line("", output.packet.hex())


def _line(label: str, text: str) -> str:
    return f"  {label:8} {text}"
