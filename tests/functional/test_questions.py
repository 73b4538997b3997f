"""Questions to a live agent, and what it says of its real switch.

vm1 -- [c1: br-int] -- vm2
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from click.testing import Result
from functional.agent_hosts import Host, World, eventually, pings
from functional.nodes import Net, Node
from functional.test_firewall import bound
from typer.testing import CliRunner

from onehop.controller import questions as ask
from onehop.controller.agent import namespaces
from onehop.controller.agents import Agents
from onehop.controller.cli import app
from onehop.controller.flow_words import match_words
from onehop.engine import openflow
from onehop.engine.states import Entry, States

TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
bridges:
  - {name: n1}
  - {name: n2}
routers:
  - {name: r1}
security_groups:
  - {name: web, rules: [{direction: ingress, ether_type: ipv4, protocol: icmp}]}
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24, "fd00::11/64"],
     host: c1, interface: tap1}
  - {name: vm2, device: n2, mac: "02:00:00:00:00:02", addresses: [10.0.1.12/24],
     host: c1, interface: tap2}
  - {name: vm3, device: n2, mac: "02:00:00:00:00:03", addresses: [10.0.1.13/24],
     host: c1, interface: tap3, security_groups: [web]}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: n2-r1, device: n2, peer: r1-n2}
  - {name: r1-n2, device: r1, addresses: [10.0.1.1/24], mtu: 1400}
"""


class Cloud(NamedTuple):
    world: World
    c1: Host
    vm1: Node
    vm2: Node
    agents: Agents


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        c1 = world.host("c1", "172.31.0.21")
        vm1 = c1.machine("vm1", "tap1", "02:00:00:00:00:01", "10.0.0.11/24", "fd00::11/64")
        vm2 = c1.machine("vm2", "tap2", "02:00:00:00:00:02", "10.0.1.12/24")
        vm1.ip("route", "add", "default", "via", "10.0.0.1")
        vm2.ip("route", "add", "default", "via", "10.0.1.1")
        vm3 = c1.machine("vm3", "tap3", "02:00:00:00:00:03", "10.0.1.13/24")
        vm3.ip("route", "add", "default", "via", "10.0.1.1")
        token = world.net.folder / "token"
        token.touch(0o600)
        token.write_text("known to agents only")
        c1.start_agent(token, "--questions-listen", "127.0.0.1:6655")
        eventually(c1.live, f"agent of c1 is live\n{c1.log()}")
        for address in ("10.0.1.12", "10.0.1.13"):
            eventually(lambda to=address: pings(vm1, to), "first ping")
        yield Cloud(world, c1, vm1, vm2, Agents(str(c1.run_dir / "agents")))


def answers(cloud: Cloud, question: ask.Question) -> tuple[ask.Answer, ...]:
    reply = cloud.agents.one(question, "c1")
    assert not reply.problem, f"{reply.problem}\n{cloud.c1.log()}"
    return reply.answers


def differences(cloud: Cloud) -> list[ask.Difference]:
    return [a for a in answers(cloud, ask.Audit()) if isinstance(a, ask.Difference)]


def ovs(cloud: Cloud, *words: str) -> str:
    return cloud.c1.ovs.ofctl(*words)


def run(cloud: Cloud, *words: str) -> Result:
    """What `onehop` says and how it ends."""
    folder = str(cloud.c1.run_dir / "agents")
    return CliRunner().invoke(
        app, words, env={"ONEHOP_STORE": cloud.world.store, "ONEHOP_AGENTS": folder}
    )


def trace(cloud: Cloud, *words: str) -> tuple[int, dict[str, Any]]:
    done = run(cloud, "trace", *words, "--json")
    return done.exit_code, json.loads(done.stdout)


def installed(cloud: Cloud) -> ask.Flow:
    """The flow of a ping from vm1 to vm2."""
    pings(cloud.vm1, "10.0.1.12")
    found = [flow for piece in answers(cloud, ask.Flows(port="vm1")) for flow in piece.flows]
    (flow,) = [f for f in found if "ipv4_dst=10.0.1.12" in match_words(f.match, {})]
    return flow


