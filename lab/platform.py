"""What this machine offers to a lab, and what the lab defaults to on it."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import msgspec

from onehop.controller.cli.output import InputError
from onehop.lab.state import LabError, Options, Platform

# Userspace forwarding shares the cores with everything else: three such uplinks leave room on
# two cores, which the failure detectors need. The kernel's datapath carries 1 Gb/s each.
DEFAULTS = {
    "netdev": {"uplink_mbit": 250, "mtu": 8900},
    "system": {"uplink_mbit": 1000, "mtu": 8900},
}
TOOLS = {
    "mnexec": "mininet",
    "ovs-vswitchd": "openvswitch-switch",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "iperf3": "iperf3",
}
FRR = pathlib.Path("/usr/lib/frr")


def detect() -> Platform:
    """This machine, or a LabError that says what is missing."""
    _require()
    return Platform(
        datapath="system" if _kernel_module() else "netdev",
        cores=os.cpu_count() or 1,
        kernel=os.uname().release,
        openvswitch=_version(["ovs-vswitchd", "--version"]),
        frr=_version([str(FRR / "bgpd"), "--version"]),
    )


def defaults(platform: Platform, **given: object) -> Options:
    """Options from what the user gave, the rest as this platform can carry it."""
    stated = {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(DEFAULTS[platform.datapath] | stated, Options)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).partition(" - at `$.")
        option = "--" + field.rstrip("`").replace("_", "-")
        raise InputError(f"{option}: {reason[0].lower()}{reason[1:]}") from None


def _require() -> None:
    if os.geteuid():
        raise LabError("the lab makes network namespaces: run it as root")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    missing += [] if (FRR / "bgpd").exists() else ["frr"]
    if missing:
        raise LabError(f"missing Debian packages: {' '.join(missing)}: `make setup` installs them")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        raise LabError("this machine does not allow network namespaces")


def _kernel_module() -> bool:
    if pathlib.Path("/sys/module/openvswitch").exists():
        return True
    return subprocess.run(["modprobe", "-q", "openvswitch"], capture_output=True).returncode == 0


def _version(command: list[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found[0] if found else "unknown"
