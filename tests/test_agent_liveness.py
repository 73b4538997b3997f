"""Which hosts are believed to be reachable."""

from __future__ import annotations

from onehop.controller.agent.events import OfPort
from onehop.controller.agent.liveness import GRACE_NS, Liveness

WATCHED = {"g1": "bfd-g1", "g2": "bfd-g2"}


def ports(**live: bool) -> dict[str, OfPort]:
    found = {}
    for number, (host, up) in enumerate(live.items(), start=1):
        device = f"bfd-{host}"
        found[device] = OfPort(device=device, number=number, link_up=True, live=up)
    return found


def test_host_without_a_port_counts_as_reachable():
    liveness = Liveness()
    assert liveness.update(WATCHED, {}, 0) == {}
    assert liveness.alive == {"g1": True, "g2": True}


def test_port_found_dead_is_believed_at_once():
    liveness = Liveness()
    liveness.found(["bfd-g1", "bfd-g2"])
    assert liveness.update(WATCHED, ports(g1=True, g2=False), 0) == {"g2": False}


def test_port_just_made_has_grace_until_it_was_up():
    liveness = Liveness()
    assert liveness.update(WATCHED, ports(g1=False, g2=False), 0) == {}
    assert liveness.update(WATCHED, ports(g1=True, g2=False), 1) == {}
    assert liveness.update(WATCHED, ports(g1=False, g2=False), 2) == {"g1": False}
    assert liveness.update(WATCHED, ports(g1=False, g2=False), GRACE_NS) == {"g2": False}


def test_host_comes_back():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    liveness.update({"g1": "bfd-g1"}, ports(g1=False), 0)
    assert liveness.update({"g1": "bfd-g1"}, ports(g1=True), 1) == {"g1": True}


def test_host_that_nobody_watches_any_more_counts_as_reachable():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    liveness.update({"g1": "bfd-g1"}, ports(g1=False), 0)
    assert liveness.update({}, {}, 1) == {"g1": True}


def test_port_made_anew_has_grace_again():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    liveness.update(WATCHED, ports(g1=True), 0)
    liveness.update(WATCHED, {}, 1)
    assert liveness.update(WATCHED, ports(g1=False), 2) == {}


def test_isolated_is_who_watches_others_and_reaches_none():
    liveness = Liveness()
    assert not liveness.isolated()
    liveness.update(WATCHED, ports(g1=False, g2=False), 0)
    assert liveness.isolated()
    liveness.update(WATCHED, ports(g1=False, g2=True), 1)
    assert not liveness.isolated()
