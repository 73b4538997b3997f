"""Translations and the load balancer against the oracle: random rules, random talk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from strategies import Scene
from test_oracle_filters import Talk, told_by
from test_oracle_masks import covers, fate, is_malformed, is_punted, variants, without_port
from test_oracle_walk import thorough
from translators import exchanges, translated

from onehop.engine import model

AGE_S = 3 * 3600
pauses = st.sampled_from((0, 0, 0, 0, 0, AGE_S))


@thorough
@given(translated())
def test_random_translations_are_ones_that_users_may_state(scene: Scene) -> None:
    assert not model.check(scene.topology)


@thorough
@given(translated(), st.data())
def test_every_packet_of_a_talk_is_translated_as_the_oracle_says(
    scene: Scene, choose: st.DataObject
) -> None:
    talk = Talk(scene)
    for _ in range(8):
        talk.send(*choose.draw(exchanges(scene, talk.heard)))
        talk.wait(choose.draw(pauses))


@thorough
@given(translated(), st.data())
def test_a_host_that_was_told_translates_what_is_known_the_same(
    scene: Scene, choose: st.DataObject
) -> None:
    """What it begins itself may differ in nothing either: choices follow from the packet."""
    talk = Talk(scene)
    for _ in range(4):
        talk.send(*choose.draw(exchanges(scene, talk.heard)))
    other = told_by(talk, scene)
    for _ in range(3):
        in_port, packet = choose.draw(exchanges(scene, talk.heard))
        here = talk.simulator.simulate(packet, in_port, talk.now_ns)
        there = other.simulate(packet, in_port, talk.now_ns)
        assert fate(here) == fate(there)
        assert (here.outputs, here.created) == (there.outputs, there.created)


@thorough
@given(translated(), st.data())
def test_packets_that_one_flow_takes_are_translated_the_same(
    scene: Scene, choose: st.DataObject
) -> None:
    talk = Talk(scene)
    for _ in range(4):
        in_port, packet = choose.draw(exchanges(scene, talk.heard))
        talk.send(in_port, packet)
        verdict = talk.simulator.simulate(packet, in_port, talk.now_ns)
        if not verdict.cacheable:
            continue
        assert covers(without_port(verdict), packet, talk.simulator.topology.limits)
        other = choose.draw(variants(packet, without_port(verdict)))
        if is_malformed(other):
            continue
        again = talk.simulator.simulate(other, in_port, talk.now_ns)
        assert is_punted(verdict, other) or fate(again) == fate(verdict), other.hex()
        assert not again.learned
