"""Real parts for functional tests: namespaces, wires, Open vSwitch, FRR; each removes its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import eventlet

from onehop.controller.agent import namespaces
from onehop.controller.agent.desired import StaticFlow
from onehop.controller.agent.frr import Frr
from onehop.controller.agent.frr_config import Config
from onehop.controller.agent.switch import PortState, Switch

DEADLINE_S = 20.0
FIELD_NAMES = {"eth_type": "dl_type", "ip_proto": "nw_proto", "ipv4_dst": "nw_dst"}


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_S) -> None:
    """Wait, green, until something is so."""
    with eventlet.Timeout(seconds, AssertionError(f"not within {seconds:.0f} s: {what}")):
        while not condition():
            eventlet.sleep(0.01)


class Net:
    """The namespaces and the folder of one test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oh-")))
        self.folder.chmod(0o755)  # FRR's own user enters

    def node(self, name: str) -> Node:
        node = Node(f"oh{os.getpid()}-{name}")
        self._stack.callback(node.remove)
        return node

    def switch(self, node: Node) -> Ovs:
        ovs = Ovs(node, self.folder / node.name)
        self._stack.callback(ovs.stop)
        return ovs

    def router(self, node: Node, config: Config) -> Frr:
        frr = Frr(node.name, self.folder / f"{node.name}-frr")
        self._stack.callback(frr.stop)
        frr.start()
        frr.configure(config)
        return frr

    @contextlib.contextmanager
    def inside(self, node: Node) -> Iterator[None]:
        """Make this process, and what it starts, a part of the node."""
        with namespaces.entered(node.name):
            yield


class Node:
    """A network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        namespaces.create(name)

    def run(self, *command: str) -> str:
        return namespaces.within(self.name, *command)

    def ip(self, *arguments: str) -> str:
        return namespaces.run("ip", "-n", self.name, *arguments)

    def routes(self, family: str = "-4") -> set[str]:
        """The destinations that BGP taught this node's kernel."""
        found = json.loads(self.ip("-json", family, "route", "show", "proto", "bgp") or "[]")
        return {route["dst"] for route in found}

    def remove(self) -> None:
        for pid in namespaces.run("ip", "netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        namespaces.remove(self.name)


def link(a: Node, a_device: str, b: Node, b_device: str) -> None:
    """A pair of devices, both up, without the offloads that a userspace switch cannot bear."""
    peer = ("peer", "name", b_device, "netns", b.name)
    a.ip("link", "add", a_device, "type", "veth", *peer)
    for node, device in ((a, a_device), (b, b_device)):
        node.run("ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off")
        node.ip("link", "set", device, "up")


class Wire:
    """A link between two devices that can lose its packets, or its carrier, in the middle."""

    def __init__(self, middle: Node, a: Node, a_device: str, b: Node, b_device: str) -> None:
        self._middle = middle
        self._ends = [f"{a_device}-a", f"{b_device}-b"]
        self._bridge = f"br-{a_device}"
        middle.ip("link", "add", self._bridge, "type", "bridge", "mcast_snooping", "0")
        middle.ip("link", "set", self._bridge, "up")
        for end, node, device in zip(self._ends, (a, b), (a_device, b_device), strict=True):
            link(middle, end, node, device)
            middle.ip("link", "set", end, "master", self._bridge)

    def silent(self, *, lost: bool) -> None:
        for end in self._ends:
            self._middle.run("bridge", "link", "set", "dev", end, "state", "0" if lost else "3")

    def carrier(self, *, up: bool) -> None:
        for end in self._ends:
            self._middle.ip("link", "set", end, "up" if up else "down")


class Ovs:
    """An Open vSwitch of a node, with a database of its own."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self.folder = folder
        self.remote = f"unix:{folder}/db.sock"
        folder.mkdir(exist_ok=True)
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        namespaces.run("ovsdb-tool", "create", f"{folder}/conf.db", schema)
        self.start()

    def start(self, *first: str) -> None:
        """Start both daemons; `first` is done to the database in between, as ovs-vsctl says it."""
        remote = f"--remote=p{self.remote}"
        self._daemon("ovsdb-server", f"{self.folder}/conf.db", remote)
        if first:
            self.vsctl("--no-wait", *first)
        self._daemon("ovs-vswitchd", self.remote, f"--unixctl={self.folder}/vswitchd.ctl")

    def stop(self) -> None:
        for name in ("ovs-vswitchd", "ovsdb-server"):
            self.signal(name, signal.SIGKILL)

    def signal(self, name: str, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / f"{name}.pid").read_text()), number)

    def vsctl(self, *arguments: str) -> str:
        return namespaces.run("ovs-vsctl", "--timeout=5", f"--db={self.remote}", *arguments)

    def ofctl(self, command: str, bridge: str, *arguments: str, text: str = "") -> str:
        management = f"unix:{self.folder}/{bridge}.mgmt"
        options = ("ovs-ofctl", "-O", "OpenFlow13", command, management)
        return namespaces.run(*options, *arguments, text=text)

    def appctl(self, *arguments: str) -> str:
        return namespaces.run("ovs-appctl", "-t", f"{self.folder}/vswitchd.ctl", *arguments)

    def add_flows(self, flows: list[StaticFlow], bridge: str = "br-int") -> None:
        self.ofctl("add-flows", bridge, "-", text="\n".join(map(_line, flows)))

    def number(self, device: str) -> int:
        """The OpenFlow number of a device; 0: none."""
        return max(0, int(self.vsctl("get", "interface", device, "ofport").strip("[]") or 0))

    def _daemon(self, name: str, *arguments: str) -> None:
        files = (f"--pidfile={self.folder}/{name}.pid", f"--log-file={self.folder}/{name}.log")
        command = ["ip", "netns", "exec", self._node.name, name, *arguments, *files, "--detach"]
        environment = {**os.environ, "OVS_RUNDIR": str(self.folder)}
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def connected(ovs: Ovs) -> Iterator[Switch]:
    driver = Switch(ovs.remote, datapath="netdev", controller="tcp:127.0.0.1:6653")
    with contextlib.closing(driver):
        yield driver


def settle(driver: Switch) -> list[PortState]:
    """Run until all is done; what was reported meanwhile."""
    reported: list[PortState] = []

    def done() -> bool:
        reported.extend(driver.run())
        return driver.settled

    until(done, "settled")
    return reported


def _line(flow: StaticFlow) -> str:
    """A flow as ovs-ofctl reads it."""
    match = [f"{FIELD_NAMES.get(name, name)}={value}" for name, value in flow.match]
    actions = [f"{a[0]}:{a[1] if len(a) > 1 else 65535}" for a in flow.actions]
    return ",".join([f"priority={flow.priority}", *match, f"actions={','.join(actions)}"])
