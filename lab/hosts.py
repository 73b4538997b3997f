"""A host of the lab: a node with its own Open vSwitch and its own agent process.

The node's mount namespace has its own /run/openvswitch, /run/onehop and /run/netns, so every
tool finds the node's own switch where it is always found: `onehop lab exec c1 ovs-vsctl show`.

1. `boot` is what a machine's start does, over whatever an earlier life left on its disk
   (OVS's database). It may be called again at any time.
2. The lab makes br-phy (the underlay); br-int and all in it is the agent's.
"""

from __future__ import annotations

import http.client
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
from typing import Any

import msgspec

from onehop.lab.nodes import Node
from onehop.lab.processes import environment, services, spawn
from onehop.lab.state import LabError, LabState, NodeState

UNDERLAY_DEVICE = "underlay"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
METRICS = ("127.0.0.1", 9273)
PEER_TOKEN = "peer-token"  # in the lab's directory: what its agents know each other by


class Host(Node):
    """A compute or gateway node."""

    def __init__(self, lab: LabState, state: NodeState) -> None:
        super().__init__(state)
        self.options, self.platform, self.store = lab.options, lab.platform, lab.store

    @property
    def tunnel_address(self) -> str:
        return self.address

    def boot(self) -> None:
        """Start OVS and put the underlay's address in place."""
        database = self.directory / "ovs" / "conf.db"
        if not database.exists():
            subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True)
        self.sh(BOOT + (NETDEV if self.platform.datapath == "netdev" else SYSTEM).format(
            device=UNDERLAY_DEVICE,
            address=shlex.quote(self.state.addresses[0]),
            mtu=self.options.mtu + 100,
        ), service=self.name)  # fmt: skip

    def start_agent(self) -> int:
        """Start the host's agent; its process id. It is not ready yet (see `agent_status`)."""
        # With a dozen agents on two cores, one that starts must not hold up what is forwarded.
        agent = ["nice", "-n", "5", onehop(), "agent", "--host", self.name, "--store", self.store]
        agent += ["--datapath", self.platform.datapath]
        agent += ["--peer-token-file", str(self.directory.parent / PEER_TOKEN)]
        agent += ["--questions-dir", str(agents_folder(self.directory.parent))]
        log = self.directory / "agent.log"
        return spawn(self.command(agent), log=log, service=self.name)

    def agent_pids(self) -> list[int]:
        """The agent's processes."""
        return [pid for pid in services(self.name) if _is_agent(pid)]

    def agent_status(self) -> dict[str, Any] | None:
        """What the agent says about itself, or None where it does not answer."""
        try:
            with self.socket() as connection:
                connection.settimeout(2.0)
                connection.connect(METRICS)
                return _get(connection, "/status")
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            return None


def agents_folder(lab: pathlib.Path) -> pathlib.Path:
    """Where the lab's agents are asked."""
    return lab / "agents"


def onehop() -> str:
    """The command line of this very installation."""
    beside = os.path.join(os.path.dirname(sys.executable), "onehop")
    return beside if os.path.exists(beside) else shutil.which("onehop") or "onehop"


def _get(connection: socket.socket, path: str) -> dict[str, Any]:
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"
    connection.sendall(request.encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(response.status)
    found: dict[str, Any] = msgspec.json.decode(response.read())
    return found


def _is_agent(pid: int) -> bool:
    """Whether it is the command line that becomes ryu-manager, or ryu-manager already."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"onehop.controller.agent" in words or b"agent" in words


# A process that was killed leaves its pid file; the database's lock went with the process.
# br-int goes, or its BFD would tell the other hosts that this one forwards, before it can:
# the agent makes it again. ovs-ctl has --delete-bridges for it, and a higher priority, which is
# good for one switch on a machine: many of them would starve the kernel's own network threads.
BOOT = """
cd /run/openvswitch
export OVS_RUNDIR=/run/openvswitch
rm -f ./*.pid ./*.ctl db.sock
ovsdb-server conf.db --remote=punix:db.sock --pidfile --detach --no-chdir \
  --log-file=ovsdb-server.log -vconsole:off
ovs-vsctl --no-wait init -- --if-exists del-br br-int
ovs-vswitchd unix:db.sock --pidfile --detach --no-chdir \
  --log-file=ovs-vswitchd.log -vconsole:off
"""
# The userspace datapath sends its tunnels through br-phy, which holds the address.
NETDEV = """
ovs-vsctl --may-exist add-br br-phy -- set bridge br-phy datapath_type=netdev \
  -- --may-exist add-port br-phy {device} -- set interface {device} mtu_request={mtu} \
  -- set interface br-phy mtu_request={mtu}
ip address replace {address} dev br-phy
ip link set br-phy mtu {mtu} up
"""
SYSTEM = """
ip address replace {address} dev {device}
"""


def command_line(arguments: list[str], *before: str, service: str = "") -> str:
    """Run `onehop` as a user would: what it says; a failure is a LabError."""
    command = [*before, onehop(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(service))
    if done.returncode:
        raise LabError(done.stderr.strip() or f"{' '.join(command)}: failed")
    return done.stdout
