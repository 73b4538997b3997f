"""Who asks the members of pools, what is asked, and what becomes of the answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from agent_bench import SECOND, Bench
from agent_network import c1_ports, network, port

from onehop.controller.agent import events
from onehop.controller.agent.checks import Judge
from onehop.controller.agent.owners import CALM_NS, GRACE_NS, LIFE_NS, Owners, best
from onehop.engine import model
from onehop.engine.model import HostStatus, MemberStatus, MonitorOwner

# Judges


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ("g", []),
        ("gg", ["well"]),
        ("gbgbgbb", []),
        ("bbb", ["bad"]),
        ("ggbb", ["well"]),
        ("ggbbb", ["well", "bad"]),
        ("ggbbgbbb", ["well", "bad"]),
        ("bbbg", ["bad"]),
        ("bbbgg", ["bad", "well"]),
        ("bbbBb", ["bad", "Bad", "bad"]),
    ],
)
def test_a_judge_counts_answers_in_a_row(answers: str, told: list[str]) -> None:
    judge = Judge(rise=2, fall=3)
    reasons = {"g": "", "b": "bad", "B": "Bad"}
    verdicts = [judge.heard(reasons[answer]) for answer in answers]
    assert [reason or "well" for _, reason in filter(None, verdicts)] == told
    assert all(healthy is not bool(reason) for healthy, reason in filter(None, verdicts))


# Owners

HOSTS = ("c1", "c2", "c3", "g1", "g2")
ROUTERS = [f"r{n}" for n in range(200)]


class Crowd:
    """Hosts that share a store, each with a mind of its own; who is cut off hears no heartbeat."""

    def __init__(self, gateways: set[str] = frozenset()) -> None:
        self.now = 0
        self.gateways = gateways
        self.minds = {host: Owners(host) for host in HOSTS}
        self.missed: dict[str, set[str]] = {host: set() for host in HOSTS}
        self.rows: dict[str, model.Resource] = {}
        self.history: list[tuple[str, str]] = []
        for owners in self.minds.values():
            owners.begin(0)

    def beat(self, *hosts: str) -> None:
        for owners in self.minds.values():
            for host in hosts:
                owners.heard(host, self.now)

    def turn(self, *hosts: str, routers: list[str] = ROUTERS) -> None:
        """Each host in turn looks what it should claim."""
        for host in hosts or self.minds:
            snapshot = {"host": dict.fromkeys(HOSTS), MonitorOwner.KIND: self.rows}
            claimed = self.minds[host].claims(
                routers, snapshot, self.missed[host], self.gateways, self.now
            )
            self.history += [(row.router, row.host) for row in claimed]
            self.rows |= {row.name: row for row in claimed}

    def settle(self, routers: list[str] = ROUTERS) -> dict[str, str]:
        """Everybody lives, and all have seen for long enough who has what."""
        self.beat(*HOSTS)
        self.turn(routers=routers)
        self.turn(routers=routers)
        self.now += CALM_NS
        self.beat(*HOSTS)
        return self.owners()

    def owners(self) -> dict[str, str]:
        return {row.router: row.host for row in self.rows.values()}  # type: ignore[attr-defined]


def test_hosts_agree_without_talking_and_each_has_its_share() -> None:
    crowd = Crowd()
    crowd.turn()
    assert len(crowd.history) == len(ROUTERS)
    shares = Counter(crowd.owners().values())
    assert set(shares) == set(HOSTS)
    assert all(abs(share - 40) < 4 * (200 * 0.2 * 0.8) ** 0.5 for share in shares.values())


def test_a_monitor_moves_when_its_hosts_heartbeat_stops_and_no_other_one_does() -> None:
    crowd = Crowd()
    before = crowd.settle()
    alive = HOSTS[1:]
    crowd.now += LIFE_NS - 1
    crowd.beat(*alive)
    crowd.turn(*alive)
    assert crowd.owners() == before
    crowd.now += 1
    crowd.turn(*alive)
    after = crowd.owners()
    assert {r for r in ROUTERS if before[r] != after[r]} == {
        r for r in ROUTERS if before[r] == "c1"
    }
    assert all(after[r] == best(r, alive) for r in ROUTERS if before[r] == "c1")


def test_a_host_that_comes_back_takes_nothing_away() -> None:
    crowd = Crowd()
    owner = crowd.settle(["r1"])["r1"]
    others = [host for host in HOSTS if host != owner]
    crowd.now += LIFE_NS
    crowd.beat(*others)
    crowd.turn(*others, routers=["r1"])
    heir = crowd.owners()["r1"]
    assert heir == best("r1", others)
    assert crowd.settle(["r1"])["r1"] == heir


def test_those_that_bfd_tells_take_over_at_once() -> None:
    crowd = Crowd({"g1", "g2"})
    before = crowd.settle()
    for gateway in ("g1", "g2"):
        crowd.missed[gateway] = {"c1"}
    crowd.turn(*HOSTS[1:])
    moved = {r: host for r, host in crowd.owners().items() if before[r] != host}
    assert moved == {r: best(r, ["g1", "g2"]) for r in ROUTERS if before[r] == "c1"}


def test_every_host_hears_of_a_gateway_that_goes() -> None:
    crowd = Crowd({"g1", "g2"})
    before = crowd.settle()
    rest = [host for host in HOSTS if host != "g1"]
    for host in rest:
        crowd.missed[host] = {"g1"}
    crowd.turn(*rest)
    assert crowd.owners() == {r: best(r, rest) if o == "g1" else o for r, o in before.items()}


def test_a_host_that_was_never_heard_is_waited_for_a_little() -> None:
    crowd = Crowd()
    router = next(r for r in ROUTERS if best(r, HOSTS) == "c1")
    crowd.turn(*HOSTS[1:], routers=[router])
    assert not crowd.rows
    crowd.now = GRACE_NS
    crowd.turn(*HOSTS[1:], routers=[router])
    assert crowd.owners() == {router: best(router, HOSTS[1:])}


def test_after_the_store_was_away_silence_means_nothing() -> None:
    crowd = Crowd()
    before = crowd.settle()
    crowd.now += 10 * LIFE_NS
    for owners in crowd.minds.values():
        owners.begin(crowd.now)
    crowd.turn()
    assert crowd.owners() == before


def test_hosts_that_cannot_hear_each_other_do_not_quarrel_all_the_time() -> None:
    crowd = Crowd({"g1", "g2"})
    crowd.missed |= {"g1": set(HOSTS) - {"g1"}, "g2": set(HOSTS) - {"g2"}}
    crowd.beat(*HOSTS)
    for second in range(60):
        crowd.now = second * SECOND
        crowd.beat(*HOSTS)
        crowd.turn("g1", "g2", routers=["r1"])
    assert 2 <= len(crowd.history) <= 60 * SECOND // CALM_NS + 1


# The core

MONITOR, TAP_MON = "monitor r1", 9
POOL = [
    model.HealthMonitor(name="page", type="http", path="/x", interval_s=2, timeout_s=1, fall=3),
    model.Pool(name="web", monitor="page"),
    model.PoolMember(name="web1", pool="web", address="10.0.0.11", port=80),
    model.PoolMember(name="web2", pool="web", address="10.0.0.12", port=80),
    model.Vip(name="www", router="r1", address="203.0.113.80", port=80, pool="web"),
]
OWN = MonitorOwner(host="c1", router="r1")


def bench(*rows: model.Resource) -> Bench:
    made = Bench([*network(), *POOL, *rows])
    made.tell(events.StoreLink(connected=True))
    return made.boot(c1_ports() | {"mon-r1": port("mon-r1", TAP_MON)})


def watched(made: Bench) -> list[Any]:
    made.pass_time(0.5)
    return list(made.ordered(events.Watch)[-1].monitors)


def test_members_are_asked_from_the_host_that_the_store_names() -> None:
    made = bench(OWN)
    (monitor,) = watched(made)
    assert (monitor.port, monitor.device) == (MONITOR, "mon-r1")
    assert [(c.member, c.type, c.path, c.fall) for c in monitor.checks] == [
        ("web1", "http", "/x", 3),
        ("web2", "http", "/x", 3),
    ]
    made.put(MonitorOwner(host="c2", router="r1"))
    assert watched(made) == []


def test_nobody_is_asked_while_no_answer_could_come() -> None:
    made = bench(OWN)
    assert watched(made)[0].checks
    made.tell(events.SwitchDown())
    assert not watched(made)[0].checks


def test_every_host_knows_the_way_to_the_monitor() -> None:
    here, there = bench(OWN), bench(MonitorOwner(host="c2", router="r1"))
    site = here.core.snapshot["port"][MONITOR]
    assert msgs(there)[MONITOR].host == "c2"
    assert site.addresses == msgs(there)[MONITOR].addresses  # type: ignore[attr-defined]
    assert here.core.topology.is_active(MONITOR) and there.core.topology.is_active(MONITOR)
    here.tell(events.StoreStep(remove=[(MonitorOwner.KIND, "r1")]))
    assert MONITOR not in msgs(here)
    assert not here.core.topology.is_active(MONITOR)


def msgs(made: Bench) -> dict[str, Any]:
    return made.core.snapshot["port"]


def test_the_store_hears_nothing_of_ports_that_it_does_not_know() -> None:
    made = Bench([*network(), *POOL, OWN])
    made.boot()  # the device is not there yet
    assert MONITOR in msgs(made)
    assert MONITOR not in made.rows(model.PortStatus)


def test_a_verdict_goes_to_the_store_with_the_time_and_the_reason() -> None:
    made = bench(OWN)
    made.pass_time(10)
    made.tell(events.MemberJudged("web1", healthy=False, reason="connection refused"))
    (row,) = made.rows(MemberStatus).values()
    assert row == MemberStatus(
        host="c1", member="web1", healthy=False, reason="connection refused", since_s=10.0
    )
    made.put(row)
    made.pass_time(10)
    made.tell(events.MemberJudged("web1", healthy=False, reason="HTTP 503"))
    (row,) = made.rows(MemberStatus).values()
    assert (row.reason, row.since_s) == ("HTTP 503", 10.0)  # type: ignore[attr-defined]


def test_a_host_that_takes_over_keeps_what_was_known_until_it_knows_itself() -> None:
    known = MemberStatus(host="c2", member="web1", healthy=False, reason="x", since_s=3.0)
    made = bench(OWN, known)
    made.pass_time(10)
    assert not made.rows(MemberStatus)
    made.tell(events.MemberJudged("web1", healthy=False, reason="x"))
    (row,) = made.rows(MemberStatus).values()
    assert (row.host, row.since_s) == ("c1", 3.0)  # type: ignore[attr-defined]


def test_a_late_word_of_the_host_before_is_corrected() -> None:
    made = bench(OWN)
    made.pass_time(1)
    made.tell(events.MemberJudged("web1", healthy=True, reason=""))
    made.put(MemberStatus(host="c2", member="web1", healthy=False, reason="late"))
    (row,) = made.rows(MemberStatus).values()
    assert (row.host, row.healthy) == ("c1", True)  # type: ignore[attr-defined]


def test_a_verdict_about_a_member_of_another_host_is_nobodys() -> None:
    made = bench(MonitorOwner(host="c2", router="r1"))
    made.tell(events.MemberJudged("web1", healthy=False, reason="late"))
    assert not made.rows(MemberStatus)


def test_what_is_monitored_no_longer_leaves_nothing_behind() -> None:
    status = MemberStatus(host="c1", member="web1", healthy=False)
    made = bench(OWN, status)
    made.pass_time(1)
    made.put(model.Pool(name="web"))
    made.pass_time(2)
    removed = [name for order in made.ordered(events.RemoveState) for name in order.names]
    assert {(MemberStatus.KIND, "web1"), (MonitorOwner.KIND, "r1")} <= set(removed)
    assert watched(made) == []


def test_a_host_claims_what_nobody_has_once_the_others_had_their_turn() -> None:
    made = bench()
    made.pass_time(GRACE_NS / SECOND + 2)
    rows = made.rows(MonitorOwner)
    assert [row.host for row in rows.values()] == ["c1"]  # type: ignore[attr-defined]
    assert OWN.name not in made.core.snapshot.get(MonitorOwner.KIND, {})  # not before it stands


def test_a_host_without_a_store_claims_nothing() -> None:
    made = bench(MonitorOwner(host="c2", router="r1"))
    made.put(HostStatus(host="c2", heartbeat_s=1.0))
    made.tell(events.StoreLink(connected=False))
    made.pass_time(2 * LIFE_NS / SECOND)
    assert not made.rows(MonitorOwner)
