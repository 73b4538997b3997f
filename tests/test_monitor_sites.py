"""Where members are asked from: what follows from the topology, the same on every host."""

from __future__ import annotations

from ipaddress import ip_interface

import msgspec
import pytest
from mistakes import Edit, problems

from onehop.engine import model
from onehop.engine.model.monitors import FREE, NETWORKS, Site, sites

WELL = model.HealthMonitor(name="well")


def balanced(router: str, pool: str = "web", address: str = "10.0.0.1") -> list[model.Resource]:
    """A pool with a monitor and one member, behind a VIP of `router`."""
    return [
        WELL,
        model.Pool(name=pool, monitor="well"),
        model.PoolMember(name=f"{pool}1", pool=pool, address=address, port=80),
        model.Vip(name=f"{router} {pool}", router=router, address="203.0.113.80", port=80,
                  pool=pool),
    ]  # fmt: skip


def site(*rows: model.Resource) -> Site:
    (found,) = sites(rows)
    return found


def test_a_pool_without_monitor_or_vip_is_asked_from_nowhere() -> None:
    rows = balanced("r1")
    assert [s.router for s in sites(rows)] == ["r1"]
    assert not sites(rows[:3])
    assert not sites([*rows, model.Pool(name="web")])


def test_a_pool_at_two_routers_is_asked_from_one() -> None:
    assert [s.router for s in sites([*balanced("r2"), *balanced("r1")])] == ["r1"]


def test_all_pools_of_a_router_are_asked_from_one_place() -> None:
    found = site(*balanced("r1", "web"), *balanced("r1", "mail", "fd00::1"))
    assert [(m.name, w) for m, w in found.members] == [("mail1", WELL), ("web1", WELL)]
    assert [ip_interface(a).version for a in found.addresses(2)] == [4, 6]


def test_places_do_not_depend_on_the_order_and_nobody_shares_one() -> None:
    rows = [row for n in range(300) for row in balanced(f"r{n}", f"p{n}")]
    found = sites(rows)
    assert found == sites(reversed(rows))
    subnets = {ip_interface(s.addresses(1)[0]).network for s in found}
    assert len(subnets) == len({s.place for s in found}) == 300
    keys = {key for s in found for r in s.resources("c1", "tap") if (key := key_of(r))}
    assert len(keys) == 600 and min(keys) > model.MAX_KEY and max(keys) < 1 << 24


def key_of(resource: model.Resource) -> int:
    return int(getattr(resource, "tunnel_key", 0))


@pytest.mark.parametrize("place", [FREE[0], FREE[-1]])
def test_the_first_and_the_last_place_are_inside(place: int) -> None:
    rows = [*balanced("r1"), *balanced("r1", "six", "fd00::1")]
    there = [ip_interface(a) for a in site(*rows)._replace(place=place).addresses(2)]
    assert all(own.ip in network for own, network in zip(there, NETWORKS, strict=True))
    assert str(there[0].ip) not in ("169.254.0.2", "169.254.255.254")


def test_no_place_is_that_of_the_metadata_service() -> None:
    assert not any(
        "169.254.169.254" in s for place in FREE for s in Site("r", place, MEMBERS).addresses(2)
    )


MEMBERS = ((model.PoolMember(name="m", pool="p", address="10.0.0.1", port=80), WELL),)


def test_the_monitor_is_a_machine_on_a_bridge_of_its_own() -> None:
    found = site(*balanced("r1"))
    bridge, inside, outside, port = found.resources("c2", "mon-1")
    assert bridge.name == "monitor r1" and inside.name == outside.peer  # type: ignore[attr-defined]
    assert (port.host, port.interface) == ("c2", "mon-1")  # type: ignore[attr-defined]
    assert port.mac == found.mac and port.addresses == found.addresses(2)  # type: ignore[attr-defined]


def test_nothing_stated_has_such_a_name() -> None:
    raw = msgspec.to_builtins(model.Bridge(name="n"))
    assert problems(f"bridges: [{ {**raw, 'name': 'monitor r1'} }]")


TOPOLOGY = """
bridges: [{name: net}]
routers: [{name: edge}, {name: other}]
ports:
  - {name: net-edge, device: net}
  - {name: edge-net, device: edge, peer: net-edge, addresses: [10.0.0.1/24]}
  - {name: up, device: edge, addresses: [169.253.0.1/24]}
health_monitors: [{name: well}]
pools: [{name: web, monitor: well}]
pool_members: [{name: web1, pool: web, address: 10.0.0.11, port: 80}]
vips: [{name: www, router: edge, address: 198.51.100.80, port: 80, pool: web}]
"""
UP = "device: edge, addresses: [169.253.0.1/24]"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ((UP, UP), []),
        ((UP, UP.replace("edge", "other").replace("253", "254")), []),
        (
            (UP, UP.replace("253", "254")),
            ["port 'up': addresses: '169.254.0.1/24' is in 169.254.0.0/16, where health monitors"
             " of router 'edge' are"],
        ),
        (
            (UP, UP.replace("169.253.0.1/24", '"fd6f:6e65:686f:1::1/64"')),
            ["port 'up': addresses: 'fd6f:6e65:686f:1::1/64' is in fd6f:6e65:686f::/48, where"
             " health monitors of router 'edge' are"],
        ),
    ],
)  # fmt: skip
def test_monitors_need_their_addresses_for_themselves(edit: Edit, expected: list[str]) -> None:
    assert problems(TOPOLOGY, edit) == expected
