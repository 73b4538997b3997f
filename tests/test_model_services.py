"""NAT, load balancing and subnets: what may be stated, and how each mistake is told."""

import pytest
from mistakes import Edit, problems

from onehop.engine import model
from onehop.engine.model import MemberStatus, NatBlock
from onehop.engine.topology import Topology as Compiled

SOUND = """
chains:
  - name: out
    rules:
      - {action: jump, jump: pool}
  - name: pool
    rules:
      - {action: snat, source: 10.0.0.0/25, targets: [{first_address: 198.51.100.1}]}
      - {action: snat, source: 10.0.0.128/25, targets: [{first_address: 198.51.100.1}]}
      - {action: snat, targets: [{first_address: 198.51.100.2, last_address: 198.51.100.4}]}
      - {action: dnat, targets: [{first_address: 198.51.100.1, first_port: 1, last_port: 9}]}
bridges:
  - name: net
  - name: rack
routers:
  - {name: edge, outbound_filter: out}
  - name: other
ports:
  - {name: vm, device: net, addresses: [10.0.0.11]}
  - {name: net-rack, device: net, peer: rack-net}
  - {name: rack-net, device: rack}
  - {name: net-edge, device: net}
  - {name: edge-net, device: edge, peer: net-edge, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: edge-up, device: edge, addresses: [198.51.100.1/24]}
subnets:
  - {name: net4, bridge: rack, prefix: 10.0.0.0/24, gateway: 10.0.0.1, dns: [192.0.2.53],
     routes: [{destination: 10.9.0.0/16, gateway: 10.0.0.9}], mtu: 1450}
  - {name: net6, bridge: rack, prefix: "fd00::/64", gateway: "fe80::1", mtu: 1280}
floating_ips:
  - {router: edge, address: 198.51.100.11, fixed_address: 10.0.0.11}
health_monitors:
  - {name: well, interval_s: 1, timeout_s: 0.5}
pools:
  - {name: web, monitor: well}
pool_members:
  - {name: web1, pool: web, address: 10.0.0.11, port: 80, weight: 3}
  - {name: web2, pool: web, address: 10.0.0.12, port: 80, admin_state_up: false}
vips:
  - {name: www, router: edge, address: 198.51.100.80, port: 80, pool: web}
  - {name: dns, router: edge, address: 198.51.100.80, port: 53, pool: web, protocol: udp}
"""
LAST = "{action: dnat, targets: [{first_address: 198.51.100.1, first_port: 1, last_port: 9}]}"
FIP = "floating_ip 'edge 198.51.100.11': "
POOL = "chain 'pool': rules #4 "


def target(text: str) -> list[Edit]:
    """The last rule of chain "pool" is an snat to this."""
    return [(LAST, f"{{action: snat, targets: [{{{text}}}]}}")]


def instead(old: str, new: str) -> list[Edit]:
    return [(old, new)]


