"""A plan says which live connection a rule would cut, and the rule then does so."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

from onehop.engine.model import Rule, Topology, dump
from onehop.lab.acceptance.filters import with_filter
from onehop.lab.acceptance.scene import ARRIVE_S, OPEN, PATIENCE_S, Scene, Step, made_marker
from onehop.lab.hosts import agents_folder, command_line
from onehop.lab.results import Check


def steps(scene: Scene) -> Iterator[Step]:
    yield "a plan of a rule that would cut a connection", lambda: cut(scene)


def cut(scene: Scene) -> Check:
    """From a machine to the client, by TCP; the connection lives until the rule is there."""
    closing = Rule(action="drop", protocol="tcp", destination_ports=str(OPEN))
    changed = with_filter(scene.here.name, "inbound_filter", closing)
    with _connected(scene) as (inside, outside):
        said = _planned(scene, changed(scene.lab.topology))
        ours = [c for c in said["affected"] if c["source"]["number"] == inside.getsockname()[1]]
        before = _passes(inside, outside)
        with scene.stated(changed):
            after = _passes(inside, outside)
    fates = [f"{c['fate']} ({c['reason']})" for c in ours]
    good = len(ours) == 1 and ours[0]["fate"] == "cut" and (before, after) == (True, False)
    detail = f"{said['connections']} live, of which ours is {', '.join(fates) or 'not named'}; "
    detail += f"then it {'lives' if before else 'is dead'}, with the rule it "
    detail += "lives" if after else "is cut"
    return Check("a plan names the connection that a rule would cut", good, detail)


def _planned(scene: Scene, topology: Topology) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(dump(topology))
        file.flush()
        where = [
            "--store",
            scene.lab.state.store,
            "--agents",
            str(agents_folder(scene.lab.directory)),
        ]
        said: dict[str, Any] = json.loads(
            command_line(["plan", "-f", file.name, "--json", *where])
        )
        return said


@contextlib.contextmanager
def _connected(scene: Scene) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection from the machine to the client, over which something was said."""
    with scene.client.socket() as server, scene.here.socket() as inside:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((scene.client.address, OPEN))
        server.listen()
        for one in (server, inside):
            one.settimeout(PATIENCE_S)
        inside.connect((scene.client.address, OPEN))
        outside, _ = server.accept()
        with outside:
            _passes(inside, outside)
            yield inside, outside


def _passes(inside: socket.socket, outside: socket.socket) -> bool:
    """Whether what the machine says now comes to the client."""
    marker = made_marker()
    outside.settimeout(ARRIVE_S)
    inside.sendall(marker)
    try:
        return outside.recv(256) == marker
    except TimeoutError:
        return False
