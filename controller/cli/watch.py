"""`onehop trace --watch`: the packets that come to the agents, as they come."""

from __future__ import annotations

from datetime import datetime

import msgspec
import typer

from onehop.controller import questions
from onehop.controller.agents import Agents, Problem
from onehop.controller.cli import packet_line, words
from onehop.controller.cli.output import CommandError


def watch_packets(
    port: str, line: packet_line.Line | None, agents: Agents, *, as_json: bool
) -> None:
    """Show what comes until the user has seen enough; a CommandError when nobody is left."""
    fields = packet_line.fields(line) if line else {}
    question = questions.Watch(fields=fields, port="" if port == "*" else port)
    hosts = agents.hosts()
    if not hosts:
        raise CommandError(f"no agent answers in {agents.where}; --agents says where they do")
    if not as_json:
        typer.secho(f"watching {', '.join(hosts)}: Ctrl-C ends it", err=True, dim=True)
    try:
        for host, said in agents.stream(question, hosts):
            if isinstance(said, Problem):
                typer.secho(f"{host}: {said.reason}", fg="yellow", err=True)
            elif isinstance(said, questions.Seen):
                typer.echo(_plain(host, said) if as_json else _words(host, said))
    except KeyboardInterrupt:
        return
    raise CommandError("no agent is left to watch")


def _words(host: str, seen: questions.Seen) -> str:
    at = datetime.fromtimestamp(seen.clock_s).strftime("%H:%M:%S.%f")[:-3]
    verdict = seen.kind + (f": {seen.reason}" if seen.reason else "")
    to = f" to {', '.join(seen.outputs)}" if seen.outputs else ""
    missed = f" ({seen.missed} before it were missed)" if seen.missed else ""
    packet = words.packet_words(seen.packet)
    return f"{at} {host} {seen.port}: {packet}: {verdict}{to}{missed}"


def _plain(host: str, seen: questions.Seen) -> str:
    plain = {
        "host": host,
        "clock_s": seen.clock_s,
        "port": seen.port,
        "packet": seen.packet.hex(),
        "summary": words.packet_words(seen.packet),
        "kind": seen.kind,
        "reason": seen.reason,
        "outputs": seen.outputs,
        "missed": seen.missed,
    }
    return msgspec.json.encode(plain).decode()
