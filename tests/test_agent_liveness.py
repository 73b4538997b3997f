"""Which hosts are believed to be reachable."""

from __future__ import annotations

from onehop.controller.agent.events import OfPort
from onehop.controller.agent.liveness import GRACE_NS, REST_NS, STEADY_NS, TOGETHER_NS, Liveness

WATCHED = {"g1": "bfd-g1", "g2": "bfd-g2"}


def update(
    liveness: Liveness,
    found: dict[str, OfPort],
    now_ns: int,
    watched: dict[str, str] = WATCHED,
    gateways: frozenset[str] = frozenset(WATCHED),
) -> dict[str, bool]:
    return liveness.update(watched, found, now_ns, gateways=gateways)


def ports(**live: bool) -> dict[str, OfPort]:
    found = {}
    for number, (host, up) in enumerate(live.items(), start=1):
        device = f"bfd-{host}"
        found[device] = OfPort(device=device, number=number, link_up=True, live=up)
    return found


def test_host_without_a_port_counts_as_reachable():
    liveness = Liveness()
    assert update(liveness, {}, 0) == {}
    assert liveness.alive == {"g1": True, "g2": True}


def test_port_found_dead_is_believed_at_once():
    liveness = Liveness()
    liveness.found(["bfd-g1", "bfd-g2"])
    assert update(liveness, ports(g1=True, g2=False), 0) == {"g2": False}


def test_port_just_made_has_grace_until_it_was_up():
    liveness = Liveness()
    assert update(liveness, ports(g1=False, g2=False), 0) == {}
    assert update(liveness, ports(g1=True, g2=False), 1) == {}
    assert update(liveness, ports(g1=True, g2=False), GRACE_NS) == {"g2": False}


def test_gateway_that_comes_back_counts_once_its_session_is_steady():
    liveness = Liveness()
    liveness.found(WATCHED.values())
    assert update(liveness, ports(g1=True, g2=False), 0) == {"g2": False}
    assert update(liveness, ports(g1=True, g2=True), 1) == {}
    assert update(liveness, ports(g1=True, g2=False), STEADY_NS) == {}
    assert update(liveness, ports(g1=True, g2=True), STEADY_NS + 1) == {}
    assert update(liveness, ports(g1=True, g2=True), 2 * STEADY_NS) == {}
    assert liveness.usable == {"g1": True, "g2": False}
    assert update(liveness, ports(g1=True, g2=True), 2 * STEADY_NS + 1) == {"g2": True}


def test_host_comes_back():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    update(liveness, ports(g1=False), 0, {"g1": "bfd-g1"})
    assert update(liveness, ports(g1=True), 1, {"g1": "bfd-g1"}) == {"g1": True}


def test_host_that_nobody_watches_any_more_counts_as_reachable():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    update(liveness, ports(g1=False), 0, {"g1": "bfd-g1"})
    assert update(liveness, {}, 1, {}) == {"g1": True}


def test_port_made_anew_has_grace_again():
    liveness = Liveness()
    liveness.found(["bfd-g1"])
    update(liveness, ports(g1=True), 0)
    update(liveness, {}, 1)
    assert update(liveness, ports(g1=False), 2) == {}


def test_isolated_is_who_watches_others_and_reaches_none():
    liveness = Liveness()
    assert not liveness.isolated()
    update(liveness, ports(g1=False, g2=False), 0)
    assert liveness.isolated()
    update(liveness, ports(g1=False, g2=True), 1)
    assert not liveness.isolated()


def test_gateways_that_go_silent_together_are_given_up_only_if_they_stay_away():
    liveness = Liveness()
    update(liveness, ports(g1=True, g2=True), 0)
    assert update(liveness, ports(g1=False, g2=False), 2) == {}
    assert update(liveness, ports(g1=False, g2=False), GRACE_NS) == {}
    assert update(liveness, ports(g1=False, g2=False), 2 + GRACE_NS) == {
        "g1": False,
        "g2": False,
    }


def test_gateways_that_went_silent_together_are_soon_given_up_once_one_is_back():
    liveness = Liveness()
    update(liveness, ports(g1=True, g2=True), 0)
    update(liveness, ports(g1=False, g2=False), 1)
    assert update(liveness, ports(g1=True, g2=False), 2) == {}
    assert update(liveness, ports(g1=True, g2=False), 1 + REST_NS) == {}
    assert update(liveness, ports(g1=True, g2=False), 2 + REST_NS) == {"g2": False}


def test_gateway_that_was_long_gone_gets_no_benefit_when_the_last_one_goes():
    liveness = Liveness()
    update(liveness, ports(g1=True, g2=True), 0)
    update(liveness, ports(g1=True, g2=False), 1)
    assert update(liveness, ports(g1=False, g2=False), 2 + TOGETHER_NS) == {}
    assert liveness.alive == {"g1": True, "g2": False}


def test_host_without_a_stand_in_is_sent_to_in_any_case():
    liveness = Liveness()
    gateways = frozenset({"g1"})
    update(liveness, ports(g1=True, g2=True), 0, gateways=gateways)
    assert update(liveness, ports(g1=True, g2=False), 1, gateways=gateways) == {}
    assert liveness.session_up == {"g1": True, "g2": False}


def test_host_that_stays_silent_is_missed_though_packets_still_go_there():
    liveness = Liveness()

    def hear(now_ns: int, **live: bool) -> set[str]:
        update(liveness, ports(**live), now_ns, gateways=frozenset())
        return liveness.missed(now_ns)

    assert hear(0, g1=True, g2=True) == set()
    assert hear(5, g1=True, g2=False) == set()
    assert hear(GRACE_NS + 4, g1=True, g2=False) == set()
    assert hear(GRACE_NS + 5, g1=True, g2=False) == {"g2"}
    assert liveness.alive["g2"]
    assert hear(GRACE_NS + 6, g1=True, g2=True) == set()
