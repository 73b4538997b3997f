"""What the agent tells about itself over HTTP."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from onehop.controller.agent import metrics
from onehop.controller.agent.metrics import ChannelStatus, PeerStatus, Status

STATUS = Status(
    host="c1",
    phase="live",
    live=True,
    switch_connected=True,
    store_connected=False,
    synced=True,
    announcing=False,
    flows=12,
    static_flows=5,
    waiting_packets=1,
    peers={"g1": True, "g2": False},
    ports={"vm1": True},
    uplinks={},
    rows={"port": 3},
    counters={"packet_ins": 7},
    channel=ChannelStatus("on", {"c2": PeerStatus(True, False, 3, 300)}),
    states={"entries": 9},
)


@pytest.fixture
def address() -> Iterator[str]:
    server = metrics.server(("127.0.0.1", 0), lambda: STATUS)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_figures_are_read_by_prometheus_own_parser(address):
    families = text_string_to_metric_families(get(f"{address}/metrics"))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    assert found[("onehop_flows",)] == 12
    assert found[("onehop_live",)] == 1
    assert found[("onehop_state_peer_up", "c2")] == 1
    assert found[("onehop_state_peer_queued_bytes", "c2")] == 300
    assert found[("onehop_states", "entries")] == 9
    assert found[("onehop_store_connected",)] == 0
    assert found[("onehop_peer_up", "g2")] == 0
    assert found[("onehop_port_up", "vm1")] == 1
    assert found[("onehop_events_total", "packet_ins")] == 7


def test_status_is_json(address):
    found = json.loads(get(f"{address}/status"))
    assert found["live"] is True
    assert found["peers"] == {"g1": True, "g2": False}


def test_other_pages_are_not_found(address):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{address}/")
