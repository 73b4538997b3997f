"""The model: what a topology file may state, and how each mistake is told."""

import pathlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import problems

from onehop.engine import model
from onehop.engine.limits import MAX_LIMITS
from onehop.engine.model import Bridge, Host, ModelError, Port, Route, Router, Topology
from onehop.engine.model.texts import CHECKS
from onehop.engine.model.values import fields_of

COMMON = {"tenant", "shared"}

SOUND = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: g1, tunnel_address: 172.31.0.11}
bridges:
  - name: net
  - name: rack
routers:
  - name: tenant
  - {name: provider, asn: 65010}
ports:
  - {name: vm1, device: net, host: c1, interface: tap1, mac: 12:34:56:12:34:56,
     addresses: [10.0.0.11, "fd00::11/64"]}
  - {name: vm2, device: rack, host: c1, interface: tap2, addresses: [10.0.0.12/24]}
  - {name: net-rack, device: net, peer: rack-net}
  - {name: rack-net, device: rack, peer: net-rack}
  - {name: net-tenant, device: net}
  - {name: tenant-net, device: tenant, peer: net-tenant, addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: tenant-provider, device: tenant, addresses: [169.254.0.1/30]}
  - {name: provider-tenant, device: provider, peer: tenant-provider, addresses: [169.254.0.2/30]}
  - {name: uplink, device: provider, host: g1, interface: eth1, addresses: [10.56.1.2/24]}
routes:
  - {router: tenant, destination: 0.0.0.0/0, next_hop_port: tenant-provider,
     next_hop_gateway: 169.254.0.2}
  - {router: provider, destination: 10.0.0.0/24, next_hop_port: provider-tenant,
     next_hop_gateway: 169.254.0.1, weight: 5}
  - {router: provider, destination: 10.0.0.0/8, type: blackhole}
port_groups:
  - {name: web, ports: [vm1, vm2]}
bgp_peers:
  - {name: isp, port: uplink, address: 10.56.1.1, asn: 65100}
bgp_networks:
  - {router: provider, prefix: 10.0.0.0/24}
