"""The whole lab through its command line: agents, store, routing and packets, end to end."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from onehop.lab import members
from onehop.lab.lab import Lab

READY_S = 60.0
ONEHOP = str(pathlib.Path(sys.executable).with_name("onehop"))


def onehop(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ONEHOP, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONEHOP_LAB_DIR", f"/run/onehop-up-{os.getpid()}")
        try:
            done = onehop("lab", "up", "--computes", "2", "--gateways", "2", "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["ready"]
            yield Lab.attach()
        finally:
            assert onehop("lab", "down").returncode == 0


def test_machines_reach_each_other_and_the_outside_in_both_families(lab: Lab) -> None:
    client = lab.clients[0]
    for address in (client.address, client.address6, "10.0.0.12", "fd00:10::12"):
        done = onehop("lab", "exec", "vm1", "ping", "-c", "3", "-i", "0.2", "-W", "2", address)
        assert done.returncode == 0, done.stdout


def test_machines_are_told_what_they_know_by_the_network(lab: Lab) -> None:
    machine = lab.node("vm1")
    assert "10.0.0.11/24" in machine.run(["ip", "-4", "address", "show", "dev", "eth0"]).stdout
    assert "fd00:10::11/128" in machine.run(["ip", "-6", "address", "show", "dev", "eth0"]).stdout
    assert f"mtu {lab.state.options.mtu} " in machine.run(["ip", "link", "show", "eth0"]).stdout
    assert "default via 10.0.0.1 " in machine.run(["ip", "-4", "route"]).stdout
    assert "proto ra" in machine.run(["ip", "-6", "route", "show", "default"]).stdout


def test_traceroute_shows_both_virtual_routers_and_the_outside(lab: Lab) -> None:
    said = lab.node("vm1").run(["traceroute", "-n", "-I", "-q1", lab.clients[0].address]).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops[:2] == ["10.0.0.1", "100.64.1.1"]
    assert hops[2] in ("10.56.1.1", "10.56.2.1")
    assert hops[3] == lab.clients[0].address


def test_status_shows_every_agent_live(lab: Lab) -> None:
    status = json.loads(onehop("lab", "status", "--json").stdout)
    agents = {node["name"]: node["agent"] for node in status["nodes"] if "agent" in node}
    assert set(agents) == {"c1", "c2", "g1", "g2"}
    assert all(agent["live"] for agent in agents.values())
    assert "compute" in onehop("lab", "status").stdout


def test_a_second_lab_is_refused_with_a_hint(lab: Lab) -> None:
    done = onehop("lab", "up")
    assert done.returncode == 1
    assert "onehop lab down" in done.stderr


def test_a_commands_exit_code_is_its_own(lab: Lab) -> None:
    assert onehop("lab", "exec", "vm1", "sh", "-c", "exit 7").returncode == 7
    assert "there is none of that name" in onehop("lab", "exec", "vm9", "true").stderr


@pytest.mark.parametrize("how", ["kill", "silent", "link"])
def test_traffic_leaves_a_gateway_that_stops_and_returns_to_it(lab: Lab, how: str) -> None:
    gateway = lab.gateway("g1")
    gateway.stop(how)  # type: ignore[arg-type]
    lab.wait_ready(READY_S, ["g2"])
    gateway.start()
    lab.wait_ready(READY_S)


def test_a_gateway_joins_and_leaves_at_run_time(lab: Lab) -> None:
    members.join(lab, "g3")
    lab.wait_ready(READY_S, ["g1", "g2", "g3"])
    members.leave(lab, "g3")
    assert "g3" not in lab.state.nodes
    lab.wait_ready(READY_S, ["g1", "g2"])
