"""How the machines and the outside reach each other: who opens connections to what.

snat         a machine without a floating IP opens; the outside sees another address
floating ip  a machine with one opens, or the outside opens to it
vip          the outside opens; a member of the pool accepts
routed       nothing is translated (in topologies of the user's own)
"""

from __future__ import annotations

from onehop.lab.lab import Lab
from onehop.lab.nodes import Node
from onehop.lab.sessions import Listener, Pair

EACH_WAY = 3  # connections of each machine that it opens, and that are opened to it


def pairs(lab: Lab) -> list[Pair]:
    """Each machine with the clients in turn: opened by the one, and by the other."""
    vips = [vip for vip in lab.topology.vips if vip.protocol == "tcp"]
    found = []
    for number, machine in enumerate(lab.machines):
        public = lab.public(machine)
        kind = _kind(machine, public)
        for again in range(EACH_WAY):
            client = lab.clients[(number + again) % len(lab.clients)]
            found.append(Pair(kind, machine.pid, machine.address, client.address))
            if public:
                found.append(Pair(kind, client.pid, client.address, public))
            elif vips:
                vip = vips[again % len(vips)]
                found.append(Pair("vip", client.pid, client.address, vip.address, vip.port))
    return found


def listeners(lab: Lab) -> list[Listener]:
    """Whoever such a connection ends at."""
    nodes = [*lab.machines, *lab.clients]
    by_address = {node.address: node for node in nodes}
    members = {
        Listener(by_address[member.address].pid, member.address, member.port)
        for member in lab.topology.pool_members
        if member.address in by_address
    }
    return [Listener(node.pid, node.address) for node in nodes] + sorted(members)


def _kind(machine: Node, public: str) -> str:
    if public:
        return "routed" if public == machine.address else "floating ip"
    return "snat"
