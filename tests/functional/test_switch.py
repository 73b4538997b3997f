"""The driver of Open vSwitch's database against a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from functional.nodes import Net, Node, Ovs, connected, settle, until

from onehop.controller.agent import switch, tunnels
from onehop.controller.agent.desired import Desired, Peer
from onehop.controller.agent.switch import PortState, Switch, SwitchPort

PORTS = (SwitchPort("v1", "port1"), SwitchPort("v2", "port2"))


@pytest.fixture
def node(net: Net) -> Node:
    node = net.node("sw")
    for device in ("v1", "v2"):
        node.ip("link", "add", device, "type", "veth", "peer", "name", f"{device}-far")
        node.ip("link", "set", device, "up")
        node.ip("link", "set", f"{device}-far", "up")
    return node


@pytest.fixture
def ovs(net: Net, node: Node) -> Ovs:
    return net.switch(node)


@pytest.fixture
def driver(ovs: Ovs) -> Iterator[Switch]:
    with connected(ovs) as driver:
        yield driver


def report(driver: Switch, device: str) -> PortState:
    """The next report on a device."""
    found: list[PortState] = []

    def reported() -> bool:
        found.extend(state for state in driver.run() if state.device == device)
        return bool(found)

    until(reported, f"news of {device}")
    return found[0]


def test_bridge_is_made_as_it_must_be(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile([])
    settle(driver)
    get = ("get", "bridge", "br-int")
    columns = ("fail_mode", "datapath_type", "protocols", "other_config:disable-in-band")
    assert ovs.vsctl(*get, *columns).split() == ["secure", "netdev", "[OpenFlow13]", '"true"']
    assert ovs.vsctl("get-controller", "br-int") == "tcp:127.0.0.1:6653"


def test_plugged_devices_get_numbers_and_unplugged_ones_are_reported(
    ovs: Ovs, driver: Switch
) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    assert {s.device: s.owner for s in driver.ports.values()} == {"v1": "port1", "v2": "port2"}
    assert all(state.ofport and state.link_up for state in driver.ports.values())
    driver.reconcile(PORTS[:1])
    assert report(driver, "v2").ofport == 0
    settle(driver)
    assert ovs.vsctl("list-ports", "br-int").split() == ["v1"]


def test_device_that_comes_later_is_reported_then(node: Node, driver: Switch) -> None:
    driver.reconcile([SwitchPort("later", "port3")])
    settle(driver)
    assert "No such device" in driver.ports["later"].error
    node.ip("link", "add", "later", "type", "veth", "peer", "name", "later-far")
    until(lambda: driver.run() is not None and driver.ports["later"].ofport, "numbered")
    assert driver.ports["later"].error == ""


def test_lost_carrier_is_reported(node: Node, driver: Switch) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    node.ip("link", "set", "v1-far", "down")
    assert report(driver, "v1").link_up is False
    node.ip("link", "set", "v1-far", "up")
    assert report(driver, "v1").link_up is True


def test_ports_of_others_stay(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile(PORTS[:1])
    settle(driver)
    ovs.vsctl("add-port", "br-int", "v2")
    driver.reconcile([])
    settle(driver)
    assert ovs.vsctl("list-ports", "br-int").split() == ["v2"]


def test_what_others_change_is_put_right(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    ovs.vsctl("del-port", "br-int", "v1", "--", "set-fail-mode", "br-int", "standalone")

    def right() -> bool:
        driver.run()
        return ovs.number("v1") > 0 and ovs.vsctl("get-fail-mode", "br-int") == "secure"

    until(right, "port and fail mode restored")


def test_next_driver_finds_everything_and_changes_nothing(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    before = {device: ovs.number(device) for device in ("v1", "v2")}
    driver.close()
    with connected(ovs) as successor:
        successor.reconcile(PORTS)
        settle(successor)
        assert {s.device: s.ofport for s in successor.ports.values()} == before


def test_restarted_switch_is_driven_again(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    ovs.stop()
    until(lambda: driver.run() == [] and not driver.connected, "loss noticed")
    driver.reconcile(PORTS[:1])
    ovs.start()
    settle(driver)
    assert list(driver.ports) == ["v1"]


def test_state_written_once_for_a_new_port_is_left_alone_later(ovs: Ovs, driver: Switch) -> None:
    desired = Desired(
        host="a", tunnel_address="127.0.0.1", watched=(Peer("b", "127.0.0.2", True),)
    )
    silent = tunnels.ports(desired, serving=None)
    key = ("get", "interface", "bfd-b", "bfd:cpath_down")
    driver.reconcile(silent)
    settle(driver)
    assert ovs.vsctl(*key) == '"true"'
    driver.reconcile(tunnels.ports(desired, serving=True))
    settle(driver)
    driver.reconcile(silent)
    settle(driver)
    assert ovs.vsctl(*key) == '"false"'


def test_removed_bridge_is_gone_and_removing_again_is_no_error(ovs: Ovs, driver: Switch) -> None:
    driver.reconcile(PORTS)
    settle(driver)
    driver.close()
    for _ in range(2):
        switch.remove_bridge(ovs.remote)
        assert ovs.vsctl("list-br") == ""


def test_long_and_odd_names_make_devices_that_linux_accepts() -> None:
    names = ["g1", "a-very-long-host-name", "rack/2", "0a1b2c3d", "host.example"]
    devices = [switch.device_name("bfd-", name) for name in names]
    assert devices[0] == "bfd-g1"
    assert all(len(device) <= 15 and "/" not in device for device in devices)
    assert len(set(devices)) == len(names)
