"""Longest-prefix match, seen through a router: against a linear scan, and what it looks at."""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import frames
import pytest
from frames import Address, Ip

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

Network = IPv4Network | IPv6Network

MAC = "02:00:00:00:00:01"
BASE = {4: ip_network("10.0.0.0/8"), 6: ip_network("2001:db8::/32")}
NEVER_FORWARDED = {
    4: ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
    6: ("::/128", "::1/128", "fe80::/10", "ff00::/8"),
}


def router(*routes: model.Route) -> Simulator:
    """A router with one port to the outside, where packets come in."""
    topology = Topology()
    topology.update(
        [
            model.Host(name="h", tunnel_address="172.31.0.1"),
            model.Router(name="r"),
            model.Port(name="in", device="r", mac=MAC, host="h", interface="eth0"),
            *routes,
        ]
    )
    return Simulator(topology)


def blackhole(prefix: object, source: str | None = None, weight: int = 100) -> model.Route:
    return model.Route(
        router="r", destination=str(prefix), source=source, type="blackhole", weight=weight
    )


def send(simulator: Simulator, dst: object, src: str = "192.0.2.1") -> Verdict:
    to = ip_address(str(dst))
    source = ip_address("2001:db9::7" if to.version == 6 else src)
    packet = frames.ip_frame(MAC, "06:00:00:00:00:01", Ip(source, to, 47))
    return simulator.simulate(packet.encode(), "in")


def route_tag(verdict: Verdict) -> str:
    return next(tag for tag in verdict.tags if tag.startswith(("route", "no route")))


def bits_seen(verdict: Verdict, field: str) -> int:
    """How many leading bits of a field the verdict looked at."""
    return verdict.match.get(field, (0, 0))[1].bit_count()


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest) -> int:
    return request.param


def some_prefix(chance: random.Random, among: Iterable[Network], family: int) -> Network:
    """A prefix beside or below one of those that are there."""
    near = chance.choice(sorted(among, key=str))
    bits = near.max_prefixlen
    length = chance.randint(BASE[family].prefixlen, bits)
    value = int(some_address(chance, [near]))
    return ip_network(((value >> (bits - length)) << (bits - length), length))


def some_address(chance: random.Random, among: Iterable[Network]) -> Address:
    """An address in one of the prefixes, or one bit away from it."""
    near = chance.choice(sorted(among, key=str))
    low = chance.getrandbits(near.max_prefixlen - near.prefixlen or 1)
    value = int(near.network_address) | low & int(near.hostmask)
    if chance.random() < 0.5:
        value ^= 1 << chance.randrange(near.max_prefixlen - BASE[near.version].prefixlen)
    return type(near.network_address)(value)


def common_bits(address: Address, network: Network) -> int:
    differs = int(address) ^ int(network.network_address)
    return min(network.max_prefixlen - differs.bit_length(), network.prefixlen)


def bits_needed(address: Address, prefixes: Iterable[Network]) -> int:
    """As many as tell the address from every prefix that it is not in, and no more."""
    return max(common_bits(address, p) + (address not in p) for p in prefixes)


def test_the_longest_prefix_is_what_a_scan_finds_and_no_bit_too_many_is_read(family: int) -> None:
    chance, simulator = random.Random(family), router(blackhole(BASE[family]))
    forbidden = list(map(ip_network, NEVER_FORWARDED[family]))
    prefixes = {BASE[family]}
    for _ in range(400):
        prefix = some_prefix(chance, prefixes, family)
        if prefix in prefixes - {BASE[family]}:
            prefixes.remove(prefix)
            simulator.topology.update([], [("route", blackhole(prefix).name)])
        else:
            prefixes.add(prefix)
            simulator.topology.update([blackhole(prefix)])
        address = some_address(chance, prefixes)
        right = max((p for p in prefixes if address in p), key=lambda p: p.prefixlen)
        verdict = send(simulator, address)
        assert route_tag(verdict) == f"route r {right}"
        needed = bits_needed(address, [*prefixes, *forbidden])
        assert bits_seen(verdict, f"ipv{family}_dst") == needed


def test_removing_every_route_leaves_nothing_to_read_but_what_is_never_forwarded() -> None:
    routes = [blackhole(f"10.{n}.0.0/{16 + n % 9}") for n in range(50)]
    simulator = router(*routes)
    simulator.topology.update([], [("route", route.name) for route in routes])
    assert send(simulator, "10.3.0.1").reason == "no route"
    simulator.topology.update([blackhole("0.0.0.0/0")])
    forbidden = list(map(ip_network, NEVER_FORWARDED[4]))
    verdict = send(simulator, "10.3.0.1")
    assert bits_seen(verdict, "ipv4_dst") == bits_needed(ip_address("10.3.0.1"), forbidden)


def test_a_longer_destination_beats_a_longer_source() -> None:
    simulator = router(blackhole("10.0.0.0/8", source="192.0.2.0/24"), blackhole("10.1.0.0/16"))
    assert route_tag(send(simulator, "10.1.0.1")) == "route r 10.1.0.0/16"


def test_a_prefix_for_other_sources_leaves_the_packet_to_a_shorter_prefix() -> None:
    simulator = router(blackhole("10.0.0.0/8"), blackhole("10.1.0.0/16", source="198.51.100.0/24"))
    verdict = send(simulator, "10.1.0.1", src="192.0.2.1")
    assert verdict.reason == "blackhole route"
    assert {"route r 10.1.0.0/16", "route r 10.0.0.0/8"} <= set(verdict.tags)


def test_the_source_is_read_only_as_far_as_it_decides() -> None:
    simulator = router(blackhole("10.0.0.0/8"), blackhole("10.1.0.0/16", source="192.0.2.0/24"))
    assert bits_seen(send(simulator, "10.2.0.1"), "ipv4_src") == 0
    assert bits_seen(send(simulator, "10.1.0.1", src="192.0.2.1"), "ipv4_src") == 24
    assert bits_seen(send(simulator, "10.1.0.1", src="64.0.0.1"), "ipv4_src") == 1


def test_a_new_prefix_takes_only_from_the_one_that_covered_it() -> None:
    simulator = router(blackhole("10.0.0.0/8"), blackhole("10.1.0.0/16"))
    one, other = send(simulator, "10.1.0.1"), send(simulator, "10.2.0.1")
    tags = set(simulator.topology.update([blackhole("10.1.2.0/24")]))
    assert tags & set(one.tag_ids)
    assert not tags & set(other.tag_ids)


def test_a_first_prefix_takes_from_what_had_no_route() -> None:
    simulator = router()
    none = send(simulator, "10.1.0.1")
    tags = simulator.topology.update([blackhole("10.0.0.0/8")])
    assert set(tags) & set(none.tag_ids)


def test_the_routes_of_one_router_are_no_business_of_another() -> None:
    simulator = router(blackhole("10.0.0.0/8"))
    verdict = send(simulator, "10.1.0.1")
    elsewhere = model.Route(router="s", destination="10.1.0.0/16", type="blackhole")
    tags = simulator.topology.update([model.Router(name="s"), elsewhere])
    assert not set(tags) & set(verdict.tag_ids)
