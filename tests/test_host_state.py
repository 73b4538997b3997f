"""How a host is told: BGP sessions as bgpd says them, and a host whose agent does not answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.controller.agent.sessions import sessions
from onehop.controller.host_state import host_state
from onehop.controller.questions import Session
from onehop.engine import model
from onehop.engine.model import HostStatus, PortStatus

PEER = {"remoteAs": 65001, "state": "Established", "peerUptimeMsec": 61500, "pfxRcd": 3}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


def test_sessions_are_read_and_their_families_summed():
    said = {
        "ipv4Unicast": {"peers": {"10.0.0.9": {**PEER, "pfxSnt": 2}}},
        "ipv6Unicast": {
            "peers": {"10.0.0.9": {**PEER, "pfxSnt": 1}, "fd00::9": {"state": "Idle"}}
        },
    }
    assert list(sessions("up1", json.dumps(said))) == [
        Session("up1", "10.0.0.9", 65001, "Established", 61.5, received=6, sent=3),
        Session("up1", "fd00::9", 0, "Idle"),
    ]


@pytest.mark.parametrize("said", ["", "{", "[]", '{"a": 1}', '{"a": {"peers": [1]}}'])
def test_what_is_no_summary_has_no_sessions(said):
    assert list(sessions("up1", said)) == []


@given(st.dictionaries(st.text(max_size=5), st.fixed_dictionaries({"peers": JSON}) | JSON))
def test_any_summary_is_read(said):
    assert all(isinstance(found, Session) for found in sessions("up1", json.dumps(said)))


def test_host_whose_agent_does_not_answer_is_told_from_the_store(tmp_path):
    topology = model.load("""
hosts: [{name: c1, tunnel_address: 172.31.0.21}]
bridges: [{name: n1}]
ports: [{name: vm1, device: n1, host: c1, interface: tap1}]
""")
    rows = [*topology, HostStatus(host="c1", heartbeat_s=0.0),
            PortStatus(host="c1", port="vm1", up=False)]  # fmt: skip
    held = {(row.KIND, row.name): row for row in rows}
    found = host_state(topology.hosts[0], held, str(tmp_path))
    assert found.agent == "no answer: host 'c1': no agent answers there"
    assert found.heartbeat_s is not None and found.heartbeat_s > 1e9
    (interface,) = found.interfaces
    assert (interface.port, interface.device, interface.works) == ("vm1", "tap1", False)
