"""Agents' channels on loopback addresses: real sockets, turned by hand."""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from onehop.controller.agent.peer_tls import Contexts
from onehop.controller.agent.peers import Peers

TOKEN = b"a token that all agents know"
HOSTS = {"c1": "127.6.0.1", "c2": "127.6.0.2", "c3": "127.6.0.3"}
DEADLINE_S = 20.0


class Agent:
    """A channel, and what it has heard."""

    def __init__(
        self, host: str, port: int, token: bytes = TOKEN, tls: Contexts | None = None
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.knows: list[bytes] = []
        self.knows_about: dict[str, list[bytes]] = {}  # by address
        self.host = host
        self.fetched = 0
        self.peers = Peers(
            host, token, known=self._known, came=self._came, fetched=self._fetched,
            port=port, tls=tls,
        )  # fmt: skip

    def meet(self, *hosts: str) -> Agent:
        others = {host: HOSTS[host] for host in hosts if host != self.host}
        self.peers.reconcile(HOSTS[self.host], others)
        return self

    def connected(self, *hosts: str) -> bool:
        found = self.peers.status().peers
        return all(found[host].connected and found[host].heard for host in hosts)

    def _known(self, addresses: Sequence[str]) -> Iterator[bytes]:
        about = [message for each in addresses for message in self.knows_about[each]]
        return iter(about if addresses else self.knows)

    def _fetched(self) -> None:
        self.fetched += 1

    def _came(self, host: str, messages: Sequence[bytes]) -> None:
        self.heard += [(host, message) for message in messages]


@pytest.fixture
def port() -> int:
    """Free at every address, and none that the kernel gives to whoever connects."""
    return next(number for number in random.sample(range(10_000, 30_000), 100) if _is_free(number))


def _is_free(number: int) -> bool:
    with ExitStack() as probes:
        try:
            for address in HOSTS.values():
                probes.enter_context(socket.socket()).bind((address, number))
        except OSError:
            return False
    return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def agent(
    stack: ExitStack, host: str, port: int, token: bytes = TOKEN, tls: Contexts | None = None
) -> Agent:
    made = Agent(host, port, token, tls)
    stack.callback(made.peers.close)
    return made


def until(condition, *agents: Agent) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        for one in agents:
            one.peers.turn(0.01)


@pytest.fixture
def pair(stack, port) -> tuple[Agent, Agent]:
    c1 = agent(stack, "c1", port).meet("c1", "c2")
    c2 = agent(stack, "c2", port).meet("c1", "c2")
    until(lambda: c1.connected("c2") and c2.connected("c1"), c1, c2)
    return c1, c2


def test_state_is_in_the_socket_before_send_returns(pair):
    c1, c2 = pair
    c1.peers.send("c2", b"news")
    until(lambda: c2.heard, c2)  # c1 has no turn
    assert c2.heard == [("c1", b"news")]
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c2)
    assert c1.peers.status().counters["state_messages_sent"] >= 1


def test_who_asks_hears_what_was_told_without_waiting(pair):
    c1, c2 = pair
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c2)
    c2.heard.clear()
    c2.peers.hear()
    assert not c2.heard
    for said in (b"one", b"two"):
        c1.peers.send("c2", said)
    c2.peers.hear()
    assert c2.heard == [("c1", b"one"), ("c1", b"two")]
    c1.peers.close()
    c2.peers.hear()
    until(lambda: not c2.peers.status().peers["c1"].heard, c2)
    c2.peers.hear()


def test_both_ends_tell_each_other(pair):
    c1, c2 = pair
    c1.peers.send("c2", b"one")
    c2.peers.send("c1", b"two")
    until(lambda: c1.heard and c2.heard, c1, c2)
    assert (c1.heard, c2.heard) == ([("c2", b"two")], [("c1", b"one")])


def test_agent_that_starts_is_told_everything(stack, port):
    c1 = agent(stack, "c1", port).meet("c1", "c2")
    c1.knows = [b"old", b"older"]
    c2 = agent(stack, "c2", port).meet("c1", "c2")
    until(lambda: len(c2.heard) >= 2, c1, c2)
    assert {message for _, message in c2.heard} == {b"old", b"older"}


