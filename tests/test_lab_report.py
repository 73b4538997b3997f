"""What shows results: the tables, the JSON, the charts and the page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import lab_results
import msgspec
import pytest
from markupsafe import Markup
from rich.console import Console

from onehop.lab import published, report, results
from onehop.lab.results import Crossing, OnehopResult, Result, ScalingResult
from onehop.lab.scenarios import elastic, scaling, verdicts
from onehop.lab.tables import tables


def crossings() -> OnehopResult:
    found = (
        Crossing(what="machine to machine", sent=200, links={"c1": 200, "c2": 200}, hops=1.0),
        Crossing(what="ARP for a known address", sent=5, links={}, hops=0.0),
    )
    return OnehopResult(
        scenario="onehop", passed=True, checks=(), crossings=found, **lab_results.HEADER
    )


NO_PICTURES = {"scaling": {"throughput": Markup(), "efficiency": Markup()}}
ALL: list[Result] = [lab_results.scaling(), lab_results.failover(), crossings()]
TABLES = [*ALL, lab_results.drained()]


def test_json_holds_what_every_scenario_promises_and_its_own_figures() -> None:
    found = json.loads(results.to_json(lab_results.failover()))
    assert {"scenario", "passed", "platform", "checks"} <= set(found)
    assert {"timeline", "events", "phases", "outages_ms", "connections"} <= set(found)
    assert set(found["timeline"][0]) == {"t", "mbit_per_s"}
    assert found["connections"]["opened"] == 48
    assert found["outages_ms"]["g1 stopped"] == 297.0


def test_a_result_survives_its_json() -> None:
    result = lab_results.scaling()
    assert msgspec.json.decode(results.to_json(result), type=ScalingResult) == result


def test_the_report_is_one_page_that_loads_nothing(tmp_path: Path) -> None:
    page = report.write(ALL, tmp_path).read_text()
    assert not re.search(r'(?:src|href)="https?:', page)
    assert page.count("<svg") == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        "index.html",
        *(f"{name}.json" for name in ("scaling", "failover", "onehop")),
        *(f"scaling-{chart}.png" for chart in ("throughput", "efficiency")),
        *(f"failover-{chart}.png" for chart in ("timeline", "outages")),
    }


def test_published_figures_are_labelled_as_such() -> None:
    page = report.render_page([lab_results.scaling()], NO_PICTURES)
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    midonet = [row for row in rows if "MidoNet" in row]
    assert len(midonet) == len(published.MIDONET)
    assert all("published" in row for row in midonet)
    assert all("bound by design" in row for row in rows if "Neutron L3 HA" in row)
    (neutron,) = (row for row in rows if "Neutron with OVS" in row)
    assert "published" in neutron and "0.29" in neutron


def test_losses_while_draining_are_told() -> None:
    pictures = {"failover": {"timeline": Markup(), "outages": Markup()}}
    page = report.render_page([lab_results.drained()], pictures)
    assert "packets lost while draining" in page and page.count("<td>4000</td>") == 4
    assert not verdicts.check_loss(lab_results.drained().losses[0]).passed


def test_a_failed_check_is_seen_at_once() -> None:
    page = report.render_page([lab_results.scaling(passed=False)], NO_PICTURES)
    assert "Some checks failed" in page and "<details open>" in page


@pytest.mark.parametrize("result", TABLES, ids=lambda result: result.scenario)
def test_tables_show_every_row(result: Result) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    for table in tables(result):
        console.print(table)
    assert len(console.export_text().splitlines()) > 5


def test_a_goodput_over_capacity_fails_like_one_that_is_too_low() -> None:
    point = lab_results.point(1, "upstream")
    for efficiency, passed in ((0.95, True), (0.93, False), (1.02, False)):
        changed = msgspec.structs.replace(point, efficiency=efficiency)
        assert scaling.checks([changed])[0].passed is passed


def test_counts_that_disagree_fail() -> None:
    point = msgspec.structs.replace(lab_results.point(1, "upstream"), disagreement=0.03)
    assert not scaling.checks([point])[1].passed


def test_an_outage_that_no_stream_could_show_is_a_failure() -> None:
    outage = lab_results.outage("g1 stopped", 100.0, 500.0)
    assert verdicts.check_outage(outage).passed
    unseen = msgspec.structs.replace(outage, upstream_ms=None)
    assert not verdicts.check_outage(unseen).passed
    late = msgspec.structs.replace(outage, ms=501.0)
    assert not verdicts.check_outage(late).passed
    lossy = msgspec.structs.replace(outage, lost_in_a_row=11)
    assert not verdicts.check_outage(lossy).passed


def test_no_opened_connection_is_no_success() -> None:
    none = results.Connections(
        tried=0, opened=0, broken=0, silence_ms=0.0, broken_after={}, by_kind={}
    )
    assert not all(check.passed for check in verdicts.check_connections(none))
    kinds = {"snat": results.Kind(tried=2, opened=1, broken=0)}
    some = results.Connections(
        tried=2, opened=1, broken=0, silence_ms=0.0, broken_after={}, by_kind=kinds
    )
    assert not all(check.passed for check in verdicts.check_connections(some))


def test_the_next_gateway_has_the_first_free_name() -> None:
    assert elastic.next_name(["g1", "g2", "g3"]) == "g4"
    assert elastic.next_name(["g2", "g3"]) == "g1"
