"""How many flows connections take: those that no stateful policy looks at share theirs.

The counts are exact: a change of them is a change of what verdicts depend on.
"""

from __future__ import annotations

import frames
import pytest
import workloads
from networks import udp
from record import Meter

from onehop.engine.datapath import Datapath

CONNECTIONS, OTHERS = 1000, 10
POLICIES = {"stateless": OTHERS, "stateful": CONNECTIONS}  # flows


@pytest.mark.parametrize("policy", POLICIES)
def test_flows_of_connections(meter: Meter, policy: str) -> None:
    """A thousand connections of one machine with ten others, through its router."""
    resources = workloads.keyed(
        workloads.stateless(1, OTHERS) if policy == "stateless" else workloads.stateful()
    )
    gateway = workloads.gateway_mac(resources)

    def packet_in(n: int) -> bytes:
        far = 1 + n % OTHERS
        to = workloads.address(1, far) if policy == "stateless" else f"198.51.100.{far}"
        ip = udp(workloads.address(0, 1), to, sport=1024 + n, dport=53)
        return workloads.packet_in(frames.ip_frame(gateway, workloads.mac(1), ip).encode())

    packet_ins = b"".join(map(packet_in, range(CONNECTIONS)))

    def run(path: Datapath) -> None:
        path.receive(packet_ins, 1)
        assert path.counters["forwarded"] == CONNECTIONS
        assert path.counters["flows_installed"] == path.flow_count == POLICIES[policy]

    meter.time(f"a thousand connections, {policy}", run, n=CONNECTIONS, rounds=5,
               setup=lambda: (workloads.hot_path(resources, entries=1 << 14),))  # fmt: skip
    if meter.on:
        meter.note(f"flows of 1000 connections, {policy}", POLICIES[policy], "flows")