def test_agent_says_how_it_is(cloud):
    (about,) = answers(cloud, ask.Status())
    assert isinstance(about, ask.About)
    assert about.status.live and about.status.host == "c1"
    assert about.numbers.keys() == {"vm1", "vm2", "vm3"}


def test_agent_is_asked_over_tcp(cloud, monkeypatch):
    monkeypatch.setenv("ONEHOP_PEER_TOKEN_FILE", str(cloud.world.net.folder / "token"))
    with namespaces.entered(cloud.c1.node.name):
        reply = Agents("c1=127.0.0.1:6655").one(ask.Status(), "c1")
    assert not reply.problem and isinstance(reply.answers[0], ask.About)


def test_flows_are_those_of_the_switch(cloud):
    pings(cloud.vm1, "10.0.1.12")
    said = [flow for piece in answers(cloud, ask.Flows(tags=True)) for flow in piece.flows]
    held = b"".join(raw.data for raw in answers(cloud, ask.Held()))
    dynamic = {f.cookie: f for f in openflow.flow_stats(held) if f.cookie >> 62 == 2}
    assert said and {flow.cookie for flow in said} == dynamic.keys()
    for flow in said:
        there = dynamic[flow.cookie]
        assert flow.noted == flow.would == there.instructions
        assert (flow.table, flow.priority) == (there.table, there.priority)
        assert flow.tags


def remembered(cloud: Cloud, address: str) -> list[Entry]:
    """The connections to it."""
    states = States()
    for raw in answers(cloud, ask.Connections()):
        states.merge(raw.data, 1)
    return [entry for entry in states.entries(2) if entry.destination == address]


def test_connections_can_be_loaded_elsewhere(cloud):
    pings(cloud.vm1, "10.0.1.13")
    assert remembered(cloud, "10.0.1.13")


def test_audit_finds_nothing_where_nobody_tampered(cloud):
    for _ in range(3):
        assert differences(cloud) == []


def test_trace_shows_the_flow_that_is_installed(cloud):
    flow = installed(cloud)
    code, said = trace(cloud, "vm1", "icmp -> 10.0.1.12")
    assert code == 0 and said["agrees"] and said["kind"] == "forward"
    assert said["switch"]["cookie"] == f"{flow.cookie:#x}" and said["switch"]["packets"] > 0
    assert said["switch"]["actions"] == said["engine"] and "output vm2" in said["engine"]
    assert any("r1 has a route to" in step for step in said["steps"])


def told_of_udp(cloud: Cloud) -> bool:
    """Does the switch hold a flow for UDP to vm3?"""
    held = b"".join(raw.data for raw in answers(cloud, ask.Held()))
    matches = [match_words(flow.match, {}) for flow in openflow.flow_stats(held)]
    return any("ipv4_dst=10.0.1.13" in match and "ip_proto=17" in match for match in matches)


def test_trace_changes_nothing(cloud):
    assert not told_of_udp(cloud)
    before = len(remembered(cloud, "10.0.1.13"))
    code, said = trace(cloud, "vm1", "udp -> 10.0.1.13:53")
    assert code == 0 and said["kind"] == "drop"
    code, said = trace(cloud, "vm1", "icmp -> 10.0.1.13")
    assert code == 0 and said["would_open"]
    assert len(remembered(cloud, "10.0.1.13")) <= before
    assert not told_of_udp(cloud)
    with bound(cloud.vm1, socket.SOCK_DGRAM) as client:
        client.sendto(b"dropped", ("10.0.1.13", 53))
        eventually(lambda: told_of_udp(cloud), "a real packet's flow")


