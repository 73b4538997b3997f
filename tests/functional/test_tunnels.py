"""Tunnel ports and BFD between two real switches."""

from __future__ import annotations

import signal
from collections.abc import Callable

from functional.nodes import Net, Ovs, connected, settle, until

from onehop.controller.agent import tunnels
from onehop.controller.agent.desired import Desired, Peer


def two_hosts(net: Net) -> list[tuple[Ovs, Desired]]:
    """Two switches on one wire, each with the other as a watched peer."""
    nodes = [net.node("a"), net.node("b")]
    nodes[0].ip("link", "add", "u0", "type", "veth", "peer", "name", "u0", "netns", nodes[1].name)
    made = []
    for number, node in enumerate(nodes):
        ovs = net.switch(node)
        ovs.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev")
        ovs.vsctl("add-port", "br-phy", "u0")
        node.ip("link", "set", "u0", "up")
        node.ip("addr", "add", f"172.31.0.{number + 1}/24", "dev", "br-phy")
        node.ip("link", "set", "br-phy", "up")
        far = Peer("ba"[number], f"172.31.0.{2 - number}", gateway=True)
        own = Desired("ab"[number], f"172.31.0.{number + 1}", peers=(far,), watched=(far,))
        made.append((ovs, own))
    return made


def test_bfd_sees_a_far_host_start_serving_stop_and_come_back(net: Net) -> None:
    (ovs_a, a), (ovs_b, b) = two_hosts(net)
    with connected(ovs_a) as driver_a, connected(ovs_b) as driver_b:
        driver_a.reconcile(tunnels.ports(a))
        driver_b.reconcile(tunnels.ports(b, serving=False))
        settle(driver_a)
        settle(driver_b)

        def sees(*, up: bool) -> Callable[[], bool]:
            def check() -> bool:
                driver_a.run()
                return driver_a.ports["bfd-b"].bfd_up is up

            return check

        state = ("get", "interface", "bfd-b", "bfd_status:state")
        until(lambda: ovs_a.vsctl(*state) == "up", "session up")
        until(sees(up=False), "a host that does not serve counts as down")
        driver_b.reconcile(tunnels.ports(b, serving=True))
        settle(driver_b)
        until(sees(up=True), "serving")
        ovs_b.signal("ovs-vswitchd", signal.SIGSTOP)
        until(sees(up=False), "frozen")
        ovs_b.signal("ovs-vswitchd", signal.SIGCONT)
        until(sees(up=True), "back")
