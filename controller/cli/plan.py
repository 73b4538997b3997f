"""`onehop plan`: what a change would do to live connections, before it is made."""

from __future__ import annotations

from typing import Annotated

import typer

from onehop.controller import questions
from onehop.controller.cli.apply import File, read_file
from onehop.controller.cli.objects import Timeout, opened
from onehop.controller.cli.options import AgentsFolder, StoreAddress
from onehop.controller.cli.output import CommandError, Json, print_json
from onehop.controller.store.server import DEFAULT_REMOTE
from onehop.engine.model import Host

app = typer.Typer()

CUTS = 4  # the exit code of `--fail-on-cut` where something live would be cut


@app.command()
def plan(
    file: File,
    store: StoreAddress = DEFAULT_REMOTE,
    agents: AgentsFolder = questions.FOLDER,
    timeout_s: Timeout = 10.0,
    as_json: Json = False,
    fail_on_cut: Annotated[
        bool,
        typer.Option(
            "--fail-on-cut",
            help="Exit code 4 when something live would be cut; 1 when a host does not answer.",
        ),
    ] = False,
) -> None:
    """Say what `apply` would do to live connections; nothing is changed."""
    from onehop.controller.agents import Agents
    from onehop.controller.plan import evaluate, report, survey

    topology = read_file(file)
    with opened(store, timeout_s) as client:
        held, step = dict(client.held), client.proposed(topology)
    hosts = [name for kind, name in held if kind == Host.KIND]
    live, silent = survey.ask(Agents(agents, timeout_s=timeout_s), hosts)
    found = evaluate.plan(held, step.put, step.remove, live, silent)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(report.lines(found)))
    if fail_on_cut and found.cuts:
        raise typer.Exit(CUTS)
    if fail_on_cut and silent and found.changes:
        raise CommandError("not every host has answered: what lives there is not known")
