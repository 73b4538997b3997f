"""Changes: the engine ends where a fresh one begins, and says which verdicts to look at again."""

import traffic
from agreement import disagreement
from changes import Change, apply, changes
from hypothesis import given
from hypothesis import strategies as st
from oracle import judge
from strategies import Scene, scenes
from test_oracle_walk import compiled, thorough
from world import World

from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology


def change(topology: Topology, step: Change) -> set[int]:
    tags = set(topology.update(step.put, step.remove))
    for host, alive in ((step.dies, False), (step.lives, True)):
        if host:
            tags |= set(topology.set_host_alive(host, alive))
    return tags


def fresh(scene: Scene, world: World) -> Simulator:
    """A topology compiled in one step from what `world` holds."""
    simulator = compiled([row for rows in world.rows.values() for row in rows.values()])
    for machine in scene.machines:
        simulator.topology.names.port_index(machine.port)
    for host in world.dead:
        simulator.topology.set_host_alive(host, False)
    return simulator


def mask_of(verdict: Verdict) -> dict[str, tuple[int, int]]:
    """But for the port: two topologies number their ports as they meet them."""
    return {name: bits for name, bits in verdict.match.items() if name != "in_port"}


def fate(verdict: Verdict) -> tuple[object, ...]:
    return verdict.kind, verdict.actions, verdict.outputs, verdict.emitted, verdict.awaited


@thorough
@given(scenes(), st.data())
def test_a_changed_topology_is_like_one_compiled_afresh(
    scene: Scene, choose: st.DataObject
) -> None:
    world, simulator = World(scene.resources), compiled(scene.resources)
    for _ in range(4):
        step = choose.draw(changes(scene, world))
        apply(world, step)
        change(simulator.topology, step)
    anew = fresh(scene, world)
    for _ in range(4):
        in_port, packet = choose.draw(traffic.packets(scene))
        now, then = simulator.simulate(packet, in_port), anew.simulate(packet, in_port)
        assert fate(now) == fate(then)
        assert mask_of(now) == mask_of(then)


@thorough
@given(scenes(), st.data())
def test_a_changed_topology_does_as_the_oracle_says(scene: Scene, choose: st.DataObject) -> None:
    world, simulator = World(scene.resources), compiled(scene.resources)
    for _ in range(4):
        step = choose.draw(changes(scene, world))
        apply(world, step)
        change(simulator.topology, step)
        in_port, packet = choose.draw(traffic.packets(scene))
        right = judge(world, in_port, packet)
        assert not disagreement(world, packet, simulator.simulate(packet, in_port), right)


@thorough
@given(scenes(), st.data())
def test_a_change_names_every_verdict_that_it_changes(scene: Scene, choose: st.DataObject) -> None:
    world, simulator = World(scene.resources), compiled(scene.resources)
    sent = choose.draw(st.lists(traffic.packets(scene), min_size=4, max_size=8))
    for _ in range(3):
        before = [simulator.simulate(packet, in_port) for in_port, packet in sent]
        step = choose.draw(changes(scene, world))
        apply(world, step)
        tags = change(simulator.topology, step)
        for (in_port, packet), old in zip(sent, before, strict=True):
            if old.cacheable and fate(simulator.simulate(packet, in_port)) != fate(old):
                assert tags & set(old.tag_ids), (step, old.tags)
