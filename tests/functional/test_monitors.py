"""Health monitors with real packets: three members, a client, and a host that asks.

client -- [c1] -- web1        [c2]: nothing but the monitor, until it dies
   web2 -- [g1] -- web3           g1 is a gateway: BFD watches everybody from there
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from functional.agent_hosts import Host, World, eventually
from functional.nodes import Net, Node
from functional.test_translations import joined

from onehop.controller.agent import namespaces
from onehop.controller.agent.monitors import namespace
from onehop.controller.agent.owners import best
from onehop.controller.store.client import Store
from onehop.engine.model import MemberStatus, MonitorOwner

Row = TypeVar("Row")
VIP, PORT, FALL = "203.0.113.80", 8080, 3
PORT_NAME = "monitor r1"
TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: c2, tunnel_address: 172.31.0.22}
  - {name: g1, tunnel_address: 172.31.0.11}
security_groups:
  - name: web
    rules:
      - {direction: ingress, protocol: tcp, ports: 8080}
bridges: [{name: n1}, {name: n2}]
routers: [{name: r1, asn: 65010}]
health_monitors:
  - {name: page, type: http, path: /health, interval_s: 0.5, timeout_s: 0.4, rise: 2, fall: 3}
  - {name: port, interval_s: 0.5, timeout_s: 0.4}
pools: [{name: web, monitor: page}, {name: six, monitor: port}]
pool_members:
  - {name: web1, pool: web, address: 10.0.0.11, port: 8080}
  - {name: web2, pool: web, address: 10.0.0.12, port: 8080}
  - {name: web3, pool: web, address: 10.0.0.13, port: 8080}
  - {name: web6, pool: six, address: "fd00::13", port: 8080}
vips:
  - {name: www, router: r1, address: 203.0.113.80, port: 80, pool: web}
  - {name: www6, router: r1, address: "2001:db8::80", port: 80, pool: six}
floating_ips: [{router: r1, address: 203.0.113.13, fixed_address: 10.0.0.13}]
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24],
     host: c1, interface: tap1, security_groups: [web]}
  - {name: vm2, device: n1, mac: "02:00:00:00:00:02", addresses: [10.0.0.12/24],
     host: g1, interface: tap2, security_groups: [web]}
  - {name: vm3, device: n1, mac: "02:00:00:00:00:03", addresses: [10.0.0.13/24, "fd00::13/64"],
     host: g1, interface: tap3, security_groups: [web]}
  - {name: vm9, device: n2, mac: "02:00:00:00:00:09", addresses: [10.0.2.9/24],
     host: c1, interface: tap9}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: n2-r1, device: n2, peer: r1-n2}
  - {name: r1-n2, device: r1, addresses: [10.0.2.1/24]}
  - {name: up1, device: r1, addresses: [10.56.1.2/24], host: g1, interface: wire1}
bgp_peers: [{name: isp1, port: up1, address: 10.56.1.1, asn: 65100}]
"""


UNMONITORED = TOPOLOGY.replace(", monitor: page", "").replace(", monitor: port", "")


