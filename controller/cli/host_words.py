"""How a host is, as `onehop describe host` prints it."""

from __future__ import annotations

import typer

from onehop.controller.cli.objects import print_rows
from onehop.controller.host_state import HostState


def print_host(state: HostState) -> None:
    """Print what an agent says of its host."""
    typer.echo(f"\nagent        {state.agent}")
    if state.heartbeat_s is not None:
        typer.echo(f"heartbeat    {state.heartbeat_s:.0f} s ago")
    if not state.agent.startswith("no answer"):
        _print_figures(state)
    _print_table(
        "interfaces",
        ["port", "interface", "number", "carrier", "works"],
        [
            [i.port, i.device, str(i.number or ""), _yes(i.carrier), _yes(i.works)]
            for i in state.interfaces
        ],
    )
    _print_table(
        "tunnels",
        ["host", "address", "BFD", "reachable", "connection state", "unconfirmed"],
        [
            [t.host, t.address, t.bfd or "not watched", _yes(t.reachable), t.state, str(t.queued)]
            for t in state.tunnels
        ],
    )
    _print_table(
        "uplinks",
        ["port", "FRR", "announcing", "draining", "routes"],
        [
            [port, *(_cell(told.get(n)) for n in ("state", "announcing", "draining", "routes"))]
            for port, told in state.uplinks.items()
        ],
    )
    _print_table(
        "BGP sessions",
        ["uplink", "neighbor", "AS", "state", "up for", "received", "sent"],
        [
            [s.uplink, s.neighbor, str(s.asn), s.state, f"{s.up_s:.0f} s", str(s.received),
             str(s.sent)]
            for s in state.sessions
        ],
    )  # fmt: skip
    _print_table(
        "packets that the agent stopped or answered",
        ["reason", "packets"],
        [[reason, str(count)] for reason, count in state.drops.items()],
    )
    _print_table("health monitors", ["port", "state"], [list(i) for i in state.monitors.items()])


def _print_figures(state: HostState) -> None:
    known = state.connections
    typer.echo(f"flows        {state.flows} from packets, {state.static_flows} others")
    typer.echo(
        f"dropped      {state.dropped_by_flows} packets by {state.dropping_flows} flows that drop"
    )
    typer.echo(
        f"connections  {known.get('entries', 0)} entries of {known.get('capacity', 0)}, "
        f"{known.get('refused', 0)} refused, {known.get('expired', 0)} expired"
    )


def _print_table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    if rows:
        typer.echo(f"\n{title}")
        print_rows(heads, rows)


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _cell(value: object) -> str:
    return _yes(value) if isinstance(value, bool) else str(value)
