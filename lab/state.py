"""What is running: the record that `lab up` leaves in the lab's directory for every later command.

The record is written whole, by rename, so a reader never sees half of one.
"""

from __future__ import annotations

import os
import pathlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from onehop.controller.cli.output import CommandError

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
    uplink_mbit: Annotated[int, Meta(ge=1, le=100_000)] = 250
    # Of the machines; the underlay's is 100 bytes more. At least what IPv6 asks for (RFC 8200).
    mtu: Annotated[int, Meta(ge=1280, le=9400)] = 8900
    file: str | None = None  # a topology of the user's own
    store: Annotated[int, Meta(ge=1, le=5)] = 1  # servers; several are a cluster


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


def home() -> pathlib.Path:
    """Where the lab keeps everything that it writes; two labs need two of them."""
    return pathlib.Path(os.environ.get("ONEHOP_LAB_DIR", "/run/onehop-lab"))


def path(directory: pathlib.Path) -> pathlib.Path:
    return directory / "lab.json"


def load(directory: pathlib.Path) -> LabState | None:
    """The record of the lab in `directory`, or None where there is none that can be read."""
    try:
        return msgspec.json.decode(path(directory).read_bytes(), type=LabState)
    except (OSError, msgspec.MsgspecError):
        return None


def save(state: LabState, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    partial = path(directory).with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    partial.rename(path(directory))
