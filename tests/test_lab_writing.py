"""What `onehop lab run store` counts with: a writer, and servers of the lab's store to kill."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from onehop.controller.store import server
from onehop.lab import stores
from onehop.lab.checks import eventually
from onehop.lab.hosts import command_line
from onehop.lab.writing import PREFIX, Writer, gap_s

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """As much of a lab as its store needs."""
    directory = tmp_path_factory.mktemp("lab")
    options = SimpleNamespace(store=3)
    state = SimpleNamespace(options=options, store=stores.addresses(directory, 3))
    lab = SimpleNamespace(directory=directory, state=state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONEHOP_LAB_DIR", str(directory))
        stores.start(lab)
        yield lab
    for place in ("store", "store2", "store3"):
        server.stop(directory / place)


def test_writes_go_on_when_the_leader_dies_and_each_is_there_once(lab: Any) -> None:
    writer = Writer(lab.state.store)
    eventually(lambda: "" if writer.times else "nothing is written", DEADLINE_S)
    leader = stores.leader(lab)
    stores.kill_one(lab, leader)
    at = writer.times[-1]
    written = len(writer.times) + 5
    eventually(lambda: "" if len(writer.times) > written else "writes stopped", DEADLINE_S)
    counts = writer.end()
    assert counts.accepted > written and (counts.lost, counts.twice) == (0, 0)
    assert 0 < gap_s(writer.times, at) < DEADLINE_S
    assert stores.leader(lab) != leader
    stores.start_one(lab, leader)
    assert PREFIX not in command_line(["export", "--store", lab.state.store])  # it cleans up


def test_a_gap_lasts_until_the_end_of_the_longest_silence() -> None:
    times = [0.0, 1.0, 1.1, 2.5, 2.6]
    assert gap_s(times, 1.05) == pytest.approx(1.45)  # one write was on its way
    assert gap_s([0.0, 1.0], 1.5) == float("inf")


def test_what_was_accepted_and_is_gone_counts_as_lost(lab: Any) -> None:
    writer = Writer(lab.state.store)
    eventually(lambda: "" if len(writer.times) > 2 else "nothing is written", DEADLINE_S)
    command_line(["delete", "address-group", f"{PREFIX}0", "--store", lab.state.store])
    assert writer.end().lost == 1
