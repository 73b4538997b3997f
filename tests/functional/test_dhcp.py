"""A machine configures itself: dhclient and the kernel, over a real switch and a real agent.

```
vm1 (knows nothing but its MAC) -- [ c1: net --- r ] -- vm2: 10.8.0.2, fd08::2
```
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from functional.agent_hosts import Host, World, eventually, pings
from functional.nodes import Net, Node

from onehop.controller.agent import namespaces
from onehop.lab import dhcp

TOPOLOGY = """
hosts: [{name: c1, tunnel_address: 172.31.0.21}]
bridges: [{name: net}]
routers: [{name: r}]
security_groups: [{name: shut}]
ports:
  - {name: vm1, device: net, mac: "02:00:00:00:00:11", addresses: [10.0.0.11, "fd00::11"],
     host: c1, interface: tap1, security_groups: [shut]}
  - {name: net-r, device: net, peer: r-net}
  - {name: r-net, device: r, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: r-far, device: r, host: c1, interface: tap2, addresses: [10.8.0.1/24, "fd08::1/64"]}
subnets:
  - {name: four, bridge: net, prefix: 10.0.0.0/24, gateway: 10.0.0.1, dns: [192.0.2.53],
     routes: [{destination: 10.9.0.0/16, gateway: 10.0.0.9}]}
  - {name: six, bridge: net, prefix: "fd00::/64", gateway: "fd00::1", dns: ["fd00::53"]}
"""
MTU = 1450  # what VXLAN over IPv4 leaves of Ethernet's
ETH_P_ALL = 3


class Place(NamedTuple):
    world: World
    c1: Host
    vm1: Node
    files: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        c1 = world.host("c1", "172.31.0.21")
        vm1 = c1.machine("vm1", "tap1", "02:00:00:00:00:11")
        vm2 = c1.machine("vm2", "tap2", "02:00:00:00:00:12", "10.8.0.2/24", "fd08::2/64")
        for gateway in ("10.8.0.1", "fd08::1"):
            vm2.ip("route", "add", "default", "via", gateway)
        c1.start_agent()
        eventually(c1.live, "the agent is live")
        files = tmp_path_factory.mktemp("dhcp")
        dhcp.write(files)
        for line in dhcp.prepare("eth0"):
            vm1.run(*line.split())
        stack.callback(end, files)
        yield Place(world, c1, vm1, files)


def end(files: Path) -> None:
    for path in files.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGTERM)


def ask(place: Place, version: int) -> None:
    command = ["ip", "netns", "exec", place.vm1.name, *dhcp.ask(place.files, "eth0", version)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def shown(node: Node, *what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(node.ip("-json", *what) or "[]")
    return found


def routes(node: Node, family: str) -> set[tuple[str, str]]:
    found = shown(node, family, "route", "show", "dev", "eth0")
    return {(route["dst"], route.get("gateway", "")) for route in found}


def test_machine_gets_address_mtu_and_routes_by_dhcpv4(place: Place) -> None:
    ask(place, 4)
    (device,) = shown(place.vm1, "-4", "address", "show", "dev", "eth0")
    assert device["mtu"] == MTU
    assert [(a["local"], a["prefixlen"]) for a in device["addr_info"]] == [("10.0.0.11", 24)]
    assert routes(place.vm1, "-4") == {
        ("default", "10.0.0.1"), ("10.9.0.0/16", "10.0.0.9"), ("10.0.0.0/24", ""),
    }  # fmt: skip
    said = (place.files / "leases4").read_text()
    assert "domain-name-servers 192.0.2.53;" in said
    assert "dhcp-lease-time 86400;" in said and "dhcp-server-identifier 10.0.0.1;" in said
    eventually(lambda: pings(place.vm1, "10.8.0.2"), "the machine reaches beyond the router")


def test_machine_gets_address_by_dhcpv6_and_its_router_by_advertisement(place: Place) -> None:
    place.vm1.ip("link", "set", "eth0", "up")
    eventually(lambda: ("default", link_local(place)) in routes(place.vm1, "-6"), "a router")
    ask(place, 6)
    (device,) = shown(place.vm1, "-6", "address", "show", "dev", "eth0")
    found = [a["local"] for a in device["addr_info"] if a["scope"] == "global"]
    assert found == ["fd00::11"]
    assert ("fd00::/64", "") in routes(place.vm1, "-6")
    mtu = place.vm1.run("sysctl", "-n", "net.ipv6.conf.eth0.mtu").strip()
    assert mtu == str(MTU)
    assert "dhcp6.name-servers fd00::53;" in (place.files / "leases6").read_text()
    eventually(lambda: pings(place.vm1, "fd08::2"), "the machine reaches beyond the router")
    assert pings(place.vm1, f"{link_local(place)}%eth0")


def link_local(place: Place) -> str:
    """Of the router, as the machine knows it."""
    found = shown(place.vm1, "-6", "neighbor", "show", "dev", "eth0")
    return next((n["dst"] for n in found if "router" in n and n["dst"].startswith("fe80")), "")


def test_lease_is_renewed_at_the_router(place: Place, tmp_path: Path) -> None:
    end(place.files)
    dhcp.write(tmp_path)
    with (tmp_path / "dhclient.conf").open("a") as config:
        config.write("supersede dhcp-renewal-time 1;\n")
    with namespaces.entered(place.vm1.name):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with tap:
        tap.bind(("eth0", ETH_P_ALL))
        tap.settimeout(20)
        try:
            ask(place._replace(files=tmp_path), 4)
            while not is_dhcp(asked := tap.recv(2048), 67) or asked[0] & 1:
                pass
            while not is_dhcp(answer := tap.recv(2048), 68):
                pass
        finally:
            end(tmp_path)
    assert answer[6:12] == asked[:6]  # the router's
    assert b"\x35\x01\x05" in answer[278:]  # an ACK
    assert pings(place.vm1, "10.8.0.2")


def is_dhcp(frame: bytes, port: int) -> bool:
    """Whether it is for that port, over IPv4 without options."""
    to = frame[12:14] + frame[23:24] + frame[36:38]
    return to == b"\x08\x00\x11" + port.to_bytes(2, "big")


def test_machine_that_was_not_heard_hears_of_its_router_when_an_agent_comes(place: Place) -> None:
    place.c1.kill_agent()
    place.vm1.ip("-6", "route", "flush", "proto", "ra")
    assert "default" not in {to for to, _ in routes(place.vm1, "-6")}
    place.c1.start_agent()
    eventually(lambda: "default" in {to for to, _ in routes(place.vm1, "-6")}, "a router")
    assert not place.c1.status()["counters"].get("switch_errors", 0), place.c1.log()
