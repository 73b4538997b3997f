"""Connections outlive a machine's move, a gateway's death, and agents that stand still.

vm1 -- [c1] ~~~ [c2] -- vm2
          ~~~ [g1] -- outside            as in test_translations
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
from functional.agent_hosts import Host, eventually, pings
from functional.test_translations import (
    OUTSIDE,
    PUBLIC,
    TOPOLOGY,
    VM1,
    VM2,
    Cloud,
    bound,
    joined,
    running,
)

QUEUE_BYTES = 8 << 20
N_MESSAGES = 200


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(tmp_path_factory.mktemp("peers") / "token") as made:
        yield made


class Session:
    """A connection from vm1 to the outside, and who the outside takes it for."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.whom: tuple[str, int] | None = None

    def ask(self) -> None:
        """vm1 says something; it comes from who it came from before."""
        self.client.send(b"ask")
        said, whom = self.server.recvfrom(16)
        assert said == b"ask"
        assert whom[0] == PUBLIC
        assert self.whom in (None, whom), "translated anew"
        self.whom = whom

    def answer(self) -> None:
        assert self.whom
        self.server.sendto(b"answer", self.whom)
        assert self.client.recv(16) == b"answer"


@contextlib.contextmanager
def datagrams(cloud: Cloud) -> Iterator[Session]:
    with (
        bound(cloud.outside, socket.SOCK_DGRAM, 5002, address=OUTSIDE) as server,
        bound(cloud.vm1, socket.SOCK_DGRAM) as client,
    ):
        client.connect((OUTSIDE, 5002))
        session = Session(client, server)
        session.ask()
        session.answer()
        yield session


@contextlib.contextmanager
def stream(cloud: Cloud) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection from vm1 to the outside."""
    with (
        bound(cloud.outside, socket.SOCK_STREAM, 5003, address=OUTSIDE) as server,
        bound(cloud.vm1, socket.SOCK_STREAM) as client,
    ):
        server.listen()
        client.connect((OUTSIDE, 5003))
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(client.gettimeout())
            exchange(client, accepted)
            yield client, accepted


def exchange(one: socket.socket, other: socket.socket) -> None:
    for speaker, hearer in ((one, other), (other, one)):
        speaker.sendall(b"still there?")
        assert hearer.recv(16) == b"still there?"


def move_vm1(cloud: Cloud, source: Host, target: Host) -> None:
    """The machine runs on another host from now on."""
    text = TOPOLOGY.replace("host: c1, interface: tap1", f"host: {target.name}, interface: tap1")
    cloud.world.apply(text)
    source.node.ip("link", "set", "tap1", "netns", target.node.name)
    target.node.ip("link", "set", "tap1", "up")


def test_connections_go_on_when_their_machine_moves_and_keep_their_ports(cloud: Cloud) -> None:
    c1, c2, _ = cloud.hosts
    with datagrams(cloud) as session, stream(cloud) as (client, accepted):
        for source, target in ((c1, c2), (c2, c1)):
            move_vm1(cloud, source, target)
            eventually(lambda: pings(cloud.vm1, OUTSIDE), f"vm1 is reached on {target.name}")
            session.answer()
            session.ask()
            exchange(accepted, client)


def test_connections_go_on_when_their_gateway_died_and_lost_its_memory(cloud: Cloud) -> None:
    gateway = cloud.hosts[2]
    with datagrams(cloud) as session, stream(cloud) as (client, accepted):
        gateway.kill()
        for memory in gateway.run_dir.glob("state-g1-*"):
            memory.unlink()
        gateway.reboot(cloud.token)
        eventually(lambda: joined(gateway), f"g1 is back\n{gateway.log()}")
        eventually(lambda: pings(cloud.vm1, OUTSIDE), "another connection passes")
        session.answer()
        exchange(accepted, client)
        session.ask()


def test_packets_go_on_where_the_other_hosts_agent_stands_still(cloud: Cloud) -> None:
    c1, c2, _ = cloud.hosts
    with bound(cloud.vm2, socket.SOCK_DGRAM, 5004) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(bound(cloud.vm1, socket.SOCK_DGRAM)) for _ in range(50)]
        with c2.stopped_agent():
            for client in clients:
                client.connect((VM2, 5004))
                client.send(b"ask")
                said, whom = server.recvfrom(16)
                assert (said, whom[0]) == (b"ask", VM1)
            peers = c1.status()["channel"]["peers"]
            assert peers["c2"]["queued_bytes"] <= QUEUE_BYTES
        eventually(lambda: joined(c2) and joined(c1), "c2 goes on")


def test_first_answers_pass_where_their_hosts_agent_stands_still(cloud: Cloud) -> None:
    """Their flows were installed when the gateway heard of the connections."""
    gateway = cloud.hosts[2]
    with (
        bound(cloud.outside, socket.SOCK_DGRAM, 5005, address=OUTSIDE) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(bound(cloud.vm1, socket.SOCK_DGRAM)) for _ in range(20)]
        askers = []
        for client in clients:
            client.connect((OUTSIDE, 5005))
            client.send(b"ask")
            askers.append(server.recvfrom(16)[1])
        wanted = {port for _, port in askers}
        eventually(lambda: wanted <= flows_to(gateway), "a flow for each answer")
        with gateway.stopped_agent():
            for client, asker in zip(clients, askers, strict=True):
                server.sendto(b"answer", asker)
                assert client.recv(16) == b"answer"
        eventually(lambda: joined(gateway), "the gateway's agent goes on")


def flows_to(host: Host) -> set[int]:
    """The ports that flows in its switch are for."""
    return set(map(int, re.findall(r"tp_dst=(\d+)", host.ovs.ofctl("dump-flows", "br-int"))))
