"""Filters, security groups and connections against the oracle: random rules, random talk."""

from __future__ import annotations

from agreement import disagreement
from connections import Memory
from firewalls import conversations, walled
from hypothesis import given
from hypothesis import strategies as st
from oracle import Outcome, judge
from strategies import Scene
from test_oracle_masks import covers, fate, is_malformed, is_punted, variants, without_port
from test_oracle_walk import compiled, learn, thorough
from world import World

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator

NS_PER_S = 1_000_000_000
MOMENT_S, AGE_S = 5, 3 * 3600  # no connection ends in the one, all do in the other
pauses = st.sampled_from((0, 0, MOMENT_S, MOMENT_S, AGE_S))


class Talk:
    """Packets through the engine and the oracle, one after another; `heard` is what came out."""

    def __init__(self, scene: Scene) -> None:
        self.world, self.simulator = World(scene.resources), compiled(scene.resources)
        self.memory, self.now_s = Memory(), 0
        self.heard: list[tuple[str, bytes]] = []

    @property
    def now_ns(self) -> int:
        return self.now_s * NS_PER_S

    def wait(self, pause_s: int) -> None:
        self.now_s += pause_s
        if pause_s == AGE_S:
            self.memory.known.clear()
            self.memory.notes.clear()

    def send(self, in_port: str, packet: bytes) -> Verdict:
        verdict = self.simulator.simulate(packet, in_port, self.now_ns)
        right = judge(self.world, in_port, packet, self.memory)
        if right:
            outcome = outcome_of(self.world, packet, verdict, right)
            if verdict.kind == "forward":
                self.memory.known |= outcome.opened
                self.memory.notes.add(outcome.made)
        self.simulator.apply(verdict, self.now_ns)
        learn(self.world, in_port, verdict)
        self.heard += [(output.port, output.packet) for output in verdict.outputs]
        return verdict


def outcome_of(world: World, packet: bytes, verdict: Verdict, right: list[Outcome]) -> Outcome:
    """The right outcome that the verdict is."""
    assert not disagreement(world, packet, verdict, right)
    return next(one for one in right if not disagreement(world, packet, verdict, [one]))


@thorough
@given(walled())
def test_random_filters_are_ones_that_users_may_state(scene: Scene) -> None:
    assert not model.check(scene.topology)


@thorough
@given(walled(), st.data())
def test_every_packet_of_a_talk_fares_as_the_rules_say(
    scene: Scene, choose: st.DataObject
) -> None:
    talk = Talk(scene)
    for _ in range(8):
        talk.send(*choose.draw(conversations(scene, talk.heard)))
        talk.wait(choose.draw(pauses))


@thorough
@given(walled(), st.data())
def test_packets_fare_the_same_at_a_host_that_was_told_of_the_connections(
    scene: Scene, choose: st.DataObject
) -> None:
    talk = Talk(scene)
    for _ in range(4):
        talk.send(*choose.draw(conversations(scene, talk.heard)))
    other = told_by(talk, scene)
    for _ in range(3):
        in_port, packet = choose.draw(conversations(scene, talk.heard))
        here = talk.simulator.simulate(packet, in_port, talk.now_ns)
        there = other.simulate(packet, in_port, talk.now_ns)
        assert fate(here) == fate(there)
        assert (here.outputs, here.created) == (there.outputs, there.created)


def told_by(talk: Talk, scene: Scene) -> Simulator:
    """Another host: the same topology, and all state that the first one's peers are told."""
    other = compiled(
        list(reversed([row for rows in talk.world.rows.values() for row in rows.values()]))
    )
    for message in talk.simulator.states.messages(talk.now_ns):
        other.states.merge(message, talk.now_ns)
    return other


@thorough
@given(walled(), st.data())
def test_packets_that_one_flow_takes_fare_the_same_at_filters(
    scene: Scene, choose: st.DataObject
) -> None:
    talk = Talk(scene)
    for _ in range(4):
        in_port, packet = choose.draw(conversations(scene, talk.heard))
        verdict = talk.send(in_port, packet)
        if not verdict.cacheable:
            continue
        assert covers(without_port(verdict), packet, talk.simulator.topology.limits)
        other = choose.draw(variants(packet, without_port(verdict)))
        if is_malformed(other):
            continue
        again = talk.simulator.simulate(other, in_port, talk.now_ns)
        assert is_punted(verdict, other) or fate(again) == fate(verdict), other.hex()
        assert not again.learned
