"""Which gateway a probe stream crosses, read from what really forwards it.

Upstream it is the flow in the switch of the machine's host, downstream the outside router's
equal-cost choice.  Both are read, never computed here: a stream is aimed at a gateway by taking,
of many source ports, one whose packets are found to go there.

1. `crossing` tells for every port the gateway, or nothing where it cannot be told now.
2. `choose` takes one port for each gateway, and prefers those already in use.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from onehop.lab import outside
from onehop.lab.hosts import Host
from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.probe import SINK_PORT, Direction
from onehop.lab.state import LabError

_TUNNEL = re.compile(r"set_field:([0-9a-fA-F.:]+)->tun_(?:ipv6_)?dst")


class Flow(NamedTuple):
    """A flow that sends into a tunnel."""

    priority: int
    match: dict[str, str]
    tunnel: str  # the far host's tunnel address


def upstream(host: Host, direction: Direction, tunnels: Mapping[str, str]) -> dict[int, str]:
    """By source port, the gateway that `host`'s switch sends a stream to.

    `tunnels` names the gateway of a tunnel address.
    """
    said = host.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int"]).stdout
    flows = parse_flows(said)
    found = {port: tunnel_of(flows, _packet(direction, port)) for port in direction.ports}
    return {port: tunnels[to] for port, to in found.items() if to and to in tunnels}


def downstream(
    router: Node, direction: Direction, interface: str, gateways: Mapping[str, str]
) -> dict[int, str]:
    """By source port, the gateway that the outside `router` sends a stream to.

    `interface` is where the stream enters the router; `gateways` names the gateway of a next
    hop's address.
    """
    ends = f"{direction.to} from {direction.source.address} iif {interface}"
    batch = "".join(
        f"route get {ends} ipproto udp sport {port} dport {SINK_PORT}\n"
        for port in direction.ports
    )
    said = router.run(["ip", "-force", "-batch", "-"], input=batch, check=False).stdout
    hops = re.findall(r"^\S+ from .*?(?: via (\S+))? dev", said, re.MULTILINE)
    if len(hops) != len(direction.ports):  # no route for them now
        return {}
    return {
        port: gateways[hop]
        for port, hop in zip(direction.ports, hops, strict=True)
        if hop in gateways
    }


def next_hops(lab: Lab) -> dict[str, str]:
    """The gateways by their addresses on the wires to the outside."""
    return {address: uplink.host for uplink in lab.plan.uplinks for address in uplink.gateway}


def returning(lab: Lab) -> set[str]:
    """The gateways that the outside router sends packets for the machines to."""
    names = next_hops(lab)
    hops = outside.next_hops(lab.node("outside"), announced(lab))
    return {names[hop] for hop in hops if hop in names}


def announced(lab: Lab) -> str:
    """The prefix that leads to a machine from the outside."""
    reached = [ip_address(machine.public) for machine in lab.plan.machines if machine.public]
    for network in lab.topology.bgp_networks:
        if any(address in ip_network(network.prefix) for address in reached):
            return network.prefix
    raise LabError("no address of a machine is announced to the outside")


def choose(
    crossing: Mapping[int, str], gateways: Iterable[str], used: Collection[int]
) -> dict[str, int]:
    """For each gateway a port that crosses it, where there is one."""
    ports = sorted(crossing, key=lambda port: (port not in used, port))
    found = {name: [p for p in ports if crossing[p] == name] for name in gateways}
    return {name: candidates[0] for name, candidates in found.items() if candidates}


def parse_flows(said: str) -> list[Flow]:
    """The flows into tunnels, of what `ovs-ofctl dump-flows` said, highest priority first."""
    found = [flow for line in said.splitlines() if (flow := _parse(line))]
    return sorted(found, key=lambda flow: (-flow.priority, -len(flow.match)))


def tunnel_of(flows: Iterable[Flow], packet: Mapping[str, str]) -> str | None:
    """Where the flows send a packet of these fields."""
    return next((flow.tunnel for flow in flows if _matches(flow.match, packet)), None)


def _parse(line: str) -> Flow | None:
    before, _, actions = line.partition(" actions=")
    tunnel = _TUNNEL.search(actions)
    if not tunnel:
        return None
    fields = dict(part.partition("=")[::2] for part in before.split(",") if "n_" not in part)
    fields = {name.split()[-1]: value for name, value in fields.items() if name.strip()}
    return Flow(int(fields.pop("priority", "32768")), fields, tunnel[1])


def _matches(match: Mapping[str, str], packet: Mapping[str, str]) -> bool:
    """Whether the fields that the packet has are as the flow wants them."""
    return all(
        _agrees(match[name], value) for name, value in packet.items() if name in match
    ) and (not ({"tcp", "icmp", "arp", "sctp", "ipv6", "udp6", "tcp6", "icmp6"} & set(match)))


def _agrees(wanted: str, value: str) -> bool:
    if wanted == value:
        return True
    if "." not in wanted:
        return False
    return ip_address(value) in ip_network(wanted, strict=False)


def _packet(direction: Direction, port: int) -> dict[str, str]:
    return {
        "nw_src": direction.source.address,
        "nw_dst": direction.to,
        "tp_src": str(port),
        "tp_dst": str(SINK_PORT),
    }
