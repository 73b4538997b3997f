"""Translations with real packets, over three hosts.

vm1 -- [c1] ~~~ [c2] -- vm2 (203.0.113.50)      outbound, sources become 203.0.113.1
          ~~~ [g1] -- outside (198.51.100.9)
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from functional.agent_hosts import Host, World, eventually, pings
from functional.nodes import Net, Node

from onehop.controller.agent import namespaces

PATIENCE_S = 20.0
N_CONNECTIONS = 300
OUTSIDE, PUBLIC, FLOATING = "198.51.100.9", "203.0.113.1", "203.0.113.50"
VIP = "203.0.113.80"
VM1, VM2 = "10.0.0.11", "10.0.0.12"
TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: c2, tunnel_address: 172.31.0.22}
  - {name: g1, tunnel_address: 172.31.0.11}
bridges:
  - {name: n1}
chains:
  - name: in
    rules: [{action: reverse_snat}]
  - name: out
    rules:
      - {action: snat, out_ports: [up1], targets: [{first_address: 203.0.113.1}]}
      - {action: snat, out_ports: [up1], targets: [{first_address: "2001:db8:1::1"}]}
routers:
  - {name: r1, inbound_filter: in, outbound_filter: out}
floating_ips:
  - {router: r1, address: 203.0.113.50, fixed_address: 10.0.0.12}
pools:
  - {name: web}
pool_members:
  - {name: web1, pool: web, address: 10.0.0.11, port: 8085}
  - {name: web2, pool: web, address: 10.0.0.12, port: 8085}
vips:
  - {name: www, router: r1, address: 203.0.113.80, port: 80, pool: web}
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24, "fd00::11/64"],
     host: c1, interface: tap1}
  - {name: vm2, device: n1, mac: "02:00:00:00:00:02", addresses: [10.0.0.12/24, "fd00::12/64"],
     host: c2, interface: tap2}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: up1, device: r1, addresses: [10.56.1.2/24, "fd00:56::2/64"],
     host: g1, interface: wire1}
routes:
  - {router: r1, destination: 0.0.0.0/0, next_hop_port: up1, next_hop_gateway: 10.56.1.1}
  - {router: r1, destination: 203.0.113.0/24, type: blackhole}
  - {router: r1, destination: "::/0", next_hop_port: up1, next_hop_gateway: "fd00:56::1"}
"""


class Cloud(NamedTuple):
    world: World
    hosts: list[Host]
    vm1: Node
    vm2: Node
    outside: Node
    token: Path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(tmp_path_factory.mktemp("peers") / "token") as made:
        yield made


@contextlib.contextmanager
def running(token: Path) -> Iterator[Cloud]:
    """Everything is there, and has been used once."""
    token.touch(0o600)
    token.write_text("a token that all agents know")
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        addresses = {"c1": "172.31.0.21", "c2": "172.31.0.22", "g1": "172.31.0.11"}
        hosts = [world.host(name, address) for name, address in addresses.items()]
        vm1 = hosts[0].machine("vm1", "tap1", "02:00:00:00:00:01", f"{VM1}/24", "fd00::11/64")
        vm2 = hosts[1].machine("vm2", "tap2", "02:00:00:00:00:02", f"{VM2}/24", "fd00::12/64")
        outside = hosts[2].machine(
            "out", "wire1", "06:00:00:00:00:01", "10.56.1.1/24", "fd00:56::1/64",
            f"{OUTSIDE}/32", "2001:db8:9::9/128",
        )  # fmt: skip
        for vm in (vm1, vm2):
            vm.ip("route", "add", "default", "via", "10.0.0.1")
            vm.ip("route", "add", "default", "via", "fd00::1")
        outside.ip("route", "add", "203.0.113.0/24", "via", "10.56.1.2")
        outside.ip("route", "add", "2001:db8:1::/48", "via", "fd00:56::2")
        cloud = Cloud(world, hosts, vm1, vm2, outside, token)
        start(cloud)
        eventually(lambda: pings(vm1, OUTSIDE), f"the first ping\n{hosts[0].log()}")
        yield cloud


def start(cloud: Cloud) -> None:
    for host in cloud.hosts:
        host.start_agent(cloud.token)
    for host in cloud.hosts:
        eventually(lambda h=host: joined(h), f"agent of {host.name} is ready\n{host.log()}")


def joined(host: Host) -> bool:
    peers = host.status().get("channel", {}).get("peers", {})
    return (
        host.live() and bool(peers) and all(p["connected"] and p["heard"] for p in peers.values())
    )


@contextlib.contextmanager
def bound(
    node: Node, kind: int, port: int = 0, family: int = socket.AF_INET, address: str = ""
) -> Iterator[socket.socket]:
    """A socket of a machine."""
    with namespaces.entered(node.name):
        made = socket.socket(family, kind)
    with made:
        made.settimeout(PATIENCE_S)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        yield made