MISTAKES = {
    # Translation.
    "no protocol with ports": (
        instead("{action: dnat, ", "{action: dnat, protocol: 47, "),
        [f"{POOL}protocol: 47 has no ports to translate"],
    ),
    "addresses backwards": (
        target("first_address: 192.0.2.9, last_address: 192.0.2.1"),
        [f"{POOL}targets #1 last_address: comes before first_address"],
    ),
    "addresses without bound": (
        target("first_address: 1.0.0.0, last_address: 1.1.0.0"),
        [f"{POOL}targets #1 last_address: makes more than 65536 addresses"],
    ),
    "two families in a target": (
        target('first_address: 1.0.0.0, last_address: "fd00::1"'),
        [f"{POOL}targets #1 last_address: is of IPv6, but targets #1 first_address is of IPv4"],
    ),
    "ports backwards": (
        target("first_address: 192.0.2.9, first_port: 2000, last_port: 1000"),
        [f"{POOL}targets #1 last_port: comes before first_port"],
    ),
    "ports without a start": (
        target("first_address: 192.0.2.9, last_port: 1000"),
        [f"{POOL}targets #1 first_port: is missing; last_port is stated"],
    ),
    "pools that overlap in addresses": (
        target("first_address: 198.51.100.4, last_address: 198.51.100.5"),
        [f"{POOL}targets #1: overlaps the pool rules #3 targets #1 of chain 'pool'; state the "
         "same one or another"],
    ),
    "pools that overlap in ports": (
        target("first_address: 198.51.100.1, first_port: 1000, last_port: 1024"),
        ["chain 'pool': rules #1 targets #1: overlaps the pool rules #4 targets #1 of chain "
         "'pool'; state the same one or another"],
    ),
    "pool with a floating IP": (
        target("first_address: 198.51.100.9, last_address: 198.51.100.11"),
        [f"{FIP}address: '198.51.100.11' is in the snat pool rules #4 targets #1 of chain "
         "'pool'"],
    ),
    "pool with a VIP": (
        target("first_address: 198.51.100.80, first_port: 60, last_port: 100"),
        ["vip 'www': address: '198.51.100.80' is in the snat pool rules #4 targets #1 of chain "
         "'pool'"],
    ),
    # Floating IPs.
    "floating IP of two families": (
        instead("fixed_address: 10.0.0.11", 'fixed_address: "fd00::b"'),
        [f"{FIP}fixed_address: 'fd00::b' is IPv6, but the address is IPv4"],
    ),
    "floating IP of itself": (
        instead("fixed_address: 10.0.0.11", "fixed_address: 198.51.100.11"),
        [f"{FIP}fixed_address: is the address itself"],
    ),
    "one floating IP twice": (
        instead("floating_ips:", "floating_ips:\n  - {router: edge, name: f, address: "
                "198.51.100.11, fixed_address: 10.0.0.12}"),
        [f"{FIP}address: '198.51.100.11' is already that of floating_ip 'f'"],
    ),
    "two floating IPs of one machine": (
        instead("floating_ips:", "floating_ips:\n  - {router: edge, name: f, address: "
                "198.51.100.12, fixed_address: 10.0.0.11}"),
        [f"{FIP}fixed_address: '10.0.0.11' is already that of floating_ip 'f'"],
    ),
    "floating IP of a router": (
        instead("address: 198.51.100.11", "address: 10.0.0.1, name: f"),
        ["floating_ip 'f': address: '10.0.0.1' is already that of port 'edge-net' of 'edge'"],
    ),
    "floating IP on nothing": (
        instead("{router: edge, address: 198.51.100.11", "{router: egde, address: 198.51.100.11"),
        ["floating_ip 'egde 198.51.100.11': router: there is no router 'egde'"],
    ),
    # Load balancing.
    "VIP of a router": (
        instead("address: 198.51.100.80, port: 80", "address: 198.51.100.1, port: 80"),
        ["vip 'www': address: '198.51.100.1' is already that of port 'edge-up' of 'edge'"],
    ),
    "VIP of a machine": (
        instead("address: 198.51.100.80, port: 80", "address: 10.0.0.11, port: 8080"),
        ["vip 'www': address: '10.0.0.11' is already that of port 'vm' of 'net'"],
    ),
    "VIP of a floating IP": (
        instead("address: 198.51.100.80, port: 80", "address: 198.51.100.11, port: 80"),
        ["vip 'www': address: '198.51.100.11' is already that of floating_ip "
         "'edge 198.51.100.11'"],
    ),
    "one VIP twice": (
        instead("port: 53, pool: web, protocol: udp", "port: 80, pool: web"),
        ["vip 'dns': address: '198.51.100.80' tcp port 80 at router 'edge' is already that of "
         "vip 'www'"],
    ),
    "weight zero": (
        instead("weight: 3", "weight: 0"),
        ["pool_member 'web1': weight: 0 is not right: expected int >= 1"],
    ),
    "negative weight": (
        instead("weight: 3", "weight: -3"),
        ["pool_member 'web1': weight: -3 is not right: expected int >= 1"],
    ),
    "member twice": (
        instead("address: 10.0.0.12", "address: 10.0.0.11"),
        ["pool_member 'web2': address: '10.0.0.11' port 80 in pool 'web' is already that of "
         "pool_member 'web1'"],
    ),
    "member of another family": (
        instead("address: 10.0.0.12, port: 80, admin_state_up: false",
                'address: "fd00::12", port: 80'),
        ["pool_member 'web2': address: 'fd00::12' is IPv6, but vip 'www' is IPv4",
         "pool_member 'web2': address: 'fd00::12' is IPv6, but vip 'dns' is IPv4"],
    ),
    "member that is a VIP": (
        instead("address: 10.0.0.12, port: 80, admin_state_up: false",
                "address: 198.51.100.80, port: 80"),
        ["pool_member 'web2': address: '198.51.100.80' is that of vip 'www'"],
    ),
    "monitor slower than its interval": (
        instead("timeout_s: 0.5", "timeout_s: 1"),
        ["health_monitor 'well': timeout_s: 1 s is not shorter than interval_s, 1 s"],
    ),
    "monitor without pause": (
        instead("interval_s: 1, timeout_s: 0.5", "interval_s: 0"),
        ["health_monitor 'well': interval_s: 0 is not right: expected float >= 0.1"],
    ),
    "path of TCP": (
        instead("timeout_s: 0.5", "timeout_s: 0.5, path: /x"),
        ["health_monitor 'well': path: does nothing; the type is tcp"],
    ),
    "no path": (
        instead("timeout_s: 0.5", "timeout_s: 0.5, type: http, path: x y"),
        ["health_monitor 'well': path: 'x y' is not a path like /health"],
    ),
    "no such monitor": (
        instead("monitor: well", "monitor: ill"),
        ["pool 'web': monitor: there is no health_monitor 'ill'"],
    ),
    # Subnets.
    "gateway outside": (
        instead("gateway: 10.0.0.1,", "gateway: 10.0.1.1,"),
        ["subnet 'net4': gateway: '10.0.1.1' is outside 10.0.0.0/24"],
    ),
    "DNS of another family": (
        instead("192.0.2.53", '"fd00::53"'),
        ["subnet 'net4': dns: 'fd00::53' is IPv6, but the prefix is IPv4"],
    ),
    "route of another family": (
        instead("destination: 10.9.0.0/16", 'destination: "fd09::/16"'),
        ["subnet 'net4': routes #1 destination: 'fd09::/16' is IPv6, but the prefix is IPv4"],
    ),
    "route by a far gateway": (
        instead("gateway: 10.0.0.9", "gateway: 10.9.0.9"),
        ["subnet 'net4': routes #1 gateway: '10.9.0.9' is outside 10.0.0.0/24"],
    ),
    "MTU less than IPv6 needs": (
        instead("mtu: 1280", "mtu: 1279"),
        ["subnet 'net6': mtu: 1279 is less than IPv6 needs, 1280"],
    ),
    "routes that IPv6 cannot tell": (
        instead('gateway: "fe80::1"', 'routes: [{destination: "fd09::/16", gateway: "fe80::2"}]'),
        ["subnet 'net6': routes: cannot be told: neither DHCPv6 nor the gateway speaks of other "
         "routers"],
    ),
    "more routes than an option holds": (
        instead(
            "{destination: 10.9.0.0/16, gateway: 10.0.0.9}",
            ", ".join(f"{{destination: 10.9.{n}.0/24, gateway: 10.0.0.9}}" for n in range(32)),
        ),
        ["subnet 'net4': routes: take 261 bytes of 255 in a DHCP option"],
    ),
    "more servers than an option holds": (
        instead("192.0.2.53", ", ".join(f"192.0.2.{n}" for n in range(64))),
        ["subnet 'net4': dns: take 256 bytes of 255 in a DHCP option"],
    ),
    "subnet that is not its router's": (
        instead('prefix: "fd00::/64"', 'prefix: "fd00::/60"'),
        ["subnet 'net6': prefix: 'fd00::/60' is not what a router on the bridge has, fd00::/64"],
    ),
    "subnets that overlap": (
        instead("subnets:", "subnets:\n  - {name: more, bridge: rack, prefix: 10.0.0.0/24}"),
        ["subnet 'net4': prefix: '10.0.0.0/24' overlaps that of subnet 'more'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("edits, expected", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_kind_object_and_field(
    edits: list[Edit], expected: list[str]
) -> None:
    assert problems(SOUND, *edits) == expected


def test_a_sound_file_is_read_and_written_the_same() -> None:
    topology = model.load(SOUND)
    assert topology.floating_ips[0].name == "edge 198.51.100.11"
    assert topology.pool_members[1].admin_state_up is False
    assert topology.vips[1].protocol == "udp" and topology.vips[1].affinity_s is None
    assert model.load(model.dump(topology)) == topology


@pytest.mark.parametrize(
    "text",
    [
        "first_address: 198.51.100.1",  # the same pool as before
        "first_address: 198.51.100.1, first_port: 1, last_port: 1023",
        "first_address: 198.51.100.80",  # a VIP's, but not its port
        'first_address: "fd00::1", last_address: "fd00::ff"',
    ],
)
def test_pools_that_share_nothing_or_everything_are_accepted(text: str) -> None:
    assert problems(SOUND, *target(text)) == []


def test_a_pool_of_another_router_may_have_the_same_addresses() -> None:
    edits = [
        *target("first_address: 198.51.100.11"),
        ("{name: edge, outbound_filter: out}", "{name: edge}"),
        ("- name: other", "- {name: other, outbound_filter: out}"),
    ]
    assert problems(SOUND, *edits) == []


def test_a_router_of_another_network_may_have_the_address_of_a_machine() -> None:
    vip = "{name: www, router: edge, address: 198.51.100.80, port: 80"
    assert not problems(SOUND, (vip, "{name: www, router: other, address: 10.0.0.11, port: 81"))


def test_state_is_named_by_what_it_is_about() -> None:
    block = NatBlock(host="g1", address="198.51.100.1", first_port=1024, n_ports=64)
    assert block.name == "198.51.100.1 1024" and block.LEASED
    assert MemberStatus(host="c1", member="web1", healthy=False, reason="refused").name == "web1"


def test_the_engine_takes_kinds_that_it_has_no_use_for() -> None:
    topology = model.load(SOUND)
    block = NatBlock(host="g1", address="198.51.100.1", first_port=1024, n_ports=64)
    engine = Compiled()
    engine.update([*topology, block])
    known = {"host", "bridge", "router", "port", "route"}
    others = [resource for resource in topology if resource.KIND not in known]
    assert engine.get("chain", "pool") == topology.chains[1]
    engine.update([], [(r.KIND, r.name) for r in (*others, block)])
    assert engine.get("chain", "pool") is None
    engine.update(others)
    assert engine.get("vip", "www") == topology.vips[0]
