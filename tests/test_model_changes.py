"""What is checked at a change: the same as if everything were checked, at the change's cost."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from crowds import Crowd

from onehop.engine import model
from onehop.engine.model.check import check_change
from onehop.engine.model.index import Index
from onehop.engine.model.view import View

CHANGES = 150
CLASH = "bridges and routers share their names"
MAC = "02:00:00:00"
check_module = sys.modules["onehop.engine.model.check"]  # in the package, `check` is the function


@pytest.mark.parametrize("seed", range(24))
def test_a_change_is_refused_for_the_same_reasons_as_its_outcome(seed: int) -> None:
    crowd, index, outcomes = Crowd(seed), Index(), Counter[bool]()
    for _ in range(CHANGES):
        put, remove = crowd.change(index)
        found = check_change(index, put, remove)
        whole = model.check(_after(index, put, remove))
        if any(CLASH in problem.reason for problem in whole):  # and what its ports are is a riddle
            assert found and set(found) <= set(whole), (put, remove, list(index.values()))
        else:
            assert found == whole, (put, remove, list(index.values()))
        outcomes[not found] += 1
        if not found:
            for ident in remove:
                index.remove(ident)
            for resource in put:
                index.put(resource)
    assert min(outcomes[True], outcomes[False]) > CHANGES // 10, outcomes


def _after(
    index: Index, put: list[model.Resource], remove: list[tuple[str, str]]
) -> model.Topology:
    gone = {*remove, *((resource.KIND, resource.name) for resource in put)}
    kept = [resource for ident, resource in index.items() if ident not in gone]
    return model.Topology.of([*kept, *put])


def test_what_a_change_looks_at_does_not_grow_with_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[int] = []
    for machines in (10, 1000):
        index = Index(_network(machines))
        monkeypatch.setattr(check_module, "View", _counting(looked_at))
        port = model.Port(name="new", device="b0", addresses=("10.0.200.1",), mac=f"{MAC}:ff:ff")
        assert not check_change(index, [port], [])
        assert not check_change(index, [], [("port", "b0-m1")])
        floating = model.FloatingIp(router="r", address="192.0.2.9", fixed_address="10.0.0.1")
        assert not check_change(index, [floating], [])
    assert looked_at[:3] == looked_at[3:]


def _network(machines: int) -> list[model.Resource]:
    """Two bridges with so many machines each, and a router between them."""
    rows: list[model.Resource] = [model.Router(name="r")]
    for b in (0, 1):
        rows += [model.Bridge(name=f"b{b}"), model.Port(name=f"b{b}-r", device=f"b{b}")]
        rows += [model.Port(name=f"r-b{b}", device="r", peer=f"b{b}-r",
                            addresses=(f"10.{b}.255.254/16",))]  # fmt: skip
        for m in range(1, machines + 1):
            address = f"10.{b}.{m >> 8}.{m & 255}"
            mac = f"{MAC}:{m >> 8:02x}:{m & 255:02x}"
            rows.append(
                model.Port(name=f"b{b}-m{m}", device=f"b{b}", addresses=(address,), mac=mac)
            )
    return rows


def _counting(looked_at: list[int]) -> Callable[[Iterable[model.Resource]], View]:
    def view(resources: Iterable[model.Resource]) -> View:
        rows = list(resources)
        looked_at.append(len(rows))
        return View(rows)

    return view
