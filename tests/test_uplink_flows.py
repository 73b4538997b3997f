"""The flows between an uplink and its FRR: what passes, and what is left to simulation."""

from __future__ import annotations

import msgspec

from onehop.controller.agent.desired import Uplink
from onehop.controller.agent.uplink_flows import link_local, static_flows
from onehop.engine import openflow
from onehop.engine.model import BgpPeer

UPLINK, FRR = 3, 4
DUAL = Uplink(
    port="up1",
    device="up0",
    router="provider",
    asn=65010,
    mac="02:00:00:00:56:02",
    addresses=("10.56.1.2/24", "fd00:56:1::2/64"),
    peers=(
        BgpPeer(name="out4", port="up1", address="10.56.1.1", asn=65100),
        BgpPeer(name="out6", port="up1", address="fd00:56:1::1", asn=65100),
    ),
    networks=("198.51.100.0/24",),
)
TO_FRR = (("output", FRR),)
TO_BOTH = (("output", FRR), ("controller",))


def by_match(uplink: Uplink) -> dict[frozenset[tuple[str, int | str]], tuple[object, ...]]:
    flows = static_flows(uplink, UPLINK, FRR)
    found = {frozenset(flow.match): flow.actions for flow in flows}
    assert len(found) == len(flows)
    return found


def fields(**match: int | str) -> frozenset[tuple[str, int | str]]:
    return frozenset({"in_port": UPLINK, **match}.items())


def test_all_that_frr_says_goes_out() -> None:
    assert by_match(DUAL)[frozenset({("in_port", FRR)})] == (("output", UPLINK),)


def test_bgp_in_either_direction_and_bfd_reach_frr_at_every_own_address() -> None:
    flows = by_match(DUAL)
    for own in (
        {"eth_type": 0x0800, "ipv4_dst": "10.56.1.2"},
        {"eth_type": 0x86DD, "ipv6_dst": "fd00:56:1::2"},
    ):
        assert flows[fields(**own, ip_proto=6, tcp_src=179)] == TO_FRR
        assert flows[fields(**own, ip_proto=6, tcp_dst=179)] == TO_FRR
        assert flows[fields(**own, ip_proto=17, udp_dst=3784)] == TO_FRR


def test_requests_for_own_addresses_are_answered_by_frr_alone() -> None:
    flows = by_match(DUAL)
    assert flows[fields(eth_type=0x0806, arp_op=1, arp_tpa="10.56.1.2")] == TO_FRR
    solicitation = {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135}
    for address in ("fd00:56:1::2", "fe80::ff:fe00:5602"):
        assert flows[fields(**solicitation, nd_target=address)] == TO_FRR


def test_answers_and_gratuitous_arp_of_a_peer_are_told_to_both() -> None:
    flows = by_match(DUAL)
    assert flows[fields(eth_type=0x0806, arp_op=2, arp_tpa="10.56.1.2")] == TO_BOTH
    assert flows[fields(eth_type=0x0806, arp_tpa="10.56.1.1")] == TO_BOTH
    advertisement = {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 136}
    assert flows[fields(**advertisement, ipv6_dst="fd00:56:1::2")] == TO_BOTH
    assert flows[fields(**advertisement, nd_target="fd00:56:1::1")] == TO_BOTH


def test_ping_and_transit_are_left_to_simulation() -> None:
    for match in by_match(DUAL):
        found = dict(match)
        if found.get("in_port") == UPLINK and found["eth_type"] == 0x0800:
            assert found["ip_proto"] in (6, 17)
            assert found["ipv4_dst"] == "10.56.1.2"


def test_uplink_without_ipv6_has_no_ipv6_flows() -> None:
    plain = msgspec.structs.replace(DUAL, addresses=DUAL.addresses[:1], peers=DUAL.peers[:1])
    assert not [m for m in by_match(plain) if dict(m).get("eth_type") == 0x86DD]


def test_codec_writes_every_flow() -> None:
    for number, flow in enumerate(static_flows(DUAL, UPLINK, FRR)):
        cookie = openflow.STATIC | number
        assert openflow.static_flow(cookie, flow.priority, dict(flow.match), flow.actions)


def test_link_local_address_is_that_of_rfc_4291() -> None:
    assert link_local("34:56:78:9A:BC:DE") == "fe80::3656:78ff:fe9a:bcde"
