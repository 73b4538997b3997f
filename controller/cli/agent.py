"""`onehop agent`: run a host's agent, ask it how it is, remove what it made."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from onehop.controller.cli.output import CommandError, InputError, Json, print_json

app = typer.Typer(
    help="Run the agent of a host.", invoke_without_command=True, add_completion=False
)

HOST = "The name of this host in the topology."
TUNNEL_ADDRESS = "Register this host with it, where the topology does not state the host."
OVSDB = "The database of the local Open vSwitch."
RUN_DIR = "Where the agent and FRR keep their files."
# Half of the time that an agent takes to start goes into two imports that it has no use for.
QUICK = {"EVENTLET_NO_GREENDNS": "yes", "SETUPTOOLS_USE_DISTUTILS": "stdlib"}
PEER_TOKEN_FILE = "A secret that all agents share; without it no state goes between hosts."
PEER_CERT = "This agent's certificate (PEM), for mutual TLS between agents."
PEER_LISTEN = "Where other agents connect, if not at the tunnel address, port 6654."
STATE_ENTRIES = "How many entries about connections this host remembers."
QUESTIONS_DIR = "Where one asks it: HOST.sock in this folder.  [RUN_DIR/agents]"
QUESTIONS_LISTEN = "And where over TCP (ADDRESS:PORT), by the peers' token."
METRICS = "Where Prometheus figures and /status are served."

Host = Annotated[str, typer.Option(envvar="ONEHOP_HOST", help=HOST)]
Ovsdb = Annotated[str, typer.Option(envvar="ONEHOP_OVSDB", help=OVSDB)]
RunDir = Annotated[str, typer.Option(envvar="ONEHOP_RUN_DIR", help=RUN_DIR)]
Metrics = Annotated[str, typer.Option(envvar="ONEHOP_METRICS", help=METRICS)]


@app.callback()
def run(
    ctx: typer.Context,
    host: Host = "",
    tunnel_address: Annotated[
        str, typer.Option(envvar="ONEHOP_TUNNEL_ADDRESS", help=TUNNEL_ADDRESS)
    ] = "",
    store: Annotated[
        str, typer.Option(envvar="ONEHOP_STORE", help="The store, as unix:FILE or tcp:HOST:PORT.")
    ] = "unix:/run/onehop/store.sock",
    ovsdb: Ovsdb = "unix:/run/openvswitch/db.sock",
    run_dir: RunDir = "/run/onehop",
    listen: Annotated[
        str, typer.Option(envvar="ONEHOP_LISTEN", help="Where the local switch connects.")
    ] = "127.0.0.1:6653",
    questions_dir: Annotated[
        str, typer.Option(envvar="ONEHOP_QUESTIONS_DIR", help=QUESTIONS_DIR)
    ] = "",
    questions_listen: Annotated[
        str, typer.Option(envvar="ONEHOP_QUESTIONS_LISTEN", help=QUESTIONS_LISTEN)
    ] = "",
    metrics: Metrics = "127.0.0.1:9273",
    datapath: Annotated[
        str, typer.Option(envvar="ONEHOP_DATAPATH", help="netdev or system (the kernel's).")
    ] = "netdev",
    seed: Annotated[
        int, typer.Option(envvar="ONEHOP_SEED", help="Of connection hashing; equal on all hosts.")
    ] = 0,
    idle_s: Annotated[
        float, typer.Option(envvar="ONEHOP_IDLE_S", help="A flow unused for so long is removed.")
    ] = 60.0,
    peer_token_file: Annotated[
        str, typer.Option(envvar="ONEHOP_PEER_TOKEN_FILE", help=PEER_TOKEN_FILE)
    ] = "",
    peer_listen: Annotated[str, typer.Option(envvar="ONEHOP_PEER_LISTEN", help=PEER_LISTEN)] = "",
    peer_cert: Annotated[str, typer.Option(envvar="ONEHOP_PEER_CERT", help=PEER_CERT)] = "",
    peer_key: Annotated[
        str, typer.Option(envvar="ONEHOP_PEER_KEY", help="The private key of --peer-cert.")
    ] = "",
    peer_ca: Annotated[
        str, typer.Option(envvar="ONEHOP_PEER_CA", help="Whose certificates other agents show.")
    ] = "",
    state_entries: Annotated[
        int, typer.Option(envvar="ONEHOP_STATE_ENTRIES", help=STATE_ENTRIES)
    ] = 1 << 17,
) -> None:
    """Run the agent; the same as `ryu-manager onehop.controller.agent` with ONEHOP_ variables."""
    if ctx.invoked_subcommand:
        return
    given = {k: v for k, v in locals().items() if k != "ctx"}
    _execute(_environment(given))


@app.command()
def status(metrics: Metrics = "127.0.0.1:9273", json: Json = False) -> None:
    """Show how the agent that serves METRICS is."""
    found = _status(metrics)
    if json:
        print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name:18} {_words(value)}")


@app.command()
def clean(
    host: Host,
    ovsdb: Ovsdb = "unix:/run/openvswitch/db.sock",
    run_dir: RunDir = "/run/onehop",
    json: Json = False,
) -> None:
    """Remove what the agent of HOST made here: the bridge, FRR, monitors, their namespaces."""
    # Eventlet announces its own end, which tells an operator nothing.
    warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")
    from onehop.controller.agent import monitors, switch, uplinks

    uplinks.clean(host, run_dir)
    monitors.clean(host, run_dir)
    try:
        switch.remove_bridge(ovsdb)
    except subprocess.CalledProcessError:
        raise CommandError(f"br-int is still there: no database answers at {ovsdb}") from None
    if json:
        print_json({"host": host, "cleaned": True})


def _environment(given: dict[str, Any]) -> dict[str, str]:
    from onehop.controller.agent.config import SettingError, settings, variable
    from onehop.controller.agent.peer_tls import peer_contexts

    if not given["host"]:
        raise InputError(f"host: not set; give --host or {variable('host')}")
    try:
        made = settings(given)
        made.peer_token()
        peer_contexts(made)
        return made.environment()
    except SettingError as error:
        raise InputError(str(error)) from None


def _execute(environment: dict[str, str]) -> NoReturn:
    manager = pathlib.Path(sys.executable).with_name("ryu-manager")
    # The warnings are eventlet's announcement of its own end; they tell an operator nothing.
    command = [sys.executable, "-W", "ignore", str(manager), "onehop.controller.agent"]
    os.execve(sys.executable, command, QUICK | os.environ | environment)


def _status(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://{address}/status", timeout=5) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
    except (urllib.error.URLError, OSError) as error:
        raise CommandError(f"no agent answers at {address}: {error}") from None
    return found


def _words(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{k} {_words(v)}" for k, v in sorted(value.items())) or "none"
        case _:
            return str(value)
