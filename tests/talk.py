"""A talk: packets through the engine and the oracle, one after another, and what holds of them."""

from __future__ import annotations

from collections.abc import Callable

from agreement import disagreement
from connections import Memory
from hypothesis import strategies as st
from oracle import Outcome, judge
from strategies import Scene
from test_oracle_masks import covers, fate, is_malformed, is_punted, variants, without_port
from test_oracle_walk import compiled, learn
from world import World

from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator

Sent = tuple[str, bytes]  # the port, the packet
Draw = Callable[
    [Scene, list[Sent]], st.SearchStrategy[Sent]
]  # what comes next, given what was heard

NS_PER_S = 1_000_000_000
MOMENT_S, AGE_S = 5, 3 * 3600  # no connection ends in the one, all do in the other


class Talk:
    """Packets through the engine and the oracle, one after another; `heard` is what came out."""

    def __init__(self, scene: Scene) -> None:
        self.world, self.simulator = World(scene.resources), compiled(scene.resources)
        self.memory, self.now_s = Memory(), 0
        self.heard: list[Sent] = []

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


def told_by(talk: Talk, scene: Scene) -> Simulator:
    """Another host: the same topology, and all state that the first one's peers are told."""
    other = compiled(
        list(reversed([row for rows in talk.world.rows.values() for row in rows.values()]))
    )
    for message in talk.simulator.states.messages(talk.now_ns):
        other.states.merge(message, talk.now_ns)
    return other


def check_a_host_that_was_told(scene: Scene, choose: st.DataObject, draw: Draw) -> None:
    """It decides as the one that told it."""
    talk = Talk(scene)
    for _ in range(4):
        talk.send(*choose.draw(draw(scene, talk.heard)))
    other = told_by(talk, scene)
    for _ in range(3):
        in_port, packet = choose.draw(draw(scene, talk.heard))
        here = talk.simulator.simulate(packet, in_port, talk.now_ns)
        there = other.simulate(packet, in_port, talk.now_ns)
        assert fate(here) == fate(there)
        assert (here.outputs, here.created) == (there.outputs, there.created)


def check_packets_that_one_flow_takes(scene: Scene, choose: st.DataObject, draw: Draw) -> None:
    """They fare as the one that it was made for."""
    talk = Talk(scene)
    for _ in range(4):
        in_port, packet = choose.draw(draw(scene, talk.heard))
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
