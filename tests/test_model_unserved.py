"""What nothing acts on yet is refused, the whole resource."""

from __future__ import annotations

import pytest
from mistakes import problems

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
        ("health_monitors: [{name: m}]", "health_monitor 'm'"),
    ],
)
def test_kind_that_nothing_serves_is_refused(more: str, which: str) -> None:
    assert problems(FILE + more) == [f"{which}: {REASON}"]


def test_filters_and_translations_are_served() -> None:
    assert problems(FILE) == []
    rule = "{action: snat, ether_type: ipv4, targets: [{first_address: 192.0.2.1}]}"
    assert problems(FILE, ("{action: accept, protocol: udp}", rule)) == []
    assert (
        problems(
            FILE + "floating_ips: [{router: edge, address: 192.0.2.1, fixed_address: 10.0.0.1}]"
        )
        == []
    )
