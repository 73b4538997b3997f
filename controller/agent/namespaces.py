"""Network namespaces, the devices in them, and the commands that make these.

1. Commands wait green: the agent's loop goes on while ``ip`` runs.
2. ``entered`` (of `netns`) moves the whole thread, so nothing in its body may wait.
3. Making what is there already, and removing what is not, is no error.
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import eventlet
from eventlet.green import subprocess

from onehop.controller.agent.netns import ROOT as ROOT
from onehop.controller.agent.netns import entered as entered

TIMEOUT_S = 10.0


class CommandError(RuntimeError):
    """A command that failed, with what it said."""


def run(*command: str, text: str = "") -> str:
    """Run a command, with `text` as its input, and return its output."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
    try:
        with eventlet.Timeout(TIMEOUT_S):
            output: bytes = child.communicate(text.encode())[0]
    except eventlet.Timeout:
        child.kill()
        raise CommandError(f"{' '.join(command)}: no answer in {TIMEOUT_S:.0f} s") from None
    said = output.decode(errors="replace").strip()
    if child.returncode:
        raise CommandError(f"{' '.join(command)}: {said or f'exit code {child.returncode}'}")
    return said


def within(namespace: str, *command: str) -> str:
    """Run a command in a namespace."""
    return run("ip", "netns", "exec", namespace, *command)


def exists(namespace: str) -> bool:
    """Whether the name stands for a namespace, not for the rest of one that is gone."""
    with contextlib.suppress(OSError), entered(namespace):
        return True
    return False


def create(namespace: str) -> None:
    """Make a namespace that forwards nothing and believes no router advertisement."""
    if exists(namespace):
        return
    remove(namespace)
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    with entered(namespace):
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            _sysctl(key, "0")
        for key in ("accept_ra", "autoconf", "accept_dad", "dad_transmits"):
            _sysctl(f"ipv6/conf/default/{key}", "0")


def remove(namespace: str) -> None:
    """Remove a namespace, or what is left of its name."""
    if (ROOT / namespace).exists():
        run("ip", "netns", "del", namespace)


def connect(namespace: str, host_end: str, device: str, *, mac: str) -> None:
    """Make the pair of `host_end`, in this namespace, and `device`, in the other one."""
    if host_end not in {name for _, name in socket.if_nameindex()}:
        peer = ("peer", "name", device, "netns", namespace, "address", mac)
        run("ip", "link", "add", host_end, "type", "veth", *peer)
    off = ("-K", host_end, "tx", "off", "gso", "off", "tso", "off")
    run("ethtool", *off)
    within(namespace, "ethtool", *(device if word == host_end else word for word in off))


def disconnect(host_end: str) -> None:
    """Remove a pair by its end in this namespace."""
    if host_end in {name for _, name in socket.if_nameindex()}:
        run("ip", "link", "del", host_end)


def configure(namespace: str, device: str, *, mac: str, mtu: int, addresses: set[str]) -> None:
    """Give a device its MAC, MTU and addresses (with prefix length), no other ones, and set it up.

    The address that IPv6 makes of the MAC stays: neighbours speak to it.
    """
    (found,) = json.loads(run("ip", "-n", namespace, "-json", "addr", "show", "dev", device))
    has = {f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"] if a["scope"] != "link"}
    lines = []
    if found.get("address") != mac.lower():
        lines.append(f"link set dev {device} down address {mac}")
    lines.append(f"link set dev {device} mtu {mtu} up")
    lines += [f"addr del {address} dev {device}" for address in sorted(has - addresses)]
    lines += [f"addr add {a} dev {device}{_nodad(a)}" for a in sorted(addresses - has)]
    run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines))


def _nodad(address: str) -> str:
    return " nodad" if ":" in address else ""


def _sysctl(key: str, value: str) -> None:
    """Set a value of the namespace that this thread is in."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path("/proc/sys/net", key).write_text(value)
