"""What a host has learned and forgets."""

from __future__ import annotations

from onehop.controller.agent.ageing import MAC_NS, NEIGHBOR_NS, SWEEP_NS, Ageing
from onehop.engine.model import LearnedMac, Neighbor, Resource

MAC = LearnedMac(host="c1", bridge="n1", port="vm1", mac="02:00:00:00:00:01")
THEIRS = LearnedMac(host="c2", bridge="n1", port="vm2", mac="02:00:00:00:00:02")
NEIGHBOR = Neighbor(host="c1", port="r1-n1", address="10.0.0.5", mac="02:00:00:00:00:05")
ROWS: dict[str, dict[str, Resource]] = {
    "learned_mac": {MAC.name: MAC, THEIRS.name: THEIRS},
    "neighbor": {NEIGHBOR.name: NEIGHBOR},
}


def unused(_row: Resource) -> bool:
    return False


def test_mac_is_forgotten_some_time_after_its_last_use():
    ageing = Ageing("c1")
    assert ageing.sweep(ROWS, lambda row: True, 0) == []
    assert ageing.sweep(ROWS, unused, MAC_NS) == []
    assert ageing.sweep(ROWS, unused, MAC_NS + SWEEP_NS) == [("learned_mac", MAC.name)]


def test_what_is_in_use_stays():
    ageing = Ageing("c1")
    for i in range(100):
        assert ageing.sweep(ROWS, lambda row: True, i * SWEEP_NS) == []


def test_what_is_found_at_the_start_counts_as_used_then():
    ageing = Ageing("c1")
    assert ageing.sweep(ROWS, unused, 10 * MAC_NS) == []


def test_neighbor_lives_longer():
    ageing = Ageing("c1")
    ageing.sweep(ROWS, unused, 0)
    assert ("neighbor", NEIGHBOR.name) not in ageing.sweep(ROWS, unused, NEIGHBOR_NS)
    assert ("neighbor", NEIGHBOR.name) in ageing.sweep(ROWS, unused, NEIGHBOR_NS + SWEEP_NS)


def test_sweeps_keep_their_distance():
    ageing = Ageing("c1")
    ageing.sweep(ROWS, unused, 0)
    ageing.sweep(ROWS, unused, MAC_NS)
    assert ageing.sweep(ROWS, unused, MAC_NS + 1) == []
