"""Filters, security groups and connections against the oracle: random rules, random talk."""

from __future__ import annotations

from firewalls import conversations, walled
from hypothesis import given
from hypothesis import strategies as st
from strategies import Scene
from talk import (
    AGE_S,
    MOMENT_S,
    Talk,
    check_a_host_that_was_told,
    check_packets_that_one_flow_takes,
)
from test_oracle_walk import thorough

from onehop.engine import model

pauses = st.sampled_from((0, 0, MOMENT_S, MOMENT_S, AGE_S))


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
    check_a_host_that_was_told(scene, choose, conversations)


@thorough
@given(walled(), st.data())
def test_packets_that_one_flow_takes_fare_the_same_at_filters(
    scene: Scene, choose: st.DataObject
) -> None:
    check_packets_that_one_flow_takes(scene, choose, conversations)