"""


def test_a_sound_file_is_read() -> None:
    topology = model.load(SOUND)
    assert topology.ports[0] == Port(
        name="vm1", device="net", host="c1", interface="tap1", mac="12:34:56:12:34:56",
        addresses=("10.0.0.11", "fd00::11/64"),
    )  # fmt: skip
    assert topology.routes[1].name == "provider 10.0.0.0/24 provider-tenant 169.254.0.1"
    assert topology.bgp_networks[0].name == "provider 10.0.0.0/24"


def test_an_empty_file_is_an_empty_topology() -> None:
    assert model.load("") == model.load("ports:\n") == Topology()


def test_what_is_written_is_read_again_the_same() -> None:
    topology = model.assign_keys(model.load(SOUND))
    assert model.load(model.dump(topology)) == topology


@pytest.mark.parametrize("name", ["12:34", "1e3", "1.5e3", "0x1f", "010", "2026-01-01"])
def test_a_name_like_a_number_is_a_name_when_read_again(name: str) -> None:
    topology = Topology(bridges=(Bridge(name=name),))
    assert model.load(model.dump(topology)) == topology


def test_a_name_that_was_chosen_for_a_route_is_written() -> None:
    route = Route(router="r", destination="10.0.0.0/8", type="reject", name="mine")
    topology = Topology(routers=(Router(name="r"),), routes=(route,))
    assert model.load(model.dump(topology)) == topology


UPLINK = "{name: uplink, device: provider, host: g1, interface: eth1, addresses: [10.56.1.2/24]}"
MISTAKES = {
    # Files and fields.
    "unknown kind": (
        [("port_groups:", "portgroups:")],
        ["file 'topology.yaml': portgroups: unknown field; there are "
         + ", ".join(kind.PLURAL for kind in model.STATED)],
    ),
    "unknown field": (
        [("asn: 65010", "as: 65010")],
        ["router 'provider': as: unknown field; there are name, admin_state_up, asn, "
         "inbound_filter, outbound_filter, tenant, shared"],
    ),
    "missing field": (
        [("{router: provider, prefix: 10.0.0.0/24}", "{router: provider}")],
        ["bgp_network '#1': prefix: is missing"],
    ),
    "wrong type": (
        [("weight: 5", "weight: five")],
        ["route '#2': weight: 'five' is not right: expected int, got str"],
    ),
    "out of range": (
        [("weight: 5", "weight: 0")],
        ["route '#2': weight: 0 is not right: expected int >= 1"],
    ),
    "bad name": (
        [("name: vm2", "name: vm 2"), ("[vm1, vm2]", "[vm1]")],
        ["port 'vm 2': name: 'vm 2' is not right: expected a name: letters, digits and "
         ". _ : / @ - between two of them, at most 200"],
    ),
    "bad MAC": (
        [("12:34:56:12:34:56", "12:34:56")],
        ["port 'vm1': mac: '12:34:56' is not right: expected a MAC address like "
         "02:00:00:00:00:01"],
    ),
    "group MAC": (
        [("12:34:56:12:34:56", "13:34:56:12:34:56")],
        ["port 'vm1': mac: '13:34:56:12:34:56' is a group MAC (its first byte is odd)"],
    ),
    "zero MAC": (
        [("12:34:56:12:34:56", '"00:00:00:00:00:00"')],
        ["port 'vm1': mac: '00:00:00:00:00:00' is the zero MAC"],
    ),
    "no address": (
        [("172.31.0.21", "172.31.0.321")],
        ["host 'c1': tunnel_address: '172.31.0.321' is not an IP address like 10.0.0.5 or "
         "fd00::5"],
    ),
    "multicast address": (
        [("172.31.0.21", "224.0.0.1")],
        ["host 'c1': tunnel_address: '224.0.0.1' is not the address of one machine"],
    ),
    "scoped address": (
        [("172.31.0.21", '"fe80::1%eth0"')],
        ["host 'c1': tunnel_address: 'fe80::1%eth0' has a scope; leave out '%eth0'"],
    ),
    "bits beyond the prefix": (
        [("10.0.0.0/8, type", "10.1.0.0/8, type")],
        ["route 'provider 10.1.0.0/8 blackhole': destination: '10.1.0.0/8' has bits set beyond "
         "its length; is 10.0.0.0/8 meant?"],
    ),
    "not a prefix": (
        [("10.0.0.0/8, type", "ten, type")],
        ["route 'provider ten blackhole': destination: 'ten' is not a prefix like 10.0.0.0/24 "
         "or fd00::/64"],
    ),
    "unknown choice": (
        [("blackhole", "black")],
        ["route '#3': type: 'black' is not right: expected one of normal, blackhole, reject, "
         "local"],
    ),
    # Names and references.
    "duplicate name": (
        [("- name: rack\n", "- name: rack\n  - name: net\n")],
        ["bridge 'net': name: there is another one of this name"],
    ),
    "bridge and router of one name": (
        [("- {name: provider, asn", "- name: rack\n  - {name: provider, asn")],
        ["router 'rack': name: there is a bridge of this name; bridges and routers share "
         "their names"],
    ),
    "dangling device": (
        [("device: rack, host", "device: rak, host")],
        ["port 'vm2': device: there is no bridge or router 'rak'"],
    ),
    "dangling member": (
        [("[vm1, vm2]", "[vm1, vm3]")],
        ["port_group 'web': ports: there is no port 'vm3'"],
    ),
    "dangling host": (
        [("host: g1", "host: g2")], ["port 'uplink': host: there is no host 'g2'"]
    ),
    "a reference to what is wrong itself does not dangle": (
        [("172.31.0.11}", "nowhere}")],
        ["host 'g1': tunnel_address: 'nowhere' is not an IP address like 10.0.0.5 or fd00::5"],
    ),
    # Ports and links.
    "host without interface": (
        [(", interface: tap2", "")],
        ["port 'vm2': interface: is missing; a port with a host has an interface"],
    ),
    "interface without host": (
        [("host: c1, interface: tap2", "interface: tap2")],
        ["port 'vm2': host: is missing; a port with an interface has a host"],
    ),
    "interface that Linux refuses": (
        [("tap2", "a-name-longer-than-fifteen")],
        ["port 'vm2': interface: 'a-name-longer-than-fifteen' cannot be a network device"],
    ),
    "one interface twice": (
        [("tap2", "tap1")],
        ["port 'vm2': interface: 'tap1' of 'c1' is already that of port 'vm1'"],
    ),
    "exterior and interior both": (
        [("device: net, peer: rack-net", "device: net, peer: rack-net, host: c1, interface: x"),
         ("device: rack, peer: net-rack", "device: rack")],
        ["port 'net-rack': peer: a port has either a peer or a host and an interface"],
    ),
    "peer of itself": (
        [("peer: rack-net}", "peer: net-rack}"), ("device: rack, peer: net-rack", "device: rack")],
        ["port 'net-rack': peer: is the port itself"],
    ),
    "peer of a peer": (
        [("{name: tenant-provider, device: tenant",
          "{name: tenant-provider, device: tenant, peer: tenant-net")],
        ["port 'tenant-provider': peer: port 'tenant-net' is the peer of 'net-tenant'",
         "port 'provider-tenant': peer: port 'tenant-provider' is the peer of 'tenant-net'"],
    ),
    "peer of two": (
        [("{name: tenant-net,", "{name: x, device: provider, peer: rack-net}\n"
          "  - {name: tenant-net,")],
        ["port 'x': peer: port 'rack-net' is the peer of 'net-rack'"],
    ),
    "peer of a second port": (
        [("device: rack, peer: net-rack}", "device: rack}"), ("{name: tenant-net,",
          "{name: x, device: provider, peer: rack-net}\n  - {name: tenant-net,")],
        ["port 'x': peer: port 'rack-net' is the peer of 'net-rack'"],
    ),
    "peer of an exterior port": (
        [("{name: tenant-net, device: tenant, peer: net-tenant",
          "{name: tenant-net, device: tenant, peer: vm1")],
        ["port 'tenant-net': peer: port 'vm1' has a host and an interface"],
    ),
    "loop of bridges": (
        [("- {name: rack-net", "- {name: n2, device: net, peer: r2}\n"
          "  - {name: r2, device: rack}\n  - {name: rack-net")],
        ["port 'n2': peer: the link to 'r2' closes a loop of bridges without a router"],
    ),
    "router to itself": (
        [("device: provider, peer: tenant-provider", "device: tenant, peer: tenant-provider"),
         ("- {router: provider, destination: 10.0.0.0/24, next_hop_port: provider-tenant,\n"
          "     next_hop_gateway: 169.254.0.1, weight: 5}", "")],
        ["port 'provider-tenant': peer: links router 'tenant' to itself"],
    ),
    # Addresses and keys.
    "router port without subnet": (
        [("169.254.0.1/30", "169.254.0.1")],
        ["port 'tenant-provider': addresses: '169.254.0.1' lacks its subnet, as in "
         "169.254.0.1/24",
         "route 'tenant 0.0.0.0/0 tenant-provider 169.254.0.2': next_hop_gateway: '169.254.0.2' "
         "is outside the subnet of port 'tenant-provider', 169.254.0.1/32"],
    ),
    "router port with the subnet's own address": (
        [("10.56.1.2/24", "10.56.1.0/24")],
        ["port 'uplink': addresses: '10.56.1.0/24' names its subnet, not a machine in it"],
    ),
    "machine outside its subnet": (
        [("[10.0.0.11, ", "[10.0.1.11, ")],
        ["port 'vm1': addresses: '10.0.1.11/32' is outside its subnet, 10.0.0.0/24"],
    ),
    "machine in another subnet": (
        [("10.0.0.12/24", "10.0.0.12/16")],
        ["port 'vm2': addresses: '10.0.0.12/16' is outside its subnet, 10.0.0.0/24"],
    ),
    "one address twice": (
        [("10.0.0.12/24", "10.0.0.11/24")],
        ["port 'vm2': addresses: '10.0.0.11' is already that of port 'vm1'"],
    ),
    "the router's address": (
        [("10.0.0.12/24", "10.0.0.1/24")],
        ["port 'tenant-net': addresses: '10.0.0.1' is already that of port 'vm2'"],
    ),
    "one MAC twice": (
        [("interface: tap2", 'interface: tap2, mac: "12:34:56:12:34:56"')],
        ["port 'vm2': mac: '12:34:56:12:34:56' is already that of port 'vm1'"],
    ),
    "one tunnel address twice": (
        [("172.31.0.21", "172.31.0.11")],
        ["host 'g1': tunnel_address: '172.31.0.11' is already that of host 'c1'"],
    ),
    "one tunnel key twice": (
        [("name: net\n", "{name: net, tunnel_key: 7}\n"),
         ("interface: tap2", "interface: tap2, tunnel_key: 7")],
        ["port 'vm2': tunnel_key: 7 is already that of bridge 'net'"],
    ),
    "machine behind a linked port": (
        [("device: net, peer: rack-net", "device: net, peer: rack-net, addresses: [10.0.0.9]")],
        ["port 'net-rack': addresses: states the machine behind the port, but the port is "
         "linked to another"],
    ),
    # MTUs.
    "MTU of a bridge's port": (
        [("{name: net-rack, device: net,", "{name: net-rack, device: net, mtu: 1500,")],
        ["port 'net-rack': mtu: 'net' is a bridge, which is not limited"],
    ),
    "MTU too small for IPv6": (
        [("peer: net-tenant,", "peer: net-tenant, mtu: 1279,")],
        ["port 'tenant-net': mtu: 1279 is less than IPv6's 1280"],
    ),
    "MTU that is none": (
        [("interface: eth1,", "interface: eth1, mtu: 67,")],
        ["port 'uplink': mtu: 67 is not right: expected int >= 68"],
    ),
    # Routes.
    "route without next hop": (
        [("next_hop_port: provider-tenant,\n     next_hop_gateway: 169.254.0.1, ", "")],
        ["route 'provider 10.0.0.0/24': next_hop_port: is missing; a normal route leaves by a "
         "port"],
    ),
    "blackhole with next hop": (
        [("type: blackhole", "type: blackhole, next_hop_port: uplink")],
        ["route 'provider 10.0.0.0/8 uplink blackhole': next_hop_port: a blackhole route leads "
         "nowhere"],
    ),
    "next hop of another router": (
        [("next_hop_port: tenant-provider,\n     next_hop_gateway: 169.254.0.2",
          "next_hop_port: uplink")],
        ["route 'tenant 0.0.0.0/0 uplink': next_hop_port: port 'uplink' is of 'provider', not "
         "of router 'tenant'"],
    ),
    "gateway outside": (
        [("next_hop_gateway: 169.254.0.2", "next_hop_gateway: 169.254.1.2")],
        ["route 'tenant 0.0.0.0/0 tenant-provider 169.254.1.2': next_hop_gateway: "
         "'169.254.1.2' is outside the subnet of port 'tenant-provider', 169.254.0.0/30"],
    ),
    "gateway is the port": (
        [("next_hop_gateway: 169.254.0.2", "next_hop_gateway: 169.254.0.1"),
         ("next_hop_gateway: 169.254.0.1, weight: 5", "next_hop_gateway: 169.254.0.1")],
        ["route 'tenant 0.0.0.0/0 tenant-provider 169.254.0.1': next_hop_gateway: "
         "'169.254.0.1' is the port's own address"],
    ),
    "mixed families": (
        [("destination: 0.0.0.0/0,", 'destination: "::/0", source: 10.0.0.0/8,')],
        ["route 'tenant ::/0 10.0.0.0/8 tenant-provider 169.254.0.2': source: '10.0.0.0/8' is "
         "IPv4, but the destination is IPv6",
         "route 'tenant ::/0 10.0.0.0/8 tenant-provider 169.254.0.2': next_hop_gateway: "
         "'169.254.0.2' is IPv4, but the destination is IPv6"],
    ),
    "one route twice": (
        [("type: blackhole}", "type: blackhole}\n  - {router: provider, name: again, "
          "destination: 10.0.0.0/8, type: blackhole}")],
        ["route 'again': destination: '10.0.0.0/8' by the same next hop is already that of "
         "route 'provider 10.0.0.0/8 blackhole'"],
    ),
    # Groups and BGP.
    "member twice": (
        [("[vm1, vm2]", "[vm1, vm1]")],
        ["port_group 'web': ports: names port 'vm1' more than once"],
    ),
    "BGP on an inner port": (
        [("port: uplink, address: 10.56.1.1", "port: provider-tenant, address: 169.254.0.1")],
        ["bgp_peer 'isp': port: port 'provider-tenant' is no uplink; an uplink is a router's "
         "port with a host"],
    ),
    "BGP peer outside": (
        [("address: 10.56.1.1", "address: 10.57.1.1")],
        ["bgp_peer 'isp': address: '10.57.1.1' is outside the subnet of port 'uplink', "
         "10.56.1.0/24"],
    ),
    "BGP without an AS": (
        [("{name: provider, asn: 65010}", "name: provider")],
        ["bgp_peer 'isp': port: router 'provider' has no asn to speak BGP for",
         "bgp_network 'provider 10.0.0.0/24': router: router 'provider' has no asn to speak BGP "
         "for"],
    ),
    "one BGP peer twice": (
        [("asn: 65100}", "asn: 65100}\n  - {name: isp2, port: uplink, address: 10.56.1.1, "
          "asn: 65100}")],
        ["bgp_peer 'isp2': address: '10.56.1.1' is already that of bgp_peer 'isp'"],
    ),
    "one network twice": (
        [("prefix: 10.0.0.0/24}", "prefix: 10.0.0.0/24}\n  - {router: provider, name: n, "
          "prefix: 10.0.0.0/24}")],
        ["bgp_network 'n': prefix: '10.0.0.0/24' is already that of bgp_network "
         "'provider 10.0.0.0/24'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("edits, expected", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_kind_object_and_field(
    edits: list[tuple[str, str]], expected: list[str]
) -> None:
    assert problems(SOUND, *edits) == expected


@pytest.mark.parametrize(
    "text, reason",
    [
        ("hosts: [", "is not YAML"),
        ("- hosts", "expected a mapping with hosts, address_groups"),
        ("hosts: {name: a}", "hosts: expected a list"),
        ("hosts: [a]", "host: number 1 is not a mapping of fields but 'a'"),
        ("hosts: []\nhosts: []", "'hosts' stands twice"),
        ("bridges: [{name: a, name: b}]", "'name' stands twice"),
        ("bridges: [{[a]: b}]", "is not YAML"),
        ("bridges: [&x {name: a, *x : 1}]", "is not YAML"),
        ("bridges: [{2: b, name: a}]", "bridge 'a': 2: unknown field"),
        ("bridges: [{name: 5}]", "bridge '#1': name: 5 is not right: expected str, got int"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_file_of_another_form_is_refused_in_words(text: str, reason: str) -> None:
    assert reason in "\n".join(problems(text))


def test_every_mistake_is_told_at_once() -> None:
    found = problems(SOUND, ("weight: 5", "weight: 0"), ("172.31.0.21", "x"), ("vm2]", "vm3]"))
    assert [line.split(":")[0] for line in found] == [
        "host 'c1'",
        "route '#2'",
        "port_group 'web'",
    ]


def test_what_was_made_in_python_is_checked_like_a_file() -> None:
    topology = Topology(bridges=(Bridge(name="a b", tunnel_key=-1),))
    assert [(p.name, p.field) for p in model.check(topology)] == [
        ("a b", "name"),
        ("a b", "tunnel_key"),
    ]


def test_a_link_may_be_stated_on_both_sides() -> None:
    assert not problems(
        SOUND,
        ("{name: net-tenant, device: net}", "{name: net-tenant, device: net, peer: tenant-net}"),
    )


def test_machines_of_one_address_in_two_networks_are_two_machines() -> None:
    ports = tuple(Port(name=f"p{n}", device=f"b{n}", addresses=("10.0.0.1",)) for n in (1, 2))
    bridges = (Bridge(name="b1"), Bridge(name="b2"))
    assert model.check(Topology(bridges=bridges, ports=ports)) == []


def test_mtus_of_ipv4_may_be_small_and_of_ipv6_at_least_1280() -> None:
    assert not problems(
        SOUND, ("eth1,", "eth1, mtu: 68,"), ("peer: net-tenant,", "peer: net-tenant, mtu: 1280,")
    )


def test_only_so_many_mtus_can_be_told_apart() -> None:
    def ports(*mtus: int) -> Topology:
        found = tuple(Port(name=f"p{n}", device="r", mtu=mtu) for n, mtu in enumerate(mtus))
        return Topology(routers=(Router(name="r"),), ports=found)

    most = range(1300, 1300 + MAX_LIMITS)
    assert model.check(ports(*most, 1300)) == []
    (problem,) = model.check(ports(1400, *most))
    assert (problem.name, problem.field) == ("p0", "mtu")
    assert problem.reason == "1400 is one too many: there are 16 different ones already"


def test_links_over_a_router_are_no_loop() -> None:
    ports = []
    for number in (1, 2):
        ports += [
            Port(name=f"b{number}", device="b", peer=f"r{number}"),
            Port(name=f"r{number}", device="r", addresses=(f"10.{number}.0.1/24",)),
        ]
    topology = Topology(bridges=(Bridge(name="b"),), routers=(Router(name="r"),))
    assert model.check(msgspec.structs.replace(topology, ports=tuple(ports))) == []


def test_keys_are_unique_and_stay_what_they_were() -> None:
    topology = Topology(
        bridges=tuple(Bridge(name=f"b{n}") for n in range(500)),
        ports=(Port(name="stated", device="b0", tunnel_key=7),),
    )
    keyed = model.assign_keys(topology)
    keys = {(r.KIND, r.name): r.tunnel_key for r in (*keyed.bridges, *keyed.ports)}
    assert len(set(keys.values())) == 501 and 0 not in keys.values()
    assert keys["port", "stated"] == 7
    fewer = msgspec.structs.replace(topology, bridges=topology.bridges[100:])
    again = model.assign_keys(fewer, taken=keys)
    assert all(keys["bridge", bridge.name] == bridge.tunnel_key for bridge in again.bridges)
    assert model.assign_keys(topology) == keyed


def test_a_stated_key_displaces_an_assigned_one() -> None:
    first = model.assign_keys(Topology(bridges=(Bridge(name="a"),)))
    key = first.bridges[0].tunnel_key
    second = Topology(bridges=(Bridge(name="a"), Bridge(name="b", tunnel_key=key)))
    a, b = model.assign_keys(second, taken={("bridge", "a"): key}).bridges
    assert b.tunnel_key == key != a.tunnel_key != 0


def test_nothing_gets_a_key_that_another_has() -> None:
    whole = Topology(bridges=(Bridge(name="new"),))
    key = model.assign_keys(whole).bridges[0].tunnel_key
    (new,) = model.assign_keys(whole, taken={("port", "elsewhere"): key}).bridges
    assert new.tunnel_key not in (0, key)


def test_a_router_port_has_a_mac_of_its_own() -> None:
    macs = {model.router_mac(Port(name=f"p{n}", device="r")) for n in range(100)}
    assert len(macs) == 100
    assert all(mac.startswith("02:") and len(mac) == 17 for mac in macs)
    assert model.router_mac(Port(name="p", device="r", mac="02:00:00:00:00:05")).endswith("05")


def test_the_difference_of_two_topologies_leads_from_one_to_the_other() -> None:
    old = model.load(SOUND)
    new = model.load(SOUND.replace("weight: 5", "weight: 6").replace("[vm1, vm2]", "[vm1]"))
    new = msgspec.structs.replace(new, bgp_peers=(), hosts=(*new.hosts, Host(
        name="c2", tunnel_address="172.31.0.22")))  # fmt: skip
    put, remove = model.diff(old, new)
    assert [resource.name for resource in put] == ["c2", new.routes[1].name, "web"]
    assert remove == [("bgp_peer", "isp")]
    assert model.diff(new, new) == ([], [])


def test_every_annotation_is_understood() -> None:
    for kind in (*model.KINDS.values(), *model.Part.__subclasses__()):
        for field in fields_of(kind):
            assert field.part or field.base in (str, int, bool, float), (kind, field)
            assert set(field.refs) <= set(model.KINDS)
            assert not field.check or field.check in CHECKS
    rule = {field.name for field in fields_of(model.Rule)}
    assert set(model.CONDITIONS) < rule
    port = {field.name: field for field in fields_of(Port)}
    assert port["addresses"].many and port["addresses"].check == "interface"
    assert port["device"].refs == ("bridge", "router") and port["device"].required
    assert port["peer"].optional and not port["peer"].required


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(SOUND)),
    st.integers(0, 12),
    st.text("[]{}:,-&*!|>'\"#%@ \n0a\x00é", max_size=6),
)
def test_any_text_is_read_or_refused(start: int, gone: int, added: str) -> None:
    text = SOUND[:start] + added + SOUND[start + gone :]
    try:
        topology = model.load(text)
    except ModelError as error:
        assert error.problems
    else:
        assert model.load(model.dump(topology)) == topology


def test_the_documented_file_is_sound() -> None:
    page = (pathlib.Path(__file__).parent.parent / "docs/topology.md").read_text()
    topology = model.load(page.split("```yaml\n")[1].split("```")[0])
    assert all(getattr(topology, kind.PLURAL) for kind in model.STATED)
    for kind in model.STATED:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{kind.PLURAL}`"))
        for field in fields_of(kind):
            if field.name in COMMON:
                continue
            assert field.name in row and (f"**{field.name}**" in row) is field.required
    assert all(f"`{name}`" in page for name in COMMON)
    rows = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("|"))
    assert all(field.name in rows for field in fields_of(model.Rule))
    of_groups = page.split("## Rules of security groups")[1]
    assert all(field.name in of_groups for field in fields_of(model.SecurityRule))
