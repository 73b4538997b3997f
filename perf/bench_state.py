"""Connections: inserts, established lookups, expiry, memory; and Maglev.

The peer is Open vSwitch's own connection tracker, `ovstest test-conntrack benchmark`, where
`ovstest` is found (see peers/ovs_code.py).  It tracks whole packets, and one and the same batch
again and again unless connections change; here entries are looked up in tables of up to a
million.
"""

from __future__ import annotations

import numpy as np
import ovs_code
import pytest
from record import Meter
from workloads import connections

from onehop.engine import maglev
from onehop.engine.states import States, bytes_for

SIZES = (100, 10_000, 100_000, pytest.param(1_000_000, marks=pytest.mark.long))
FAR_NS = 10**12
Records = np.ndarray
MEMBERS = (3, 10, 100, 1000)


@pytest.mark.parametrize("entries", SIZES)
def test_inserts(meter: Meter, entries: int) -> None:
    records = connections(entries)
    assert States(entries).insert_records(records, 1).all()
    rounds = 20 if entries < 1_000_000 else 3

    def fresh() -> tuple[States, Records]:
        table = States(entries)
        table.insert_records(records[: entries // 100], 1)  # its memory is the process's
        return table, records

    meter.time("conntrack inserts", lambda table, rows: table.insert_records(rows, 1), n=entries,
               unit="/s", setup=fresh, rounds=rounds, entries=entries)  # fmt: skip


@pytest.mark.parametrize("entries", SIZES)
def test_lookups(meter: Meter, entries: int) -> None:
    records, table = connections(entries), States(entries)
    table.insert_records(records, 1)
    some = np.random.default_rng(1).permutation(records)[:100_000]
    found = table.find_records(some, 1)
    assert (found["destination"] == some["destination"]).all()
    parts = np.array_split(some, 1 + len(some) // 1000)

    def find() -> None:
        for part in parts:
            table.find_records(part, 1)

    meter.time("conntrack lookups", find, n=len(some), unit="/s", rounds=20, entries=entries)
    if meter.on:
        meter.note("conntrack memory", bytes_for(entries) / entries, "bytes", entries=entries)


@pytest.mark.parametrize("entries", SIZES)
def test_expiry(meter: Meter, entries: int) -> None:
    records = connections(entries)

    def fresh() -> tuple[States]:
        table = States(entries)
        table.insert_records(records, 1)
        return (table,)

    (once,) = fresh()
    assert len(once.expire(FAR_NS)) == entries
    assert len(once) == 0
    meter.time("conntrack expiry", lambda table: table.expire(FAR_NS), n=entries, unit="/s",
               setup=fresh, rounds=5 if entries < 1_000_000 else 2, entries=entries)  # fmt: skip


@pytest.mark.parametrize("what", ("inserts", "lookups"))
def test_ovs_conntrack(meter: Meter, what: str) -> None:
    def note() -> None:
        rate, told = ovs_code.conntrack(what)
        meter.note(f"conntrack {what}", rate, "/s", who="OVS conntrack", note=told)

    meter.once(note)


@pytest.mark.parametrize("members", MEMBERS)
def test_maglev(meter: Meter, members: int) -> None:
    pool = [(f"10.0.0.{n} 80", 1) for n in range(members)]
    shares = np.array(maglev.table(pool), np.uint16)
    records = connections(100_000)
    chosen = maglev.choose(shares, records)
    counts = np.bincount(chosen, minlength=members)
    assert abs(counts - len(records) / members).max() < 6 * (len(records) / members) ** 0.5
    meter.time("Maglev lookups", lambda: maglev.choose(shares, records), n=len(records),
               unit="/s", rounds=20, members=members)  # fmt: skip


@pytest.mark.parametrize("members", MEMBERS)
def test_maglev_rebuild(meter: Meter, members: int) -> None:
    pool = [(f"10.0.0.{n} 80", 1) for n in range(members)]
    before = np.array(maglev.table(pool))
    gone = members // 2
    after = np.array(maglev.table(pool[:gone] + pool[gone + 1 :]))
    after[after >= gone] += 1
    excess = 100 * float(np.mean((before != after) & (before != gone)))
    assert excess < 15
    meter.time("Maglev rebuild", lambda: maglev.table(pool), n=1, unit="ms", rounds=20,
               members=members)  # fmt: skip
    if meter.on:
        meter.note("Maglev excess", excess, "%", members=members,
                   note="slots that move beyond the lost member's own")  # fmt: skip
