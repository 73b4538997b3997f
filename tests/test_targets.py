"""A target that is missed says why."""

from __future__ import annotations

import pytest
from record import Sample
from targets import TARGETS, Target, find

KNOWN_MISSED = (  # on slower machines, or beside other work
    "first packet, stateful, in batches",
    "first packet, stateful, one at a time",
    "first packet, stateless L3",
    "first-packet delay, median",
    "first-packet delay, 99 %",
)


def missed(target: Target, **at: int) -> list[Sample]:
    worst = 1e-9 if target.unit.endswith("/s") else 1e9
    peer = Sample(what=target.what, value=1.0, unit=target.unit, who=target.peer, scale=at)
    return [Sample(what=target.what, value=worst, unit=target.unit, scale=at), peer]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_missed_target_says_why(target: Target) -> None:
    found = find(target, missed(target, **target.at))
    assert not found.met
    assert found.reason


@pytest.mark.parametrize("name", KNOWN_MISSED)
def test_those_known_to_be_missed_state_their_ceiling(name: str) -> None:
    target = next(target for target in TARGETS if target.name == name)
    assert find(target, missed(target, **target.at)).reason.startswith(target.ceiling)
    assert any(digit.isdigit() for digit in target.ceiling)


def test_a_smaller_scale_is_the_reason_before_any_ceiling() -> None:
    target = next(target for target in TARGETS if target.name == "first-packet delay, median")
    assert "only" in find(target, missed(target, pairs=40)).reason


def test_a_peer_that_is_missing_is_the_reason() -> None:
    target = next(target for target in TARGETS if target.times and target.peer == "OVS classifier")
    assert "OVS classifier" in find(target, missed(target, **target.at)[:1]).reason


def test_who_stands_beside_the_peer_is_told_where_it_was_measured() -> None:
    target = next(target for target in TARGETS if target.name == "first-packet delay, median")
    ours, peer = missed(target, **target.at)
    others = [
        Sample(what=target.what, value=value, unit="ms", who=who, scale=scale)
        for who, value, scale in (("OVN", 0.25, target.at), ("OVN", 9.0, {"pairs": 40}),
                                  ("somebody", 7.0, target.at))
    ]  # fmt: skip
    assert find(target, [ours, peer]).peer == "ready bytes: 1 ms"
    found = find(target, [ours, peer, *others])
    assert found.peer == "ready bytes: 1 ms; OVN: 0.25 ms"
    assert (found.peer_value, found.met) == (1.0, False)


def test_what_has_to_hold_everywhere_is_told_where_it_holds_least() -> None:
    target = next(target for target in TARGETS if target.everywhere)
    scales = [{"flows": 100, "masks": 32}, target.at]
    samples = [
        Sample(what=target.what, value=value, unit="/s", who=who, scale=scale)
        for scale, ours, theirs in zip(scales, (30e6, 28e6), (10e6, 4e6), strict=True)
        for who, value in (("onehop", ours), (target.peer, theirs))
    ]
    found = find(target, samples)
    assert (found.scale, found.met) == (scales[0], True)
    assert found.ratio == pytest.approx(3)
    assert not find(target, samples[:2]).met, "the largest scale is missing"
    assert not find(target, samples[:3]).met, "a peer's figure is missing"
