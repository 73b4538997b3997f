"""What the benchmarks feed: buffers of packet-ins on one host's hot path.

The stateful network is that of the targets::

    vm1 (h1) -- net, security groups -- tenant, SNAT -- provider -- up1, up2, up3 (g1, g2, g3)

Every packet is the first of its connection: a 5-tuple of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import frames
import msgspec
import numpy as np
from frames import checksum
from networks import attach, hosts, link, udp, uplink
from rig import VM1

from onehop.controller.agent.packets import BUNDLE_FROM
from onehop.engine import model
from onehop.engine.datapath import Datapath
from onehop.engine.states import KINDS, RECORD, States
from onehop.engine.topology import Topology

VM, NEAR = "10.0.0.1", "10.0.255.254"
PUBLIC = "203.0.113.1"
UPLINKS = (1, 2, 3)
MACHINES = 8  # of the agent's host: each port has a share of the agent
OTHERS = 500  # machines elsewhere, on each of the two bridges, where topologies change
IP_AT, PORTS_AT = 14, 34  # in an untagged frame


def stateless(sources: int = 40, others: int = 1000) -> list[model.Resource]:
    """Machines of h1, and others of h2 on the same bridge and behind a router."""
    return [
        *hosts(3),
        model.Bridge(name="net"),
        model.Bridge(name="other"),
        model.Router(name="tenant"),
        *(machine(f"vm{n}", "h1", "net", n, address(0, n)) for n in range(1, sources + 1)),
        *(machine(f"near{n}", "h2", "net", 1000 + n, address(0, 1000 + n)) for n in range(others)),
        *(machine(f"far{n}", "h2", "other", 3000 + n, address(1, 1 + n)) for n in range(others)),
        *attach("net", "tenant", f"{NEAR}/16"),
        *attach("other", "tenant", "10.1.255.254/16"),
    ]


def address(network: int, number: int) -> str:
    return f"10.{network}.{number // 256}.{number % 256}"


def mac(number: int) -> str:
    return (0x02 << 40 | number).to_bytes(6, "big").hex(":")


def machine(name: str, host: str, bridge: str, number: int, address: str, **more: object):
    return model.Port(
        name=name, device=bridge, host=host, interface=name, mac=mac(number),
        addresses=(f"{address}/16",), **more,
    )  # fmt: skip


def stateful(machines: int = 1) -> list[model.Resource]:
    """The network of the targets; `machines` of them are on h1."""
    masquerade = model.Rule(
        action="snat",
        out_ports=("tenant-provider",),
        targets=(model.NatTarget(first_address=PUBLIC),),
    )
    back = model.Route(
        router="provider", destination=f"{PUBLIC}/32", next_hop_port="provider-tenant",
        next_hop_gateway="10.9.0.1",
    )  # fmt: skip
    out = model.Route(
        router="tenant", destination="0.0.0.0/0", next_hop_port="tenant-provider",
        next_hop_gateway="10.9.0.2",
    )  # fmt: skip
    return [
        *hosts(3),
        model.Bridge(name="net"),
        model.Router(name="tenant", inbound_filter="in", outbound_filter="out"),
        model.Router(name="provider"),
        model.Chain(name="in", rules=(model.Rule(action="reverse_snat"),)),
        model.Chain(name="out", rules=(masquerade,)),
        *groups(),
        *(
            machine(f"vm{n}", "h1", "net", n, address(0, n), security_groups=("web", "all"))
            for n in range(1, machines + 1)
        ),
        machine("far", "h2", "net", 999, address(0, 999), security_groups=("web",)),
        *attach("net", "tenant", f"{NEAR}/16"),
        *link("tenant", "provider", "10.9.0.1/24", "10.9.0.2/24"),
        back,
        out,
        *(row for number in UPLINKS for row in uplink(number, "provider")),
        model.PortGroup(name="ups", ports=tuple(f"up{n}" for n in UPLINKS), stateful=True),
        model.NatBlock(host="h1", address=PUBLIC, first_port=1024, n_ports=64_000),
    ]


def groups() -> list[model.Resource]:
    """What a tenant allows: the web from everywhere, everything from its own; all outbound."""
    rule = model.SecurityRule
    web = [rule(direction="ingress", protocol="tcp", ports=port) for port in ("22", "80", "443")]
    web += [
        rule(direction="ingress", protocol="icmp"),
        rule(direction="ingress", remote_group="web"),
    ]
    return [
        model.SecurityGroup(name="web", rules=tuple(web)),
        model.SecurityGroup(name="all", rules=(rule(direction="egress"),)),
    ]


def hot_path(
    resources: list[model.Resource] | None = None, *, entries: int = 1 << 18,
    max_flows: int = 1_000_000,
) -> Datapath:  # fmt: skip
    """The hot path of h1."""
    topology = Topology()
    topology.update(keyed(stateful() if resources is None else resources))
    return host_of(topology, entries=entries, max_flows=max_flows)


def host_of(topology: Topology, *, entries: int, max_flows: int) -> Datapath:
    """The hot path of h1 in this topology, with its machines plugged in."""
    datapath = Datapath(topology, host="h1", max_flows=max_flows, states=States(entries),
                        bundle_from=BUNDLE_FROM)  # fmt: skip
    datapath.set_tunnel_port(1000)
    for port in topology.ports_of_host("h1"):
        datapath.bind(port, int(port.removeprefix("vm")))
    return datapath


def keyed(resources: list[model.Resource]) -> list[model.Resource]:
    """The same with tunnel keys."""
    return [
        msgspec.structs.replace(row, tunnel_key=n) if hasattr(row, "tunnel_key") else row
        for n, row in enumerate(resources, 1)
    ]


def gateway_mac(resources: list[model.Resource], name: str = "tenant-net") -> str:
    port = next(r for r in resources if isinstance(r, model.Port) and r.name == name)
    return model.router_mac(port)


def packets(
    count: int, dst_mac: str, *, dst: str = "198.51.100.0", first: int = 0
) -> Iterator[bytes]:
    """The first packets of `count` connections from vm1 to 200 addresses from `dst` on."""
    frame = bytearray(frames.ip_frame(dst_mac, mac(1), udp(VM, dst)).encode())
    base = int.from_bytes(frame[30:34], "big")
    for n in range(first, first + count):
        frame[30:34] = (base + 1 + n % 200).to_bytes(4, "big")
        frame[34:36] = (1024 + n // 200 % 64_000).to_bytes(2, "big")
        frame[24:26] = frame[40:42] = b"\0\0"
        frame[24:26] = checksum(frame[14:34]).to_bytes(2, "big")
        yield bytes(frame)


def one_pair(source: int, dst_mac: str, dst: str) -> bytes:
    """A packet of one machine to another, behind a router or not."""
    ip = udp(address(0, source), dst, sport=1024, dport=53)
    return frames.ip_frame(dst_mac, mac(source), ip).encode()


def packet_in(packet: bytes, port: int = VM1) -> bytes:
    """The packet as the switch sends it: OFPT_PACKET_IN (OpenFlow 1.3, section 7.4.1)."""
    match = struct.pack("!HHII4x", 1, 12, 0x80000004, port)
    body = struct.pack("!IHBBQ", 0xFFFFFFFF, len(packet), 0, 0, 0) + match + b"\0\0" + packet
    return struct.pack("!BBHI", 4, 10, 8 + len(body), 0) + body


def connections(count: int) -> np.ndarray:
    """UDP connections of one zone, each with another 5-tuple, in no order of the table's."""
    records = np.zeros(count, RECORD)
    numbers = np.arange(count, dtype=">u4").view("u1").reshape(-1, 4)
    records["source"][:, :4] = (10, 0, 0, 1)
    records["destination"][:, :4] = numbers
    records["destination"][:, 0] = 198
    records["source_port"] = 1024 + np.arange(count) % 60_000
    records["destination_port"] = 53
    records["protocol"], records["family"], records["zone"] = 17, 4, 77
    records["kind"] = KINDS.index("connection")
    return records
