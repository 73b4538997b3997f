"""The engine's walk against the oracle: random topologies, random sequences of packets."""

import os

import traffic
from agreement import disagreement, neighbors_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import judge
from strategies import Scene, scenes
from world import World

from onehop.engine import model
from onehop.engine.effects import MacLearned
from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

thorough = settings(
    max_examples=int(os.environ.get("ONEHOP_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compiled(resources: list[model.Resource]) -> Simulator:
    topology = Topology()
    topology.update(resources)
    return Simulator(topology)


def learn(world: World, in_port: str, verdict: Verdict) -> None:
    """What the host of `in_port` would tell the others."""
    host = world.port(in_port).host
    for found in verdict.learned:
        if isinstance(found, MacLearned):
            world.put(
                [
                    model.LearnedMac(
                        host=host,
                        bridge=found.bridge,
                        vlan=found.vlan,
                        mac=found.mac,
                        port=found.port,
                    )
                ]
            )
    for port, address, mac in neighbors_of(verdict):
        world.put([model.Neighbor(host=host, port=port, address=str(address), mac=mac)])


@thorough
@given(scenes(), st.data())
def test_every_packet_of_a_sequence_fares_as_the_oracle_says(
    scene: Scene, choose: st.DataObject
) -> None:
    world, simulator = World(scene.resources), compiled(scene.resources)
    for _ in range(6):
        in_port, packet = choose.draw(traffic.packets(scene))
        verdict = simulator.simulate(packet, in_port)
        assert not disagreement(world, packet, verdict, judge(world, in_port, packet))
        simulator.apply(verdict)
        learn(world, in_port, verdict)
