"""An agent's channel in a process of its own: `python tests/peer_process.py HOST PORT OTHER…`."""

from __future__ import annotations

import sys

from test_agent_peers import Agent

if __name__ == "__main__":
    host, port, *others = sys.argv[1:]
    channel = Agent(host, int(port)).meet(host, *others)
    while True:
        channel.peers.turn(1.0)