class Page(http.server.BaseHTTPRequestHandler):
    """Says who it is, and counts who asks for its health."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self.server.asked += 1
        body = self.server.name.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A member, in a machine of its own; it takes IPv4, too."""

    address_family = socket.AF_INET6

    def __init__(self, node: Node, name: str) -> None:
        self.name, self.status, self.asked = name, 200, 0
        with namespaces.entered(node.name):
            super().__init__(("", PORT), Page)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A monitor hangs up when it has read enough."""

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Cloud(NamedTuple):
    world: World
    hosts: dict[str, Host]
    machines: dict[str, Node]
    servers: dict[str, Server]
    client: Node
    store: Store
    token: Path

    def well(self, **expected: bool) -> None:
        """Wait until the members are as expected."""
        eventually(lambda: self.statuses() == expected, f"members are {expected}\n{self.logs()}")

    def statuses(self) -> dict[str, bool]:
        """Of the members of the pool whose machines come and go."""
        rows = self.rows(MemberStatus)
        return {row.member: row.healthy for row in rows if row.member != "web6"}

    def known(self) -> set[tuple[str, bool]]:
        return {(row.member, row.healthy) for row in self.rows(MemberStatus)}

    def reason(self, member: str) -> str:
        (found,) = (row.reason for row in self.rows(MemberStatus) if row.member == member)
        return found

    def owner(self) -> str:
        return next((row.host for row in self.rows(MonitorOwner)), "")

    def rows(self, kind: type[Row]) -> list[Row]:
        self.store.run()
        return [row for row in self.store.held.values() if isinstance(row, kind)]

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{host.log()}" for name, host in self.hosts.items())

    def serve(self, member: str) -> None:
        self.servers[member] = Server(self.machines[member], member)

    def visit(self) -> http.client.HTTPConnection:
        """A connection to the VIP."""
        connection = http.client.HTTPConnection(VIP, 80, timeout=20)
        with namespaces.entered(self.client.name):
            connection.connect()
        return connection


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    token = tmp_path_factory.mktemp("peers") / "token"
    token.touch(0o600)
    token.write_text("a token that all agents know")
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        addresses = {"c1": "172.31.0.21", "c2": "172.31.0.22", "g1": "172.31.0.11"}
        hosts = {name: world.host(name, address) for name, address in addresses.items()}
        machines = {
            f"web{n}": hosts[host].machine(f"vm{n}", f"tap{n}", f"02:00:00:00:00:0{n}",
                                           f"10.0.0.1{n}/24")
            for n, host in ((1, "c1"), (2, "g1"), (3, "g1"))
        }  # fmt: skip
        client = hosts["c1"].machine("vm9", "tap9", "02:00:00:00:00:09", "10.0.2.9/24")
        hosts["g1"].machine("out", "wire1", "06:00:00:00:00:01", "10.56.1.1/24")
        for machine in machines.values():
            machine.ip("route", "add", "default", "via", "10.0.0.1")
        six = machines["web3"]
        six.ip("address", "add", "fd00::13/64", "dev", "eth0", "nodad")
        six.ip("route", "add", "default", "via", "fd00::1")
        client.ip("route", "add", "default", "via", "10.0.2.1")
        store = Store(world.store)
        stack.callback(store.close)
        cloud = Cloud(world, hosts, machines, {}, client, store, token)
        for member in machines:
            cloud.serve(member)
        stack.callback(lambda: [server.stop() for server in cloud.servers.values()])
        for host in hosts.values():
            host.start_agent(token)
        for host in hosts.values():
            eventually(lambda h=host: joined(h), f"agent of {host.name} is ready\n{host.log()}")
        yield cloud


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def say(connection: http.client.HTTPConnection) -> str:
    """Who answers."""
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


def leads_to(cloud: Cloud, *members: str) -> None:
    """Wait until new connections to the VIP lead to these, and to nobody else."""
    eventually(lambda: met(cloud) == set(members), f"the VIP leads to {members}\n{cloud.logs()}")


def met(cloud: Cloud, times: int = 12) -> set[str]:
    found = set()
    for _ in range(times):
        try:
            with contextlib.closing(cloud.visit()) as connection:
                found.add(say(connection))
        except (ConnectionError, TimeoutError) as error:  # to one that was just lost
            found.add(str(error))
    return found


def test_one_host_asks_every_member(cloud: Cloud) -> None:
    cloud.well(web1=True, web2=True, web3=True)
    assert cloud.owner() == best("r1", cloud.hosts) == "c2"
    eventually(lambda: ("web6", True) in cloud.known(), f"IPv6 is asked\n{cloud.logs()}")
    leads_to(cloud, "web1", "web2", "web3")


def test_a_member_that_dies_is_left_and_comes_back(
    cloud: Cloud, stack: contextlib.ExitStack
) -> None:
    cloud.well(web1=True, web2=True, web3=True)
    kept: dict[str, http.client.HTTPConnection] = {}
    while len(kept) < 3:
        connection = stack.enter_context(contextlib.closing(cloud.visit()))
        kept.setdefault(say(connection), connection)
    before = cloud.servers["web2"].asked
    cloud.servers["web1"].stop()
    cloud.well(web1=False, web2=True, web3=True)
    assert cloud.servers["web2"].asked - before <= FALL + 2
    assert cloud.reason("web1") == "connection refused"
    leads_to(cloud, "web2", "web3")
    assert [say(kept[name]) for name in ("web2", "web3")] == ["web2", "web3"]
    cloud.serve("web1")
    cloud.well(web1=True, web2=True, web3=True)
    leads_to(cloud, "web1", "web2", "web3")


def test_an_answer_that_says_no_and_a_machine_that_says_nothing(cloud: Cloud) -> None:
    cloud.well(web1=True, web2=True, web3=True)
    cloud.servers["web3"].status = 503
    cloud.machines["web2"].ip("link", "set", "eth0", "down")
    cloud.well(web1=True, web2=False, web3=False)
    assert cloud.reason("web3") == "HTTP 503"
    leads_to(cloud, "web1")
    cloud.servers["web3"].status = 204
    cloud.machines["web2"].ip("link", "set", "eth0", "up")
    cloud.machines["web2"].ip("route", "add", "default", "via", "10.0.0.1")
    cloud.well(web1=True, web2=True, web3=True)


def test_without_a_healthy_member_a_client_is_refused(cloud: Cloud) -> None:
    for server in cloud.servers.values():
        server.status = 500
    cloud.well(web1=False, web2=False, web3=False)

    def refused() -> bool:
        try:
            cloud.visit().close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, "the VIP refuses")
    for server in cloud.servers.values():
        server.status = 200
    cloud.well(web1=True, web2=True, web3=True)


def test_an_agent_that_starts_again_goes_on_asking(cloud: Cloud) -> None:
    cloud.hosts["c2"].kill_agent()
    cloud.hosts["c2"].start_agent(cloud.token)
    eventually(cloud.hosts["c2"].live, "c2 is live again")
    cloud.servers["web1"].status = 503
    cloud.well(web1=False, web2=True, web3=True)
    cloud.servers["web1"].status = 200
    cloud.well(web1=True, web2=True, web3=True)


def give(cloud: Cloud, host: str) -> None:
    """Have this host ask: under load, agents may have been silent for too long."""
    cloud.store.put([MonitorOwner(host=host, router="r1")])
    eventually(lambda: cloud.owner() == host, f"{host} is named")
    eventually(lambda: asks(cloud.hosts[host]), f"{host} asks\n{cloud.logs()}")


def asks(host: Host) -> bool:
    return host.status().get("monitors") == {PORT_NAME: "asking"}


def test_another_host_takes_over_and_what_was_known_stays(cloud: Cloud) -> None:
    give(cloud, "c2")
    cloud.servers["web1"].status = 503
    cloud.well(web1=False, web2=True, web3=True)
    cloud.hosts["c2"].kill()
    eventually(lambda: cloud.owner() == "g1", f"g1 takes over\n{cloud.logs()}")
    assert cloud.statuses() == {"web1": False, "web2": True, "web3": True}
    leads_to(cloud, "web2", "web3")
    cloud.servers["web1"].status = 200
    cloud.well(web1=True, web2=True, web3=True)
    cloud.servers["web2"].stop()
    cloud.well(web1=True, web2=False, web3=True)
    cloud.serve("web2")
    cloud.well(web1=True, web2=True, web3=True)
    cloud.hosts["c2"].ovs.start()  # for the end: there is something to clean


def test_nothing_is_left_when_the_monitor_goes(cloud: Cloud) -> None:
    place = namespaces.ROOT / namespace("g1", PORT_NAME)
    give(cloud, "g1")
    assert place.exists()
    cloud.world.apply(UNMONITORED)
    eventually(lambda: not place.exists(), "the namespace is gone")
    eventually(lambda: not cloud.rows(MemberStatus), "no status is left")
    eventually(lambda: not cloud.owner(), "nobody asks")
    cloud.world.apply(TOPOLOGY)
    give(cloud, "g1")
    cloud.hosts["g1"].clean()
    assert not place.exists()
