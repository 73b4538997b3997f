"""What a filter costs a packet: the walk over one bridge with chains of 10 to 10 000 rules.

Every rule names a source, a protocol and a port, as those of a tenant's firewall do; the packet
meets none of them but the last.
"""

from __future__ import annotations

import pytest
import workloads
from record import Meter
from rig import GATEWAY, network

from onehop.engine.model import Bridge, Chain, Rule
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

ROUNDS = 1000


def firewall(rules: int) -> Simulator:
    """The workload's network; its bridge accepts by the last rule, and drops by all others."""
    stated = [
        Rule(
            action="drop",
            source=f"10.{1 + n // 65536}.{n // 256 % 256}.{n % 256}/32",
            protocol="udp" if n % 3 else "tcp",
            destination_ports=1000 + n % 5000,
        )
        for n in range(rules - 1)
    ]
    chain = Chain(name="wall", rules=(*stated, Rule(action="accept", ether_type="ipv4")))
    topology = Topology()
    topology.update([*network(), Bridge(name="net", tunnel_key=100, inbound_filter="wall"), chain])
    return Simulator(topology)


@pytest.mark.parametrize("rules", (10, 100, 1000, 10_000))
def test_chain(meter: Meter, rules: int) -> None:
    simulator = firewall(rules)
    packet = next(workloads.packets(1, GATEWAY))
    verdict = simulator.simulate(packet, "vm1")
    assert verdict.kind == "forward"
    assert f"rule {rules} of wall: accept" in " ".join(verdict.steps)
    meter.time("walk with a chain of rules", lambda: simulator.repeat(packet, "vm1", ROUNDS),
               n=ROUNDS, rounds=20, rules=rules)  # fmt: skip
