"""How a machine gets its addresses: dhclient in both families, and the kernel for its router.

1. The script that dhclient calls touches nothing but the machine's own interface: no resolv.conf.
2. A client that got its lease goes on in the background to renew it; one that got none ends.
3. The kernel takes router and MTU from advertisements, and makes no addresses of its own.
"""

from __future__ import annotations

import pathlib

from onehop.lab import checks
from onehop.lab.nodes import Node
from onehop.lab.topo import Machine

PATIENCE_S = 30.0

CONFIG = """
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, routers, interface-mtu, domain-name-servers,
  rfc3442-classless-static-routes, dhcp6.name-servers;
timeout 20; retry 1; initial-interval 1; backoff-cutoff 2; select-timeout 0;
"""
SCRIPT = """#!/bin/sh -u
# What dhclient has been told, given to the kernel: see dhclient-script(8).
route() {  # length, the octets of the destination that it covers, gateway; and so on
  while [ $# -gt 4 ]; do
    length=$1; shift; to=; left=4
    for bits in 0 8 16 24; do
      [ "$length" -gt $bits ] && { to=$to$1.; shift; left=$((left - 1)); }
    done
    while [ $left -gt 0 ]; do to=${to}0.; left=$((left - 1)); done
    ip -4 route replace "${to%.}/$length" via "$1.$2.$3.$4" dev "$interface"
    shift 4
  done
}
case $reason in
  PREINIT | PREINIT6)
    ip link set dev "$interface" up ;;
  BOUND | RENEW | REBIND | REBOOT)
    [ -z "${new_interface_mtu-}" ] || ip link set dev "$interface" mtu "$new_interface_mtu"
    ip -4 address replace "$new_ip_address/$new_subnet_mask" dev "$interface"
    if [ -n "${new_rfc3442_classless_static_routes-}" ]; then
      route $new_rfc3442_classless_static_routes
    elif [ -n "${new_routers-}" ]; then
      ip -4 route replace default via "${new_routers%% *}" dev "$interface"
    fi ;;
  BOUND6 | RENEW6 | REBIND6)
    ip -6 address replace "$new_ip6_address/128" dev "$interface" nodad ;;
  EXPIRE | FAIL | RELEASE | STOP)
    ip -4 address flush dev "$interface" ;;
  DEPREF6 | EXPIRE6 | RELEASE6 | STOP6)
    [ -z "${old_ip6_address-}" ] || ip -6 address delete "$old_ip6_address/128" dev "$interface" ;;
esac
"""


def prepare(device: str) -> list[str]:
    """Before the device comes up: it believes routers, and asks for them at once."""
    settings = {"accept_ra": 2, "autoconf": 0, "router_solicitation_delay": 0,
                "router_solicitation_interval": 1, "accept_dad": 0}  # fmt: skip
    return [
        f"sysctl -qw net.ipv6.conf.{device}.{name}={value}" for name, value in settings.items()
    ]


def write(directory: pathlib.Path) -> None:
    """The files that `ask` needs."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dhclient.conf").write_text(CONFIG)
    script = directory / "dhclient-script"
    script.write_text(SCRIPT)
    script.chmod(0o755)


def ask(directory: pathlib.Path, device: str, version: int) -> list[str]:
    """The command that gets the device a lease and keeps it; fails where there is none."""
    files = {"cf": "dhclient.conf", "sf": "dhclient-script", "lf": f"leases{version}",
             "pf": f"dhclient{version}.pid"}  # fmt: skip
    named = [part for option, file in files.items() for part in (f"-{option}", directory / file)]
    return ["dhclient", f"-{version}", "-1", *map(str, named), device]


def configure(node: Node, machine: Machine) -> None:
    """Get the machine its leases, and its router."""
    write(node.directory)
    for version in machine.leases:
        node.run(ask(node.directory, "eth0", version), timeout_s=PATIENCE_S)
    if 6 in machine.leases and any(":" in gateway for gateway in machine.gateways):
        checks.eventually(lambda: _router_missing(node), PATIENCE_S)


def _router_missing(node: Node) -> str:
    found = node.run(["ip", "-6", "route", "show", "default"]).stdout
    return "" if found else f"{node.name}: no router advertises itself"
