"""Agents of gateways: FRR behind their uplinks, BFD between hosts, a router outside.

                 +-- [g1: br-int] -- eth1 ---- out1 --+
vm1 -- [c1] ~~ VXLAN ~~                               [outside] 203.0.113.1
                 +-- [g2: br-int] -- eth1 ---- out2 --+
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from functional.agent_hosts import Host, World, eventually, pings
from functional.nodes import Net, Node, Wire

from onehop.controller.agent import frr_config, namespaces
from onehop.controller.agent.desired import Uplink
from onehop.engine.model import BgpPeer

OUTSIDE = "203.0.113.1"
TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: g1, tunnel_address: 172.31.0.11}
  - {name: g2, tunnel_address: 172.31.0.12}
bridges:
  - {name: n1}
routers:
  - {name: r1, asn: 65010}
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24],
     host: c1, interface: tap1}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24]}
  - {name: up1, device: r1, addresses: [10.56.1.2/24], host: g1, interface: eth1}
  - {name: up2, device: r1, addresses: [10.56.2.2/24], host: g2, interface: eth1}
bgp_peers:
  - {name: isp1, port: up1, address: 10.56.1.1, asn: 65100}
  - {name: isp2, port: up2, address: 10.56.2.1, asn: 65100}
bgp_networks:
  - {router: r1, prefix: 10.0.0.0/24}
"""


class Cloud(NamedTuple):
    c1: Host
    gateways: dict[str, Host]
    wires: dict[str, Wire]
    vm1: Node
    outside: Node


def far_end(number: int) -> Uplink:
    """The router outside, seen as an uplink of its own."""
    peer = BgpPeer(name="gw", port="far", address=f"10.56.{number}.2", asn=65010)
    return Uplink(
        port="far",
        device=f"out{number}",
        router="outside",
        asn=65100,
        mac=f"02:00:00:00:56:0{number}",
        addresses=(f"10.56.{number}.1/24",),
        peers=(peer,),
        networks=("203.0.113.0/24",),
    )


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        c1 = world.host("c1", "172.31.0.21")
        gateways = {f"g{n}": world.host(f"g{n}", f"172.31.0.1{n}") for n in (1, 2)}
        vm1 = c1.machine("vm1", "tap1", "02:00:00:00:00:01", "10.0.0.11/24")
        vm1.ip("route", "add", "default", "via", "10.0.0.1")
        outside = world.net.node("outside")
        wires = {
            name: Wire(world.net.node(f"w{n}"), host.node, "eth1", outside, far_end(n).device)
            for n, (name, host) in enumerate(gateways.items(), start=1)
        }
        start_outside(world, outside)
        hosts = [c1, *gateways.values()]
        for host in hosts:
            host.start_agent()
        for host in hosts:
            eventually(host.live, f"agent of {host.name} is live\n{host.log()}")
        yield Cloud(c1, gateways, wires, vm1, outside)


def start_outside(world: World, outside: Node) -> None:
    ends = [far_end(number) for number in (1, 2)]
    for end in ends:
        namespaces.configure(
            outside.name, end.device, mac=end.mac, mtu=1500, addresses=set(end.addresses)
        )
    outside.ip("link", "set", "lo", "up")
    outside.ip("address", "add", f"{OUTSIDE}/24", "dev", "lo")
    both = ends[0]
    both = Uplink(
        port=both.port, device="", router=both.router, asn=both.asn, mac=both.mac,
        addresses=both.addresses, peers=tuple(p for end in ends for p in end.peers),
        networks=both.networks,
    )  # fmt: skip
    world.net.router(outside, frr_config.config(both, announcing=True))


def reaches_outside(cloud: Cloud) -> bool:
    return pings(cloud.vm1, OUTSIDE)


def ways(cloud: Cloud) -> set[str]:
    """The next hops by which the router outside knows the tenant's network."""
    shown = cloud.outside.ip("route", "show", "10.0.0.0/24")
    return {f"g{number}" for number in (1, 2) if f"10.56.{number}.2" in shown}


def test_machine_reaches_the_outside_by_routes_that_bgp_learned(cloud):
    eventually(lambda: ways(cloud), "the network is announced")
    eventually(lambda: reaches_outside(cloud), "the outside is reached")
    eventually(lambda: cloud.c1.status()["rows"].get("learned_route") == 2, "both know a way")


def test_gateway_that_dies_is_left_and_comes_back(cloud):
    eventually(lambda: ways(cloud) == {"g1", "g2"}, "both ways")
    for name, gateway in cloud.gateways.items():
        gateway.kill()
        other = {"g1", "g2"} - {name}
        eventually(lambda n=name: cloud.c1.status()["peers"][n] is False, f"{name} is missed")
        eventually(lambda other=other: ways(cloud) == other, f"the outside leaves {name}")
        for _ in range(5):
            assert reaches_outside(cloud)
        gateway.reboot()
        eventually(gateway.live, f"{name} is live again")
        eventually(lambda n=name: cloud.c1.status()["peers"][n] is True, f"{name} is back")
        eventually(lambda: ways(cloud) == {"g1", "g2"}, "both ways again")


def test_gateway_whose_uplink_is_cut_is_left(cloud):
    eventually(lambda: ways(cloud) == {"g1", "g2"}, "both ways")
    cloud.wires["g1"].carrier(up=False)
    eventually(lambda: cloud.c1.status()["rows"]["learned_route"] == 1, "its route is gone")
    eventually(lambda: ways(cloud) == {"g2"}, "the outside leaves it")
    for _ in range(5):
        assert reaches_outside(cloud)
    cloud.wires["g1"].carrier(up=True)
    eventually(lambda: ways(cloud) == {"g1", "g2"}, "both ways again")
    eventually(lambda: cloud.c1.status()["rows"]["learned_route"] == 2, "its route is back")


def test_agent_of_a_gateway_that_is_killed_is_missed_by_nobody(cloud):
    eventually(lambda: ways(cloud) == {"g1", "g2"}, "both ways")
    gateway = cloud.gateways["g1"]
    gateway.kill_agent()
    gateway.start_agent()
    eventually(gateway.live, "g1 is live again")
    assert ways(cloud) == {"g1", "g2"}
    assert cloud.c1.status()["peers"] == {"g1": True, "g2": True}
    assert cloud.c1.status()["rows"]["learned_route"] == 2
