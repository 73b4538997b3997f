"""What is running: the record that `lab up` leaves in the lab's directory for every later command.

1. The record is written whole, by rename, so a reader never sees half of one.
2. A process is known by its id and its start time: a reused id is nobody's.
3. Everything that the lab starts carries `MARK` in its environment, so that it can be found
   again after any crash, without this record and without guessing by name.
"""

from __future__ import annotations

import os
import pathlib
from typing import Literal

import msgspec

from onehop.controller.cli.output import CommandError

DIRECTORY = pathlib.Path(os.environ.get("ONEHOP_LAB_DIR", "/run/onehop-lab"))
MARK = "ONEHOP_LAB"  # its value: the lab's directory
SERVICE = "ONEHOP_LAB_SERVICE"  # its value: the node whose switch, agent or FRR the process is

Role = Literal["underlay", "isp", "outside", "client", "machine", "compute", "gateway"]


class LabError(CommandError):
    """Something a user can understand and mend: shown in one line, without a traceback."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures are measured on."""

    datapath: Literal["netdev", "system"]  # "system": the kernel's Open vSwitch module
    cores: int
    kernel: str
    openvswitch: str
    frr: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the lab was brought up."""

    computes: int = 8
    gateways: int = 3
    uplink_mbit: int = 300
    mtu: int = 8900  # of the machines; the underlay's is 100 bytes more
    file: str | None = None  # a topology of the user's own


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """One Mininet node: a network and mount namespace that its first process keeps alive."""

    name: str
    role: Role
    pid: int
    started: int  # in clock ticks since boot, from /proc/PID/stat
    directory: str  # its files: OVS's, the agent's, logs
    interface: str = ""  # the device that faces its network
    addresses: tuple[str, ...] = ()  # on that device, "10.0.0.11/24"
    host: str = ""  # of a machine: the compute node that it lives on


class LabState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lab."""

    options: Options
    platform: Platform
    holder_pid: int
    holder_started: int
    store: str  # where the agents find the store
    topology: str  # the topology file that was applied
    nodes: dict[str, NodeState]
    ready: bool = False  # every machine has reached the outside through every gateway


def path(directory: pathlib.Path = DIRECTORY) -> pathlib.Path:
    return directory / "lab.json"


def load(directory: pathlib.Path = DIRECTORY) -> LabState | None:
    """The record of the lab in `directory`, or None where there is none that can be read."""
    try:
        return msgspec.json.decode(path(directory).read_bytes(), type=LabState)
    except (OSError, msgspec.MsgspecError):
        return None


def save(state: LabState, directory: pathlib.Path = DIRECTORY) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    partial = path(directory).with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    partial.rename(path(directory))


def started(pid: int) -> int | None:
    """When process `pid` started, or None where there is no such process."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])  # proc(5): field 22, after the name


def alive(pid: int, since: int) -> bool:
    return started(pid) == since


def marked(variable: str, value: str) -> list[int]:
    """The processes that were started with `variable` set to `value`, oldest first."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and wanted in environment(int(entry.name)):
            found.append(int(entry.name))
    return sorted(found)


def environment(pid: int) -> list[bytes]:
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