def test_agent_knows_when_it_has_heard_all_that_the_others_know(stack, port):
    c1 = agent(stack, "c1", port).meet("c1", "c3")
    c2 = agent(stack, "c2", port).meet("c2", "c3")
    c3 = agent(stack, "c3", port).meet("c1", "c2", "c3")
    c1.knows, c2.knows = [b"one"], [b"two"]
    until(lambda: c3.fetched, c1, c2, c3)
    assert {("c1", b"one"), ("c2", b"two")} <= set(c3.heard)
    c3.peers.want()
    c1.peers.send("c3", b"later")
    until(lambda: ("c1", b"later") in c3.heard, c1, c2, c3)
    assert c3.fetched == 1


def test_agent_that_asks_is_told_everything_again(pair):
    c1, c2 = pair
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c2)
    c2.heard.clear()
    c1.knows = [b"moved here"]
    c2.peers.want()
    until(lambda: c2.heard, c1, c2)
    assert c2.heard == [("c1", b"moved here")]


def test_agent_that_asks_about_addresses_is_told_of_these_only(pair):
    c1, c2 = pair
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c2)
    c2.heard.clear()
    c1.knows = [b"everything"]
    c1.knows_about = {"10.0.0.1": [b"moved here"], "fd00::1": [b"too"]}
    c2.peers.want(["10.0.0.1", "fd00::1"])
    until(lambda: len(c2.heard) == 2, c1, c2)
    assert [message for _, message in c2.heard] == [b"moved here", b"too"]


def test_state_for_a_peer_that_is_away_arrives_when_it_is_back(stack, port):
    c1 = agent(stack, "c1", port).meet("c1", "c2")
    c1.peers.send("c2", b"said to nobody yet")
    c1.peers.turn(0)
    c2 = agent(stack, "c2", port).meet("c1", "c2")
    until(lambda: c2.heard, c1, c2)
    c2.peers.close()
    c1.peers.send("c2", b"said meanwhile")
    again = Agent("c2", port)
    stack.callback(again.peers.close)
    again.meet("c1", "c2")
    until(lambda: again.heard, c1, again)
    assert ("c1", b"said meanwhile") in again.heard


def test_peer_that_reads_nothing_blocks_neither_sender_nor_others(stack, port):
    c1 = agent(stack, "c1", port).meet("c1", "c2", "c3")
    c2 = agent(stack, "c2", port).meet("c1", "c2")
    c3 = agent(stack, "c3", port).meet("c1", "c3")
    until(lambda: c1.connected("c2", "c3"), c1, c2, c3)
    for _ in range(400):
        c1.peers.send("c2", bytes(100_000))  # c2 has no turn any more
    c1.peers.send("c3", b"news")
    until(lambda: c3.heard, c1, c3)
    status = c1.peers.status()
    assert status.peers["c2"].queued_bytes <= 8 << 20
    assert status.counters["state_messages_dropped"] > 0


def test_wrong_token_is_refused_and_said(stack, port, caplog):
    caplog.set_level(logging.INFO)
    c1 = agent(stack, "c1", port).meet("c1", "c2")
    c2 = agent(stack, "c2", port, b"a token of somebody else").meet("c1", "c2")
    c1.peers.send("c2", b"secret")
    until(lambda: "its token is another one" in caplog.text, c1, c2)
    until(lambda: c2.peers.status().counters.get("state_connections_refused"), c1, c2)
    assert not c2.heard
    assert not c1.peers.status().peers["c2"].connected


def test_host_that_left_the_topology_is_forgotten(pair):
    c1, c2 = pair
    c1.peers.reconcile(HOSTS["c1"], {})
    until(lambda: not c2.connected("c1"), c1, c2)
    c1.peers.send("c2", b"nobody")
    assert c1.peers.status().counters["state_messages_to_nobody"] == 1


def test_address_that_is_taken_is_said_in_the_status(stack, port):
    c1 = agent(stack, "c1", port).meet("c1")
    until(lambda: c1.peers.status().state.startswith("on at 127.6.0.1"), c1)
    rival = agent(stack, "c1", port).meet("c1")
    until(lambda: "in use" in rival.peers.status().state, rival)
