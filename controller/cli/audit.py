"""`onehop audit`: what the hosts' switches hold, against what their engines say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from onehop.controller import questions
from onehop.controller.agents import Agents, Reply
from onehop.controller.cli.objects import complete_host, print_rows
from onehop.controller.cli.options import AgentsFolder
from onehop.controller.cli.output import CommandError, Json, print_json
from onehop.controller.flow_words import action_words, match_words

app = typer.Typer()

DIFFERS = 1  # exit code
SHOWN = 20  # differences of a host


@app.command()
def audit(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST]...", help="[all]", autocompletion=complete_host),
    ] = None,
    folder: AgentsFolder = questions.FOLDER,
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds without a word from an agent.")
    ] = 15.0,
    json: Json = False,
) -> None:
    """Compare all flows that the switches hold with what the engine would install now.

    Exit code 1: some differ, or a host's agent does not answer.
    """
    agents = Agents(folder, timeout_s=timeout_s)
    found = agents.ask(questions.Audit(), hosts or None)
    if not found:
        raise CommandError(f"no agent answers in {folder}; --agents says where they do")
    if json:
        print_json([_plain(host, reply) for host, reply in found.items()])
    else:
        _print(found)
    if any(reply.problem or list(_differences(reply)) for reply in found.values()):
        raise typer.Exit(DIFFERS)


def _print(found: Mapping[str, Reply]) -> None:
    rows = []
    for host, reply in found.items():
        totals = _totals(reply)
        wrong = sum(1 for _ in _differences(reply))
        state = reply.problem or (f"{wrong} differ" if wrong else "as it should be")
        rows.append([host, str(totals.dynamic), str(totals.static), state])
    print_rows(["host", "flows", "static flows", "switch"], rows)
    for host, reply in found.items():
        for at, difference in enumerate(_differences(reply)):
            if at < SHOWN:
                _print_difference(host, difference)
            elif at == SHOWN:
                typer.secho(f"{host}: and more; --json tells all", fg="red")


def _print_difference(host: str, found: questions.Difference) -> None:
    where = f"table {found.table}, priority {found.priority}, cookie {found.cookie:#x}"
    typer.secho(f"{host}: {found.what} flow: {where}", fg="red")
    typer.echo(f"  match    {match_words(found.match, {})}")
    typer.echo(f"  switch   {_does(found.held)}")
    typer.echo(f"  engine   {_does(found.should)}")


def _does(instructions: bytes | None) -> str:
    return "no such flow" if instructions is None else ", ".join(action_words(instructions, {}))


def _plain(host: str, reply: Reply) -> dict[str, Any]:
    totals = _totals(reply)
    return {
        "host": host,
        "problem": reply.problem,
        "flows": totals.dynamic,
        "static_flows": totals.static,
        "differences": [
            {
                "what": each.what,
                "table": each.table,
                "priority": each.priority,
                "cookie": f"{each.cookie:#x}",
                "match": match_words(each.match, {}),
                "switch": None if each.held is None else action_words(each.held, {}),
                "engine": None if each.should is None else action_words(each.should, {}),
            }
            for each in _differences(reply)
        ],
    }


def _differences(reply: Reply) -> Iterator[questions.Difference]:
    return (each for each in reply.answers if isinstance(each, questions.Difference))


def _totals(reply: Reply) -> questions.Audited:
    found = (each for each in reply.answers if isinstance(each, questions.Audited))
    return next(found, questions.Audited(static=0, dynamic=0))
