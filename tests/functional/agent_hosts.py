"""Hosts with an agent each, around one store: everything real, each in its own namespace."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from functional.nodes import Net, Node, link

from onehop.controller.agent import namespaces
from onehop.controller.store import server

DEADLINE_S = 60.0  # a start of everything takes three seconds on an idle machine
ONEHOP = str(Path(sys.executable).with_name("onehop"))


def eventually(condition: Callable[[], object], what: str, seconds: float = DEADLINE_S) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


class World:
    """A store, and an underlay that hosts are plugged into."""

    def __init__(self, net: Net, stack: contextlib.ExitStack) -> None:
        self.net = net
        self.stack = stack
        self.store = f"unix:{net.folder}/store.sock"
        self.start_store()
        stack.callback(self.stop_store)
        self.underlay = net.node("wires")
        self.underlay.ip("link", "add", "br0", "type", "bridge")
        self.underlay.ip("link", "set", "br0", "up")

    def start_store(self) -> None:
        server.start(self.net.folder / "store", [self.store])

    def stop_store(self) -> None:
        server.stop(self.net.folder / "store")

    def apply(self, text: str) -> None:
        path = self.net.folder / "topology.yaml"
        path.write_text(text)
        subprocess.run([ONEHOP, "apply", "-f", str(path), "--store", self.store], check=True)

    def onehop(self, *words: str) -> str:
        """What a command says that takes a store."""
        command = [ONEHOP, *words, "--store", self.store]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def host(self, name: str, address: str) -> Host:
        return Host(self, name, address)

    def plug(self, node: Node, device: str) -> None:
        """Give `node` a device in the underlay."""
        end = self.wire_of(node, device)
        link(self.underlay, end, node, device)
        self.underlay.ip("link", "set", end, "master", "br0")

    @staticmethod
    def wire_of(node: Node, device: str) -> str:
        """The underlay's end of it."""
        return f"{node.name[-10:]}-{device}"[-15:]


class Host:
    """A node with a switch and an agent."""

    def __init__(self, world: World, name: str, address: str) -> None:
        self.name = name
        self._world = world
        self.node = world.net.node(name)
        world.plug(self.node, "eth0")
        self.ovs = world.net.switch(self.node)
        self._address = address
        self._boot()
        self.run_dir = world.net.folder / f"run-{name}"
        self._log: IO[str] | None = None
        self._agent: subprocess.Popen[bytes] | None = None
        world.stack.callback(self.clean)

    def _boot(self) -> None:
        """The underlay's end, in the userspace datapath."""
        self.ovs.vsctl("--may-exist", "add-br", "br-phy", "--", "set", "bridge", "br-phy",
                       "datapath_type=netdev", "--", "--may-exist", "add-port", "br-phy",
                       "eth0")  # fmt: skip
        self.node.ip("address", "replace", f"{self._address}/24", "dev", "br-phy")
        self.node.ip("link", "set", "br-phy", "up")

    def start_agent(self, token: Path | None = None, *options: str) -> None:
        command = [ONEHOP, "agent", "--host", self.name, "--store", self._world.store]
        command += ["--tunnel-address", self._address]
        command += ["--ovsdb", self.ovs.remote, "--run-dir", str(self.run_dir)]
        if token:
            command += ["--peer-token-file", str(token)]
        command += options
        self.run_dir.mkdir(exist_ok=True)
        with (self._world.net.folder / f"{self.name}.log").open("a") as log:
            self._agent = subprocess.Popen(
                # `ip netns exec` would give each agent mounts of its own, and hide FRR's
                # namespace from the next one.
                ["nsenter", f"--net={namespaces.ROOT}/{self.node.name}", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "OVS_RUNDIR": self.ovs.remote.removeprefix("unix:")[:-8]},
            )  # fmt: skip

    def kill_agent(self) -> None:
        if self._agent:
            self._agent.send_signal(signal.SIGKILL)
            self._agent.wait()
            self._agent = None

    def kill(self) -> None:
        """The machine stops: all that runs here ends at once."""
        for pid in namespaces.run("ip", "netns", "pids", self.node.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for place in (self.run_dir / "frr").glob("*/*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(place.read_text()), signal.SIGKILL)
        if self._agent:
            self._agent.wait()
            self._agent = None

    @contextlib.contextmanager
    def stopped_agent(self) -> Iterator[None]:
        """The agent is there, and does nothing."""
        assert self._agent
        self._agent.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._agent.send_signal(signal.SIGCONT)

    def reboot(self, token: Path | None = None) -> None:
        """The machine boots: its switch starts without the bridge of the last time."""
        self.ovs.start("--if-exists", "del-br", "br-int")
        self._boot()
        self.start_agent(token)

    def clean(self) -> None:
        """Remove what the agent made."""
        self.kill_agent()
        options = ["--host", self.name, "--ovsdb", self.ovs.remote, "--run-dir", str(self.run_dir)]
        where = f"--net={namespaces.ROOT}/{self.node.name}"
        subprocess.run(["nsenter", where, ONEHOP, "agent", "clean", *options], check=True)

    def status(self) -> dict[str, Any]:
        """What the agent says about itself; nothing where it does not answer."""
        try:
            with namespaces.entered(self.node.name):
                connection = http.client.HTTPConnection("127.0.0.1", 9273, timeout=5)
                connection.connect()
            with contextlib.closing(connection):
                connection.request("GET", "/status")
                found: dict[str, Any] = json.loads(connection.getresponse().read())
                return found
        except OSError:
            return {}

    def live(self) -> bool:
        assert self._agent is None or self._agent.poll() is None, self.log()
        return bool(self.status().get("live"))

    def log(self) -> str:
        return (self._world.net.folder / f"{self.name}.log").read_text()

    def machine(self, name: str, device: str, mac: str, *addresses: str) -> Node:
        """A machine of a tenant, behind `device` of this host."""
        node = self._world.net.node(name)
        link(self.node, device, node, "eth0")
        node.ip("link", "set", "eth0", "address", mac)
        node.ip("link", "set", "lo", "up")
        for address in addresses:
            node.ip(
                "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else [])
            )
        return node


class Ping:
    """A ping that goes on until it is stopped."""

    def __init__(self, node: Node, address: str, interval_s: float = 0.01) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", node.name, "ping", "-n", "-i", str(interval_s), address],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def stop(self) -> set[int]:
        """The packets that got no answer, of those sent before the last one that got one."""
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=10)
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", said)}
        assert answered, said
        return set(range(1, max(answered))) - answered


def pings(node: Node, address: str) -> bool:
    """Whether one ping is answered within a second."""
    command = ["ip", "netns", "exec", node.name, "ping", "-n", "-c1", "-W1", address]
    return subprocess.run(command, capture_output=True).returncode == 0
