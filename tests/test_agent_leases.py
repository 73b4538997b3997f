"""Which blocks of source ports a host leases, and gives back."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from agent_bench import SECOND, Bench
from agent_network import network
from hypothesis import given
from hypothesis import strategies as st

from onehop.controller.agent.leases import ASK_NS, BLOCK_PORTS, BLOCKS, Leases
from onehop.controller.agent.rows import Rows
from onehop.engine import model
from onehop.engine.model.pools import LeasePool, lease_pools
from onehop.engine.states import Entry, States
from onehop.engine.usage import PortUse

POOL, POOL_PORT = "203.0.113.1", 2048
Snapshot = dict[str, dict[str, model.Resource]]


def chain(*targets: model.NatTarget) -> model.Chain:
    return model.Chain(name="out", rules=(model.Rule(action="snat", targets=targets),))


def store(*rows: model.Resource, host: str = "c1") -> Snapshot:
    """What the store holds: a machine of the host, and these rows."""
    port = model.Port(name="vm", device="net", host=host, interface="tap")
    found: Snapshot = {}
    for row in (port, *rows):
        found.setdefault(row.KIND, {})[row.name] = row
    return found


def leases(snapshot: Snapshot, host: str = "c1") -> Leases:
    made = Leases(host)
    made.restate(snapshot)
    return made


def due(made: Leases, snapshot: Snapshot, now_ns: int = 0, states: States | None = None) -> Rows:
    return made.due(snapshot, states or States(64), now_ns)


def granted(snapshot: Snapshot, rows: Rows, host: str = "c1") -> None:
    for row in rows.put:
        owned = msgspec.structs.replace(row, host=host)
        snapshot.setdefault(row.KIND, {})[row.name] = owned
    for kind, name in rows.remove:
        del snapshot[kind][name]


def connections(count: int, port: int, *, remote: str = "198.51.100.9") -> States:
    states = States(4096)
    for n in range(count):
        assert states.insert(
            Entry("snat", 1, 17, "10.0.0.1", 1024 + n, remote, 53, POOL, port + n), 0
        )
    return states


def test_a_host_leases_before_it_is_asked_and_then_has_enough() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)))
    made = leases(snapshot)
    first = due(made, snapshot)
    assert [row.n_ports for row in first.put] == [BLOCK_PORTS] * BLOCKS
    assert {row.address for row in first.put} == {POOL}
    assert due(made, snapshot) == Rows([], [])  # asked already
    granted(snapshot, first)
    assert due(made, snapshot) == Rows([], [])


def test_a_host_without_machines_leases_nothing() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)), host="c2")
    assert due(leases(snapshot), snapshot) == Rows([], [])


def test_a_block_that_another_host_got_is_not_asked_for_again() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)))
    made = leases(snapshot)
    first = due(made, snapshot)
    granted(snapshot, first, host="c2")
    second = due(made, snapshot)
    assert len(second.put) == BLOCKS
    assert not {row.name for row in first.put} & {row.name for row in second.put}


def test_hosts_begin_at_different_places() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)))
    seen = set()
    for number in range(8):
        snapshot["port"]["vm"] = msgspec.structs.replace(snapshot["port"]["vm"], host=f"c{number}")
        seen |= {row.name for row in due(leases(snapshot, f"c{number}"), snapshot).put}
    assert len(seen) > 8


def test_an_unanswered_question_is_asked_again() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)))
    made = leases(snapshot)
    first = due(made, snapshot)
    assert due(made, snapshot, ASK_NS) == first


def test_more_is_leased_before_half_of_it_is_used_for_one_remote_end() -> None:
    snapshot = store(chain(model.NatTarget(first_address=POOL)))
    made = leases(snapshot)
    first = due(made, snapshot)
    granted(snapshot, first)
    port = first.put[0].first_port
    assert due(made, snapshot, states=connections(BLOCK_PORTS // 2, port)) == Rows([], [])
    more = due(made, snapshot, states=connections(BLOCK_PORTS // 2 + 1, port))
    assert len(more.put) == 1
    granted(snapshot, more)
    given = due(made, snapshot, 8000 * SECOND)
    assert (len(given.put), len(given.remove)) == (0, 1)


ports = st.integers(POOL_PORT, POOL_PORT + 2 * BLOCK_PORTS)
remotes = st.tuples(st.sampled_from(("198.51.100.9", "198.51.100.10")), st.integers(53, 55))


@given(
    st.lists(st.tuples(ports, remotes, st.sampled_from((6, 17))), max_size=200),
    st.integers(1, 2000),
)
def test_ports_in_use_are_those_of_the_table(drawn, slots) -> None:
    states = States(1024)
    for source, (port, (remote, remote_port), protocol) in enumerate(drawn):
        stated = (1, protocol, "10.0.0.1", 1024 + source, remote, remote_port, POOL, port)
        assert states.insert(Entry("snat", *stated), 0)
        assert states.insert(Entry("dnat", *stated), 0)
    first, second = (POOL_PORT + n * BLOCK_PORTS for n in (0, 1))
    use = PortUse(
        states, [("a", POOL, first, BLOCK_PORTS, 3), ("b", POOL, second, BLOCK_PORTS, 4)]
    )
    while not use.look(slots, 0):
        pass
    seen = Counter(((port >= second) + 3, *more) for port, *more in drawn if port < second + 256)
    pools = {pool for pool, *_ in seen}
    assert use.used() == {"ab"[pool - 3] for pool in pools}
    assert use.peaks == {p: max(n for (pool, *_), n in seen.items() if pool == p) for p in pools}


def test_a_block_with_connections_is_not_given_back() -> None:
    rows = chain(model.NatTarget(first_address=POOL))
    snapshot = store(rows)
    made = leases(snapshot)
    granted(snapshot, due(made, snapshot))
    blocks = sorted(snapshot["nat_block"].values(), key=lambda row: row.name)
    del snapshot["chain"]
    made.restate(snapshot)
    given = due(made, snapshot, states=connections(1, blocks[0].first_port))
    assert given.remove == [("nat_block", blocks[1].name)]


def test_a_small_pool_is_used_up_by_those_who_come_first() -> None:
    small = model.NatTarget(first_address=POOL, first_port=2000, last_port=2000 + BLOCK_PORTS)
    snapshot = store(chain(small))
    first = due(leases(snapshot), snapshot)
    assert sorted(row.n_ports for row in first.put) == [1, BLOCK_PORTS]
    granted(snapshot, first, host="c2")
    assert due(leases(snapshot), snapshot) == Rows([], [])


@pytest.mark.parametrize("version", [4, 6])
def test_pools_are_what_rules_and_floating_ips_need(version: int) -> None:
    outer, fixed, own, other = (
        ("203.0.113.9", "10.0.0.10", "10.0.0.1/24", "10.0.1.1/24"),
        ("2001:db8::9", "fd00::10", "fd00::1/64", "fd00:1::1/64"),
    )[version == 6]
    rows = [
        model.Port(name="a", device="edge", addresses=(own,)),
        model.Port(name="b", device="edge", addresses=(other,)),
        model.Port(name="c", device="else", addresses=(own,)),
        model.FloatingIp(router="edge", address=outer, fixed_address=fixed),
    ]
    address = own.split("/")[0]
    assert lease_pools(rows) == [LeasePool(address, address, *model.SNAT_PORTS)]


def test_an_agent_uses_a_block_when_the_store_shows_it() -> None:
    bench = Bench([*network(), chain(model.NatTarget(first_address=POOL))]).boot()
    bench.pass_time(2)
    blocks = bench.rows(model.NatBlock)
    assert len(blocks) == BLOCKS
    assert not bench.core.snapshot.get("nat_block")
    bench.put(*blocks.values())
    bench.pass_time(10)
    assert bench.rows(model.NatBlock) == blocks