def seen_from(server: socket.socket, client: socket.socket, address: str) -> str:
    """Whom the server sees, once both have heard each other."""
    server.listen()
    client.connect((address, server.getsockname()[1]))
    accepted, whom = server.accept()
    with accepted:
        accepted.settimeout(PATIENCE_S)
        client.sendall(b"ask")
        assert accepted.recv(16) == b"ask"
        accepted.sendall(b"answer")
        assert client.recv(16) == b"answer"
    return str(whom[0])


def test_a_machine_reaches_the_outside_as_somebody_else(cloud: Cloud) -> None:
    for family, address, public in (
        (socket.AF_INET, OUTSIDE, PUBLIC),
        (socket.AF_INET6, "2001:db8:9::9", "2001:db8:1::1"),
    ):
        eventually(lambda a=address: pings(cloud.vm1, a), f"echoes of {address}")
        with (
            bound(cloud.outside, socket.SOCK_STREAM, 8080, family) as server,
            bound(cloud.vm1, socket.SOCK_STREAM, 0, family) as client,
        ):
            assert seen_from(server, client, address) == public


def test_a_floating_ip_in_and_out(cloud: Cloud) -> None:
    eventually(lambda: pings(cloud.outside, FLOATING), "echoes of the floating IP")
    with (
        bound(cloud.vm2, socket.SOCK_STREAM, 8080) as server,
        bound(cloud.outside, socket.SOCK_STREAM) as client,
    ):
        seen_from(server, client, FLOATING)
    with (
        bound(cloud.outside, socket.SOCK_STREAM, 8081) as server,
        bound(cloud.vm2, socket.SOCK_STREAM) as client,
    ):
        assert seen_from(server, client, OUTSIDE) == FLOATING


def test_hairpin(cloud: Cloud) -> None:
    eventually(lambda: pings(cloud.vm1, FLOATING), "echoes of the floating IP")
    with (
        bound(cloud.vm2, socket.SOCK_STREAM, 8082) as server,
        bound(cloud.vm1, socket.SOCK_STREAM) as client,
    ):
        assert seen_from(server, client, FLOATING) == "10.0.0.1"


@pytest.mark.parametrize("who", ["outside", "vm1"])
def test_connections_to_a_vip_are_shared_by_its_members(cloud: Cloud, who: str) -> None:
    with (
        bound(cloud.vm1, socket.SOCK_STREAM, 8085) as one,
        bound(cloud.vm2, socket.SOCK_STREAM, 8085) as two,
    ):
        one.listen(64)
        two.listen(64)
        met = set()
        for _ in range(24):
            with bound(getattr(cloud, who), socket.SOCK_STREAM) as client:
                client.connect((VIP, 80))
                client.sendall(b"ask")
                ready, _, _ = select.select([one, two], [], [], PATIENCE_S)
                accepted, _ = ready[0].accept()
                with accepted:
                    accepted.settimeout(PATIENCE_S)
                    assert accepted.recv(16) == b"ask"
                    accepted.sendall(b"answer")
                    assert client.recv(16) == b"answer"
                met.add(ready[0])
        assert met == {one, two}


def test_a_vip_without_members_left_refuses(cloud: Cloud) -> None:
    drained = TOPOLOGY.replace("port: 8085}", "port: 8085, admin_state_up: false}")
    cloud.world.apply(drained)

    def refused() -> bool:
        with bound(cloud.outside, socket.SOCK_STREAM) as client:
            client.settimeout(1.5)
            try:
                client.connect((VIP, 80))
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                return False
        return False

    eventually(refused, "a connection is refused")
    cloud.world.apply(TOPOLOGY)


@pytest.mark.parametrize(
    ("who", "address"), [("vm1", OUTSIDE), ("outside", FLOATING), ("vm1", FLOATING)]
)
def test_an_error_about_a_closed_port_comes_to_the_right_socket(
    cloud: Cloud, who: str, address: str
) -> None:
    with bound(getattr(cloud, who), socket.SOCK_DGRAM) as client:
        client.connect((address, 9))
        client.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(16)


def test_a_connection_goes_on_after_all_agents_were_killed(cloud: Cloud) -> None:
    with (
        bound(cloud.outside, socket.SOCK_DGRAM, 5000, address=OUTSIDE) as server,
        bound(cloud.vm1, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"before", (OUTSIDE, 5000))
        asked, whom = server.recvfrom(16)
        assert (asked, whom[0]) == (b"before", PUBLIC)
        for host in cloud.hosts:
            host.kill_agent()
        start(cloud)
        server.sendto(b"after", whom)
        assert client.recv(16) == b"after"
        client.sendto(b"again", (OUTSIDE, 5000))
        assert server.recvfrom(16) == (b"again", whom)


def test_no_reply_is_lost_because_it_was_quicker_than_the_state(cloud: Cloud) -> None:
    with bound(cloud.outside, socket.SOCK_DGRAM, 5001, address=OUTSIDE) as server:
        for number in range(N_CONNECTIONS):
            with bound(cloud.vm1, socket.SOCK_DGRAM) as client:
                client.sendto(b"%d" % number, (OUTSIDE, 5001))
                asked, whom = server.recvfrom(16)
                server.sendto(asked, whom)
                assert client.recv(16) == b"%d" % number
