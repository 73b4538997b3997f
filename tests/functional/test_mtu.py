"""An agent on a real switch tells long packets from short ones, and their senders of the MTU.

```
a: 10.0.0.1, fd00::1 -- [ r (mtu 1500) --- (mtu 1300) r ] -- b: 10.8.1.2, fd08::2
```
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from functional.agent_hosts import Host, World, eventually, pings
from functional.nodes import Net, Node

from onehop.engine import openflow

TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
routers:
  - {name: r}
ports:
  - {name: r-a, device: r, host: c1, interface: tap-a, mtu: 1500,
     addresses: [10.0.0.254/24, "fd00::fe/64"]}
  - {name: r-b, device: r, host: c1, interface: tap-b, mtu: 1300,
     addresses: [10.8.1.254/24, "fd08::fe/64"]}
"""
TOLD = {
    "10.8.1.2": "Frag needed and DF set (mtu = {})",
    "fd08::2": "Packet too big: mtu={}",
}
TCP_BYTES = 200_000
SEND = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 5001), timeout=30) as connection:
    connection.sendall(bytes({TCP_BYTES}))
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode())
"""
COUNT = """
import socket
with socket.create_server(("::", 5001), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
    print("ready", flush=True)
    connection = listening.accept()[0]
    connection.settimeout(30)
    with connection:
        total = 0
        while got := connection.recv(1 << 16):
            total += len(got)
        connection.sendall(str(total).encode())
"""


class Ends(NamedTuple):
    world: World
    c1: Host
    a: Node
    b: Node


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        c1 = world.host("c1", "172.31.0.21")
        a = c1.machine("a", "tap-a", "02:00:00:00:00:0a", "10.0.0.1/24", "fd00::1/64")
        b = c1.machine("b", "tap-b", "02:00:00:00:00:0b", "10.8.1.2/24", "fd08::2/64")
        for node, gateways in ((a, ("10.0.0.254", "fd00::fe")), (b, ("10.8.1.254", "fd08::fe"))):
            for gateway in gateways:
                node.ip("route", "add", "default", "via", gateway)
        c1.start_agent()
        eventually(c1.live, "the agent is live")
        for far in TOLD:
            eventually(lambda to=far: pings(a, to), f"first ping to {far}")
        yield Ends(world, c1, a, b)


@pytest.fixture(autouse=True)
def _as_at_first(ends: Ends) -> None:
    """No machine knows of an MTU yet."""
    ends.a.ip("route", "flush", "cache")
    ends.a.ip("-6", "route", "flush", "cache")


def ping(node: Node, to: str, length: int) -> str:
    """What ping says about packets of so many bytes that must not be fragmented."""
    size = length - (28 if "." in to else 48)
    command = ["ip", "netns", "exec", node.name, "ping", "-M", "do", "-n", "-c", "2", "-i", "0.3"]
    command += ["-W", "3", "-s", str(size), to]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def known_mtu(node: Node, to: str) -> int:
    """The path MTU that `node` has learned; 0: none."""
    found = re.search(r" mtu (\d+)", node.ip("route", "get", to))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("far", TOLD)
def test_sender_learns_the_mtu_while_short_packets_pass_in_the_switch(
    ends: Ends, far: str
) -> None:
    assert " 0% packet loss" in ping(ends.a, far, 1300)
    assert " 0% packet loss" in ping(ends.a, far, 1300)
    field = "ipv6_dst" if ":" in far else "nw_dst"
    flows = ends.c1.ovs.ofctl("dump-flows", "br-int")
    assert "check_pkt_larger(1314)->NXM_NX_REG0[0]" in flows, flows
    taken = rf"table={openflow.LIMITED}, n_packets=[1-9].*reg0=.*{field}=fd08|{field}=10.8.1"
    assert re.search(taken, flows), flows
    before = ends.c1.status()["counters"]
    assert TOLD[far].format(1300) in ping(ends.a, far, 1301)
    assert known_mtu(ends.a, far) == 1300
    after = ends.c1.status()["counters"]
    name = "stopped: over the egress MTU"
    assert after[name] == before.get(name, 0) + 1
    assert not after.get("switch_errors", 0), ends.c1.log()


@pytest.mark.parametrize("far", TOLD)
def test_tcp_finds_the_path_mtu(ends: Ends, far: str) -> None:
    inside = ("ip", "netns", "exec")
    with subprocess.Popen(
        [*inside, ends.b.name, sys.executable, "-c", COUNT], stdout=subprocess.PIPE, text=True
    ) as counting:
        try:
            assert counting.stdout
            assert counting.stdout.readline() == "ready\n"
            assert ends.a.run(sys.executable, "-c", SEND, far).strip() == str(TCP_BYTES)
        finally:
            counting.kill()
    assert known_mtu(ends.a, far) == 1300


def test_flows_for_some_lengths_outlive_the_agent(ends: Ends) -> None:
    assert " 0% packet loss" in ping(ends.a, "10.8.1.2", 1300)
    ends.c1.kill_agent()
    assert " 0% packet loss" in ping(ends.a, "10.8.1.2", 1300)
    ends.c1.start_agent()
    eventually(ends.c1.live, "the agent is live again")
    assert ends.c1.status()["counters"]["flows_adopted"]
    assert TOLD["10.8.1.2"].format(1300) in ping(ends.a, "10.8.1.2", 1301)


def test_changed_mtu_counts_at_once_and_its_absence_too(ends: Ends) -> None:
    far = "10.8.1.2"
    assert " 0% packet loss" in ping(ends.a, far, 1300)
    ends.world.apply(TOPOLOGY.replace("mtu: 1300", "mtu: 1290"))
    eventually(lambda: TOLD[far].format(1290) in ping(ends.a, far, 1300), "1290 counts")
    ends.world.apply(TOPOLOGY.replace(" mtu: 1300,", "").replace(", mtu: 1500", ""))
    ends.a.ip("route", "flush", "cache")
    eventually(lambda: " 0% packet loss" in ping(ends.a, far, 1500), "any length passes")
    flows = ends.c1.ovs.ofctl("dump-flows", "br-int")
    assert "check_pkt_larger" not in flows and f"table={openflow.LIMITED}" not in flows
    assert not ends.c1.status()["counters"].get("switch_errors", 0), ends.c1.log()
