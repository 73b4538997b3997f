"""A peer whose process is stopped: it is there, its sockets are open, and it reads nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_agent_peers import HOSTS, Agent, agent, port, stack, until  # noqa: F401

PROCESS = Path(__file__).with_name("peer_process.py")
LIMIT_BYTES = 8 << 20
SOCKET_BYTES = 32 << 20  # more than kernels hold for a connection


@pytest.fixture
def stopped(stack, port) -> Iterator[subprocess.Popen[bytes]]:  # noqa: F811
    """c2; not stopped yet."""
    process = subprocess.Popen([sys.executable, str(PROCESS), "c2", str(port), "c1"])
    yield process
    process.kill()
    process.wait()


def test_stopped_peer_blocks_nobody_costs_bounded_memory_and_is_told_everything_later(
    stack, port, stopped  # noqa: F811
):  # fmt: skip
    c1 = agent(stack, "c1", port).meet("c1", "c2", "c3")
    c3 = agent(stack, "c3", port).meet("c1", "c3")
    until(lambda: c1.connected("c2", "c3") and c3.connected("c1"), c1, c3)
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c3)
    stopped.send_signal(signal.SIGSTOP)
    for number in range((LIMIT_BYTES + SOCKET_BYTES) // 100_000):
        c1.peers.send("c2", bytes(100_000))
        c1.peers.send("c3", b"%d" % number)
        c3.peers.hear()
        assert c3.heard[-1] == ("c1", b"%d" % number), "at once"
        assert c1.peers.status().peers["c2"].queued_bytes <= LIMIT_BYTES
    status = c1.peers.status()
    assert status.counters["state_messages_dropped"] > 0
    resyncs = status.counters["state_resyncs"]
    stopped.send_signal(signal.SIGCONT)
    until(lambda: not c1.peers.status().peers["c2"].queued, c1, c3)
    assert c1.peers.status().counters["state_resyncs"] > resyncs
    assert c1.peers.status().peers["c2"].connected
