"""The outside network's router: FRR with BGP and BFD, equal-cost routes over all gateways.

It offers every gateway a default route and takes from it what the gateway announces. Peers are
named by their addresses; a gateway may be added while it runs.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import msgspec

from onehop.lab.nodes import Node
from onehop.lab.topo import Plan, Uplink

DAEMONS = ("zebra", "bfdd", "bgpd")
LIBRARY = pathlib.Path("/usr/lib/frr")
ROUTER_ID = "198.51.100.1"
# The kernel takes a next hop that lost its carrier out of its nexthop groups; FRR 8.4 does not
# notice, and would use the group, less that gateway, when it is back.  Without groups the kernel
# holds whole routes, which FRR replaces whole.
ZEBRA = "no zebra nexthop kernel enable\n"
BFD = """bfd
 profile fast
  detect-multiplier 3
  receive-interval 100
  transmit-interval 100
"""


def start(node: Node, plan: Plan) -> None:
    """Start FRR in `node`, speaking with the uplinks of `plan`."""
    directory = node.directory / "frr"
    directory.mkdir(exist_ok=True)
    for daemon, text in configuration(plan).items():
        (directory / f"{daemon}.conf").write_text(text)
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, "frr", "frr")
    node.sh("\n".join(_command(daemon, directory) for daemon in DAEMONS), service=node.name)


def configuration(plan: Plan) -> dict[str, str]:
    """The daemons' files."""
    router = [f"router bgp {plan.outside_asn}", *GENERAL]
    for uplink in plan.uplinks:
        router += neighbors(uplink)
    for family in ("ipv4", "ipv6"):
        router += [f" address-family {family} unicast", "  maximum-paths 64"]
        for uplink in plan.uplinks:
            router += [f"  {line}" for line in activate(uplink, family)]
        router += [" exit-address-family"]
    return {"zebra": ZEBRA, "bfdd": BFD, "bgpd": "\n".join(router) + "\n"}


GENERAL = [
    f" bgp router-id {ROUTER_ID}",
    " no bgp ebgp-requires-policy",
    " no bgp default ipv4-unicast",
    " bgp bestpath as-path multipath-relax",
    " timers bgp 1 3",
]


def neighbors(uplink: Uplink) -> list[str]:
    lines = []
    for address in uplink.gateway:
        lines += [
            f" neighbor {address} remote-as {uplink.asn}",
            f" neighbor {address} timers connect 1",
            f" neighbor {address} bfd profile fast",
            f" neighbor {address} advertisement-interval 0",
        ]
    return lines


def activate(uplink: Uplink, family: str) -> list[str]:
    """A session carries the routes of the family that it runs over."""
    own = [a for a in uplink.gateway if (":" in a) == (family == "ipv6")]
    return [
        line
        for address in own
        for line in (f"neighbor {address} activate", f"neighbor {address} default-originate")
    ]


def add(node: Node, plan: Plan, uplink: Uplink) -> None:
    """Speak with one more gateway."""
    lines = [f"router bgp {plan.outside_asn}", *neighbors(uplink)]
    for family in ("ipv4", "ipv6"):
        lines += [f"address-family {family} unicast", *activate(uplink, family), "exit"]
    _vtysh(node, "configure terminal", *lines)


def remove(node: Node, plan: Plan, uplink: Uplink) -> None:
    gone = [f"no neighbor {address}" for address in uplink.gateway]
    _vtysh(node, "configure terminal", f"router bgp {plan.outside_asn}", *gone)


def next_hops(node: Node, prefix: str) -> set[str]:
    """The gateways' addresses that the kernel sends packets for `prefix` to."""
    family = "-6" if ":" in prefix else "-4"
    said = node.run(["ip", "-j", family, "route", "show", prefix]).stdout
    found = set()
    for route in msgspec.json.decode(said or "[]"):
        hops = route.get("nexthops", [route])
        found |= {
            hop["gateway"] for hop in hops if "gateway" in hop and "linkdown" not in hop["flags"]
        }
    return found


def show(node: Node, command: str) -> str:
    """What FRR says to a `show` command."""
    return _vtysh(node, command)


def _vtysh(node: Node, *lines: str) -> str:
    arguments = [argument for line in lines for argument in ("-c", line.strip())]
    command = ["vtysh", "--vty_socket", str(node.directory / "frr"), *arguments]
    done: subprocess.CompletedProcess[str] = node.run(command)
    return done.stdout


def _command(daemon: str, directory: pathlib.Path) -> str:
    return (
        f"nice -n -10 {LIBRARY / daemon} -d -f {directory}/{daemon}.conf -z {directory}/zserv.api"
        f" --vty_socket {directory} -i {directory}/{daemon}.pid -A 127.0.0.1"
        f" --log file:{directory}/{daemon}.log"
    )
