"""What nothing acts on yet is refused: the whole resource, or one rule of a chain."""

from __future__ import annotations

import pytest
from mistakes import problems

from onehop.engine.model.rules import unserved

REASON = "is not supported yet: nothing would act on it"
FILE = """
hosts: [{name: c1, tunnel_address: 172.31.0.1}]
bridges: [{name: net}]
routers: [{name: edge}]
chains:
  - name: out
    rules:
      - {action: accept, protocol: udp}
"""


@pytest.mark.parametrize(
    ("more", "which"),
    [
        ("subnets: [{name: s, bridge: net, prefix: 10.0.0.0/24}]", "subnet 's'"),
        (
            "floating_ips: [{router: edge, address: 192.0.2.1, fixed_address: 10.0.0.1}]",
            "floating_ip 'edge 192.0.2.1'",
        ),
        ("health_monitors: [{name: m}]", "health_monitor 'm'"),
        ("pools: [{name: web}]", "pool 'web'"),
    ],
)
def test_kind_that_nothing_serves_is_refused(more: str, which: str) -> None:
    assert problems(FILE + more) == [f"{which}: {REASON}"]


@pytest.mark.parametrize("action", unserved.ACTIONS)
def test_translation_is_refused(action: str) -> None:
    targets = "" if "reverse" in action else ", targets: [{first_address: 192.0.2.1}]"
    rule = f"{{action: {action}, ether_type: ipv4, protocol: udp{targets}}}"
    told = problems(FILE, ("{action: accept, protocol: udp}", rule))
    assert told == [f"chain 'out': rules #1 action: {action} {REASON}"]


def test_filters_are_served() -> None:
    assert problems(FILE) == []
