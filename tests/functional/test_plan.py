"""`onehop plan` over live agents: what it says of a connection, and what becomes of it.

vm1 -- [c1] ~~~ VXLAN, state channel ~~~ [c2] -- vm2 (serves port 80)
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from functional.agent_hosts import ONEHOP, eventually
from functional.test_firewall import TOPOLOGY, VM1, VM2, Cloud, bound, cloud, told

__all__ = ["cloud"]

CLOSED = TOPOLOGY.replace('protocol: tcp, ports: "80"', 'protocol: tcp, ports: "81"')
HARMLESS = TOPOLOGY + "chains:\n  - {name: unused, rules: [{action: drop}]}\n"


@pytest.fixture(scope="module")
def agents(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both agents' sockets in one folder."""
    folder = tmp_path_factory.mktemp("agents")
    for host in (cloud.c1, cloud.c2):
        name = f"{host.name}.sock"
        (folder / name).symlink_to(host.run_dir / "agents" / name)
    return folder


@pytest.fixture(scope="module")
def talk(cloud: Cloud) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection over which something was said."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bound(cloud.vm2, socket.SOCK_STREAM, 80))
        server.listen()
        client = stack.enter_context(bound(cloud.vm1, socket.SOCK_STREAM))
        client.connect((VM2, 80))
        accepted = stack.enter_context(server.accept()[0])
        client.sendall(b"hello")
        assert accepted.recv(16) == b"hello"
        eventually(lambda: told(cloud.c1) and told(cloud.c2), "all hosts know of the connection")
        yield client, accepted


def plan(cloud: Cloud, agents: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = agents / "topology.yaml"
    path.write_text(text)
    command = [ONEHOP, "plan", "-f", str(path), "--agents", str(agents), *options]
    command += ["--store", cloud.world.store]
    return subprocess.run(command, capture_output=True, text=True)


def found(cloud: Cloud, agents: Path, text: str, code: int) -> dict[str, Any]:
    done = plan(cloud, agents, text, "--json", "--fail-on-cut")
    assert done.returncode == code, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_rule_that_would_cut_a_live_connection_is_caught(cloud, agents, talk):
    client, _ = talk
    said = found(cloud, agents, CLOSED, 4)
    assert (said["hosts"], said["silent"]) == (["c1", "c2"], {})
    (cut,) = [one for one in said["affected"] if one["protocol"] == "tcp"]
    assert cut["fate"] == "cut"
    assert cut["source"] | {"port": "vm1", "host": "c1", "address": VM1} == cut["source"]
    assert cut["source"]["number"] == client.getsockname()[1]
    assert (cut["destination"]["address"], cut["destination"]["number"]) == (VM2, 80)
    assert "no security group allows it" in cut["reason"]
    assert said["flows"]["reviewed"] > 0


def test_what_concerns_nobody_cuts_nothing(cloud, agents, talk):
    said = found(cloud, agents, HARMLESS, 0)
    assert [change["what"] for change in said["changes"]] == ["added"]
    assert (said["affected"], said["traffic"]) == ([], [])
    assert said["connections"] > 0


def test_what_is_held_already_changes_nothing(cloud, agents, talk):
    done = plan(cloud, agents, TOPOLOGY, "--fail-on-cut")
    assert (done.returncode, done.stdout) == (0, "nothing to change\n"), done.stderr


def test_a_silent_agent_is_named(cloud, agents, talk, tmp_path):
    (tmp_path / "c1.sock").symlink_to((agents / "c1.sock").readlink())
    said = found(cloud, tmp_path, HARMLESS, 1)
    assert (said["hosts"], list(said["silent"])) == (["c1"], ["c2"])


def test_planning_disturbs_nothing_and_tells_the_truth(cloud, agents, talk):
    client, server = talk
    client.sendall(b"still here")
    assert server.recv(16) == b"still here"
    cloud.world.apply(CLOSED)
    server.settimeout(1)
    client.sendall(b"cut off")
    with pytest.raises(TimeoutError):
        server.recv(16)
