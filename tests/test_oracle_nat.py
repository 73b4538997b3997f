"""Translations and the load balancer against the oracle: random rules, random talk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from strategies import Scene
from talk import AGE_S, Talk, check_a_host_that_was_told, check_packets_that_one_flow_takes
from test_oracle_walk import thorough
from translators import exchanges, translated

from onehop.engine import model

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
    check_a_host_that_was_told(scene, choose, exchanges)


@thorough
@given(translated(), st.data())
def test_packets_that_one_flow_takes_are_translated_the_same(
    scene: Scene, choose: st.DataObject
) -> None:
    check_packets_that_one_flow_takes(scene, choose, exchanges)
