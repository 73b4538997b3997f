"""The lab's plan: what nodes and wires follow from a topology."""

from __future__ import annotations

import msgspec
import pytest

from onehop.controller.cli.output import InputError
from onehop.engine import model
from onehop.lab.topo import generate, plan, with_gateway, without


def test_the_labs_own_topology_breaks_no_rule_of_the_model() -> None:
    assert model.check(generate(8, 3)) == []
    assert model.check(generate(200, 9)) == []


def test_a_plan_has_a_machine_for_each_compute_node_and_a_wire_for_each_gateway() -> None:
    found = plan(generate(8, 3))
    assert [m.name for m in found.machines] == [f"vm{n}" for n in range(1, 9)]
    assert [u.host for u in found.uplinks] == ["g1", "g2", "g3"]
    assert [h for h in found.hosts if not found.is_gateway(h)] == [f"c{n}" for n in range(1, 9)]


def test_machines_default_to_the_router_of_their_bridge_whichever_side_stated_the_link() -> None:
    stated = generate(1, 1)
    turned = [
        msgspec.structs.replace(
            p, peer={"net-to-tenant": None, "tenant-to-net": "net-to-tenant"}[p.name]
        )
        if p.name in ("net-to-tenant", "tenant-to-net")
        else p
        for p in stated.ports
    ]
    for topology in (stated, msgspec.structs.replace(stated, ports=tuple(turned))):
        assert plan(topology).machines[0].gateways == ("10.0.0.1", "fd00:10::1")


def test_machines_ask_for_the_addresses_that_a_subnet_has() -> None:
    stated = generate(1, 1)
    assert plan(stated).machines[0].leases == (4, 6)
    assert plan(msgspec.structs.replace(stated, subnets=stated.subnets[:1])).machines[
        0
    ].leases == (4,)
    assert plan(msgspec.structs.replace(stated, subnets=())).machines[0].leases == ()


def test_an_address_without_a_length_takes_that_of_its_subnet() -> None:
    stated = generate(1, 1)
    bare = [
        msgspec.structs.replace(p, addresses=("10.0.0.11",)) if p.name == "vm1" else p
        for p in stated.ports
    ]
    found = plan(msgspec.structs.replace(stated, ports=tuple(bare)))
    assert found.machines[0].addresses == ("10.0.0.11/24",)


def test_a_gateway_that_joins_and_leaves_leaves_the_topology_as_it_was() -> None:
    before = generate(2, 2)
    joined = with_gateway(before, 3)
    assert joined == generate(2, 3)
    assert without(joined, "g3") == before


def test_the_outside_reaches_machines_by_floating_ips_or_by_what_is_not_translated() -> None:
    stated = generate(3, 1)
    assert [m.public for m in plan(stated).machines] == ["192.0.2.1", None, "192.0.2.3"]
    plain = msgspec.structs.replace(stated, chains=(), floating_ips=())
    assert [m.public for m in plan(plain).machines] == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]


@pytest.mark.parametrize(("computes", "gateways"), [(0, 1), (201, 1), (1, 0), (1, 10)])
def test_sizes_that_the_addresses_do_not_reach_are_refused(computes: int, gateways: int) -> None:
    with pytest.raises(InputError, match="from 1 to"):
        generate(computes, gateways)


def test_a_host_whose_devices_could_not_be_named_is_refused() -> None:
    stated = generate(1, 1)
    host = msgspec.structs.replace(stated.hosts[0], name="a-very-long-name")
    with pytest.raises(InputError, match="10 characters"):
        plan(msgspec.structs.replace(stated, hosts=(*stated.hosts, host)))


def test_a_topology_without_machines_is_refused() -> None:
    with pytest.raises(InputError, match="no machine"):
        plan(model.Topology())


def test_a_machine_without_addresses_has_no_default_router() -> None:
    stated = generate(1, 1)
    silent = [
        msgspec.structs.replace(p, addresses=(), mac=None) if p.name == "vm1" else p
        for p in stated.ports
    ]
    found = plan(msgspec.structs.replace(stated, ports=tuple(silent)))
    assert found.machines[0].gateways == ()
