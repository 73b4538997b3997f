"""Agents on real switches, around a real store.

vm1 -- [c1: br-int] ~~~ VXLAN ~~~ [c2: br-int] -- vm2
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from functional.agent_hosts import Host, Ping, World, eventually, pings
from functional.nodes import Net, Node

TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: c2, tunnel_address: 172.31.0.22}
bridges:
  - {name: n1}
  - {name: n2}
routers:
  - {name: r1}
ports:
  - {name: vm1, device: n1, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24, "fd00::11/64"],
     host: c1, interface: tap1}
  - {name: vm2, device: n1, mac: "02:00:00:00:00:02", addresses: [10.0.0.12/24, "fd00::12/64"],
     host: c2, interface: tap2}
  - {name: vm3, device: n2, mac: "02:00:00:00:00:03", addresses: [10.0.1.13/24],
     host: c2, interface: tap3}
  - {name: n1-r1, device: n1, peer: r1-n1}
  - {name: r1-n1, device: r1, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: n2-r1, device: n2, peer: r1-n2}
  - {name: r1-n2, device: r1, addresses: [10.0.1.1/24]}
"""


class Cloud(NamedTuple):
    world: World
    c1: Host
    c2: Host
    vm1: Node
    vm2: Node
    vm3: Node


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        c1, c2 = world.host("c1", "172.31.0.21"), world.host("c2", "172.31.0.22")
        vm1 = c1.machine("vm1", "tap1", "02:00:00:00:00:01", "10.0.0.11/24", "fd00::11/64")
        vm2 = c2.machine("vm2", "tap2", "02:00:00:00:00:02", "10.0.0.12/24", "fd00::12/64")
        vm3 = c2.machine("vm3", "tap3", "02:00:00:00:00:03", "10.0.1.13/24")
        vm1.ip("route", "add", "default", "via", "10.0.0.1")
        vm3.ip("route", "add", "default", "via", "10.0.1.1")
        for host in (c1, c2):
            host.start_agent()
        for host in (c1, c2):
            eventually(host.live, f"agent of {host.name} is live\n{host.log()}")
        yield Cloud(world, c1, c2, vm1, vm2, vm3)


def test_machines_on_two_hosts_reach_each_other(cloud):
    assert pings(cloud.vm1, "10.0.0.12")
    assert pings(cloud.vm1, "fd00::12")  # the same bridge, by IPv6
    assert pings(cloud.vm1, "10.0.1.13")  # another one, over the router
    assert pings(cloud.vm1, "10.0.0.1")  # the router itself


def test_agent_that_is_killed_and_started_again_loses_no_packet(cloud):
    eventually(lambda: pings(cloud.vm1, "10.0.1.13"), "first ping")
    ping = Ping(cloud.vm1, "10.0.1.13")
    flows = cloud.c1.status()["flows"]
    for host in (cloud.c1, cloud.c2):
        host.kill_agent()
        host.start_agent()
        eventually(host.live, f"agent of {host.name} is live again")
    assert cloud.c1.status()["flows"] >= min(flows, 1)
    assert not ping.stop()
    assert pings(cloud.vm1, "fd00::12")


def test_forwarding_goes_on_without_the_store(cloud):
    cloud.world.stop_store()
    eventually(lambda: not cloud.c1.status()["store_connected"], "the store is missed")
    assert pings(cloud.vm1, "10.0.1.13")
    cloud.world.start_store()
    eventually(lambda: cloud.c1.status()["store_connected"], "the store is back")


def test_change_of_the_topology_is_followed(cloud):
    eventually(lambda: pings(cloud.vm1, "10.0.0.12"), "first ping")
    down = TOPOLOGY.replace("{name: n1}", "{name: n1, admin_state_up: false}")
    cloud.world.apply(down)
    eventually(lambda: not pings(cloud.vm1, "10.0.0.12"), "the bridge is down")
    cloud.world.apply(TOPOLOGY)
    eventually(lambda: pings(cloud.vm1, "10.0.0.12"), "the bridge is up")


def test_machine_keeps_its_neighbors_while_the_agent_is_away(cloud):
    addresses = ["10.0.0.1", "10.0.0.12"]
    assert all(pings(cloud.vm1, address) for address in addresses)
    for address in addresses:
        answered = f"arp_tpa={address},arp_op=1"  # what bridges answer is found out each second
        eventually(
            lambda text=answered: text in cloud.c1.ovs.ofctl("dump-flows", "br-int"),
            f"the switch answers for {address}",
        )
    cloud.c1.kill_agent()
    for address in addresses:
        shown = cloud.vm1.ip("neigh", "show", address, "dev", "eth0").split()
        mac = shown[shown.index("lladdr") + 1]
        entry = (address, "lladdr", mac, "dev", "eth0")
        cloud.vm1.ip("neigh", "replace", *entry, "nud", "probe")
        eventually(
            lambda a=address: "REACHABLE" in cloud.vm1.ip("neigh", "show", a), f"{address} answers"
        )
    cloud.c1.start_agent()
    eventually(cloud.c1.live, "agent of c1 is live again")


def test_host_that_nobody_stated_registers_and_serves(cloud):
    world, mac = cloud.world, "02:00:00:00:00:04"
    c3 = world.host("c3", "172.31.0.23")
    c3.start_agent()
    eventually(c3.live, "agent of c3 is live")
    vm4 = c3.machine("vm4", "tap4", mac, "10.0.0.14/24")
    place = ["host=c3", "interface=tap4", "addresses=10.0.0.14/24", f"mac={mac}"]
    world.onehop("create", "port", "vm4", "device=n1", *place)
    eventually(lambda: pings(vm4, "10.0.0.11"), "vm4 reaches vm1")
    world.apply(TOPOLOGY)  # which names neither
    eventually(lambda: not pings(vm4, "10.0.0.11"), "its port is gone")
    assert c3.live() and "c3" in world.onehop("get", "hosts")
