"""FRR's configuration as data, and the lines that lead from one to another."""

from __future__ import annotations

import msgspec
import pytest

from onehop.controller.agent.desired import Uplink
from onehop.controller.agent.frr_config import announces, commands, config
from onehop.engine.model import BgpPeer

UPLINK = Uplink(
    port="up1",
    device="up0",
    router="provider",
    asn=65010,
    mac="02:00:00:00:56:02",
    addresses=("10.56.1.2/24",),
    peers=(BgpPeer(name="out", port="up1", address="10.56.1.1", asn=65100),),
    networks=("198.51.100.0/24", "2001:db8::/32"),
)
ROUTER = ("router bgp 65010",)
IPV4, IPV6 = (*ROUTER, "address-family ipv4 unicast"), (*ROUTER, "address-family ipv6 unicast")


def lines(before: Uplink, after: Uplink) -> tuple[list[object], list[object]]:
    off, on = commands(
        config(before, announcing=True)["bgpd"], config(after, announcing=True)["bgpd"]
    )
    return list(off), list(on)


def test_withdrawing_takes_away_networks_and_nothing_else() -> None:
    loud, quiet = config(UPLINK, announcing=True), config(UPLINK, announcing=False)
    assert (announces(loud), announces(quiet)) == (True, False)
    off, on = commands(loud["bgpd"], quiet["bgpd"])
    assert off == [(IPV6, "no network 2001:db8::/32"), (IPV4, "no network 198.51.100.0/24")]
    assert on == []


def test_draining_asks_the_peers_to_prefer_others_and_takes_nothing_back() -> None:
    draining = msgspec.structs.replace(UPLINK, draining=True)
    assert lines(UPLINK, draining) == ([], [(ROUTER, "bgp graceful-shutdown")])
    assert lines(draining, UPLINK) == ([(ROUTER, "no bgp graceful-shutdown")], [])
    told = config(draining, announcing=True)["bgpd"][ROUTER]
    first = next(i for i, line in enumerate(told) if line.startswith("neighbor"))
    assert told.index("bgp graceful-shutdown") < first


def test_peer_that_goes_loses_its_definition_last() -> None:
    off, _ = lines(UPLINK, msgspec.structs.replace(UPLINK, peers=()))
    assert off[-1] == (ROUTER, "no neighbor 10.56.1.1 remote-as 65100")


def test_other_as_of_a_peer_replaces_the_one_it_had() -> None:
    peer = msgspec.structs.replace(UPLINK.peers[0], asn=65101)
    off, on = lines(UPLINK, msgspec.structs.replace(UPLINK, peers=(peer,)))
    assert (off, on) == ([], [(ROUTER, "neighbor 10.56.1.1 remote-as 65101")])


def test_other_as_of_the_router_takes_away_the_whole_process_first() -> None:
    off, on = lines(UPLINK, msgspec.structs.replace(UPLINK, asn=65011))
    assert off == [((), "no router bgp 65010")]
    assert {block[0] for block, _ in on} == {"router bgp 65011"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("addresses", "router_id"),
    [(("fd00::1/64", "10.1.1.1/24"), "10.1.1.1"), (("fd00::1/64",), "0.0.86.2")],
)
def test_router_id_is_an_ipv4_address_in_any_case(
    addresses: tuple[str, ...], router_id: str
) -> None:
    told = config(msgspec.structs.replace(UPLINK, addresses=addresses), announcing=True)
    assert f"bgp router-id {router_id}" in told["bgpd"][ROUTER]


def test_nothing_learned_is_passed_on() -> None:
    told = config(UPLINK, announcing=True)["bgpd"]
    assert "neighbor 10.56.1.1 filter-list onehop-own out" in told[IPV4]
    assert "bgp as-path access-list onehop-own seq 5 permit ^$" in told[()]
