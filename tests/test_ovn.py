"""The peer OVN is told the network that onehop is measured on; no OVN is needed here."""

from __future__ import annotations

import ovn
import workloads


def acls() -> set[tuple[str, ...]]:
    return {command[1:] for command in ovn.groups() if command[0] == "acl-add"}


def test_every_rule_of_a_security_group_is_an_acl_that_tracks_connections() -> None:
    allowed = {(group, direction, match) for group, direction, _, match, verdict in acls()
               if verdict == "allow-related"}  # fmt: skip
    assert allowed == {
        ("web", "to-lport", "outport == @web && tcp.dst == 22"),
        ("web", "to-lport", "outport == @web && tcp.dst == 80"),
        ("web", "to-lport", "outport == @web && tcp.dst == 443"),
        ("web", "to-lport", "outport == @web && icmp"),
        ("web", "to-lport", "outport == @web && ip4.src == $web_ip4"),
        ("all", "from-lport", "inport == @all && ip"),
    }


def test_what_no_rule_allows_is_dropped_at_a_lower_priority() -> None:
    priorities = {verdict: priority for _, _, priority, _, verdict in acls()}
    assert int(priorities["drop"]) < int(priorities["allow-related"])
    assert {(group, way) for group, way, _, _, verdict in acls() if verdict == "drop"} == {
        (group.name, way) for group in workloads.groups() for way in ("to-lport", "from-lport")
    }


def test_machines_have_their_addresses_and_no_others() -> None:
    said = {command[1:] for command in ovn.bridge() if command[0] == "lsp-set-port-security"}
    assert len(said) == workloads.MACHINES + 1
    assert ("vm1", f"{workloads.mac(1)} {workloads.address(0, 1)}") in said


def test_the_router_has_the_macs_that_machines_send_to() -> None:
    rows = workloads.keyed(workloads.stateful(workloads.MACHINES))
    (added,) = [c for c in ovn.router() if c[:3] == ("lrp-add", "tenant", "tenant-net")]
    assert added[3:] == (workloads.gateway_mac(rows), f"{workloads.NEAR}/16")