def test_trace_names_what_the_switch_does_instead(cloud):
    flow = installed(cloud)
    which = f"table={flow.table},cookie={flow.cookie:#x}/-1"
    ovs(cloud, "mod-flows", "br-int", f"{which},actions=drop")
    code, said = trace(cloud, "vm1", "icmp -> 10.0.1.12")
    assert code == 1 and said["problem"].startswith("the switch does drop and does not do dec_ttl")
    assert "DIFFERS" in run(cloud, "trace", "vm1", "icmp -> 10.0.1.12").stderr
    back = f"cookie={trace(cloud, 'vm2', 'icmp -> 10.0.0.11')[1]['switch']['cookie']}/-1"
    ovs(cloud, "del-flows", "br-int", back)
    code, said = trace(cloud, "vm2", "icmp -> 10.0.0.11")
    assert code == 1 and "which the switch does not hold" in said["problem"]
    ovs(cloud, "add-flow", "br-int", "priority=400,icmp,actions=drop")
    code, said = trace(cloud, "vm1", "icmp -> 10.0.1.12")
    assert code == 1 and "none of onehop's" in said["problem"]
    ovs(cloud, "del-flows", "br-int", "--strict", "priority=400,icmp")


def test_trace_goes_by_the_store_where_no_agent_answers(cloud):
    code, said = trace(cloud, "vm1", "icmp -> 10.0.1.12", "--agents", "/nowhere")
    assert code == 3 and said["source"] == "store" and said["kind"] == "forward"
    assert said["problem"] == "host 'c1': no agent answers there" and said["switch"] is None


def test_describe_tells_how_a_host_is(cloud):
    done = run(cloud, "describe", "host", "c1", "--json")
    live = json.loads(done.stdout)["live"]
    assert live["agent"].startswith("live, connected to store and switch")
    assert {(i["port"], i["device"], i["works"]) for i in live["interfaces"]} == {
        ("vm1", "tap1", True), ("vm2", "tap2", True), ("vm3", "tap3", True)
    }  # fmt: skip
    assert live["flows"] > 0 and live["connections"]["entries"] > 0
    shown = run(cloud, "describe", "host", "c1", "-o", "table").stdout
    assert "interfaces" in shown and "tap2" in shown
    silent = run(cloud, "describe", "host", "c1", "-o", "table", "--agents", "/nowhere").stdout
    assert "no answer: host 'c1'" in silent


def test_watch_shows_packets_as_they_come(cloud):
    agents = Agents(str(cloud.c1.run_dir / "agents"))
    seen = agents.stream(ask.Watch(fields={"ipv4_dst": "10.0.1.13/32"}), ["c1"])
    with ThreadPoolExecutor() as pool, contextlib.closing(seen):
        first = pool.submit(next, seen)
        eventually(lambda: pings(cloud.vm1, "10.0.1.13") and first.done(), "a packet is seen")
    host, said = first.result()
    assert host == "c1" and isinstance(said, ask.Seen)
    assert (said.port, said.kind, said.outputs) == ("vm1", "forward", ("vm3",))


def test_audit_finds_what_was_tampered_with(cloud):
    flow = installed(cloud)
    which = f"table={flow.table},cookie={flow.cookie:#x}/-1"
    ovs(cloud, "mod-flows", "br-int", f"{which},actions=drop")
    ovs(cloud, "add-flow", "br-int", "cookie=0x7,priority=300,tcp,tp_dst=99,actions=drop")
    ovs(cloud, "del-flows", "br-int", "--strict", "priority=0")
    done = run(cloud, "audit", "--json")
    (host,) = json.loads(done.stdout)
    found = {each["what"]: each for each in host["differences"]}
    assert done.exit_code == 1 and found.keys() == {"different", "foreign", "missing"}
    assert found["different"]["cookie"] == f"{flow.cookie:#x}"
    assert found["different"]["switch"] == ["drop"] and "dec_ttl" in found["different"]["engine"]
    assert found["foreign"]["cookie"] == "0x7" and found["foreign"]["engine"] is None
