"""`onehop lab`: a network of namespaces on this machine, with real packets."""

from __future__ import annotations

import os
import pathlib
import shlex
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from onehop.controller.cli.output import InputError, Json, print_json
from onehop.lab import platform, up
from onehop.lab.hosts import agents_folder
from onehop.lab.lab import Lab
from onehop.lab.processes import environment
from onehop.lab.progress import Stages
from onehop.lab.state import Options, Platform, home

app = typer.Typer(
    help="Build a network of namespaces on this machine and send real packets through it.",
    no_args_is_help=True,
)

Computes = Annotated[int | None, typer.Option(help="Compute nodes, each with a machine. [8]")]
Gateways = Annotated[int | None, typer.Option(help="Gateway nodes, each with an uplink. [3]")]
UplinkMbit = Annotated[int | None, typer.Option(help="Rate of each uplink, Mb/s. [250 or 1000]")]
Mtu = Annotated[int | None, typer.Option(help="MTU of the machines. [8900]")]
File = Annotated[pathlib.Path | None, typer.Option(help="Run this topology, not the lab's own.")]
Stores = Annotated[
    int | None, typer.Option("--store", help="Servers of the store; several are a cluster. [1]")
]
AS_IS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command("up")
def up_command(
    computes: Computes = None,
    gateways: Gateways = None,
    uplink_mbit: UplinkMbit = None,
    mtu: Mtu = None,
    file: File = None,
    store: Stores = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what is there on failure.")] = False,
    json: Json = False,
) -> None:
    """Bring the lab up and wait until packets pass through every gateway."""
    given = options(computes, gateways, uplink_mbit, mtu, file, store)
    lab = bring_up(given, platform.detect(), keep=keep)
    if json:
        print_json(lab.status())
    else:
        typer.echo(f"The lab is up: {summary(lab)}.")
        typer.echo(hint(lab))


@app.command("down")
def down_command(json: Json = False) -> None:
    """Take the lab down; also what is left of one that died."""
    gone = up.down()
    if json:
        print_json(gone)
    elif any(gone.values()):
        typer.echo(f"The lab is down: {gone['processes']} processes ended.")
    else:
        typer.echo("No lab was up.")


@app.command("status")
def status_command(json: Json = False) -> None:
    """Show the lab's nodes and what their agents say."""
    lab = Lab.attach()
    if json:
        print_json(lab.status())
    else:
        console = Console()
        console.print(summary(lab))
        console.print(table(lab.status()))


@app.command("exec", context_settings=AS_IS)
def exec_command(
    node: Annotated[str, typer.Argument(help="A node: vm1, c1, g1, client1, outside, …")],
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.")],
) -> None:
    """Run a command in a node, in the place of this process."""
    arguments = Lab.attach().node(node).command(command)
    os.execvpe(arguments[0], arguments, environment())


@app.command("env")
def env_command() -> None:
    """Print what lets other commands find this lab: eval "$(onehop lab env)"."""
    lab = Lab.attach()
    typer.echo(f"export ONEHOP_STORE={shlex.quote(lab.state.store)}")
    typer.echo(f"export ONEHOP_AGENTS={shlex.quote(str(agents_folder(home())))}")


def options(
    computes: int | None,
    gateways: int | None,
    uplink_mbit: int | None,
    mtu: int | None,
    file: pathlib.Path | None,
    stores: int | None = None,
) -> dict[str, Any]:
    """What the user gave; a file says itself how many nodes there are."""
    if file is not None and (computes is not None or gateways is not None):
        raise InputError("--file: it states the hosts; leave out --computes and --gateways")
    given = {"computes": computes, "gateways": gateways, "uplink_mbit": uplink_mbit, "mtu": mtu}
    given["store"] = stores
    return given | {"file": str(file.resolve()) if file else None}


def bring_up(given: dict[str, Any], here: Platform, *, keep: bool = False) -> Lab:
    """A lab with live progress; a failure takes down what there was of it."""
    chosen: Options = platform.defaults(here, **given)
    topology = up.topology_of(chosen)  # refused before anything is made
    directory = up.claim()
    try:
        with Stages() as stages:
            return up.up(chosen, here, topology, directory, stages)
    except BaseException:
        if not keep:
            up.down()
        raise


def summary(lab: Lab) -> str:
    state = lab.state
    kind = "kernel" if state.platform.datapath == "system" else "userspace"
    return (
        f"{len(lab.nodes('compute'))} compute nodes, {len(lab.nodes('gateway'))} gateways, "
        f"{len(lab.machines)} machines; {kind} datapath, uplinks of "
        f"{state.options.uplink_mbit} Mb/s, MTU {state.options.mtu}"
        f"{'' if state.ready else '; not ready'}"
    )


def hint(lab: Lab) -> str:
    """Something that works in this lab."""
    first, others = lab.machines[0], lab.clients if lab.gateways else lab.machines[1:]
    reachable = [node for node in others if node.state.addresses]
    target = reachable[0].address if reachable else "127.0.0.1"
    tries = [f"onehop lab exec {first.name} ping -c 3 {target}"]
    if lab.gateways and lab.public(first):
        tries += [f"onehop lab exec {lab.clients[0].name} ping -c 3 {lab.public(first)}"]
    return "Try: " + ", or: ".join(tries)


def table(status: dict[str, Any]) -> Table:
    made = Table("node", "role", "addresses", "state", "flows", "peers up", box=None)
    for node in status["nodes"]:
        agent = node.get("agent") or {}
        peers = agent.get("peers", {})
        made.add_row(
            node["name"],
            node["role"],
            " ".join(node["addresses"]),
            condition(node),
            str(agent.get("flows", "")),
            f"{sum(peers.values())}/{len(peers)}" if peers else "",
        )
    return made


def condition(node: dict[str, Any]) -> str:
    if not node["alive"]:
        return "dead"
    if "agent" not in node:
        return "up"
    agent = node["agent"]
    if agent is None:
        return "no agent"
    return "live" if agent.get("live") else "waiting"
