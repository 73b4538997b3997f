"""A tenant's network that translates, for tests: two machines, two uplinks, all on their hosts.

    vm0 (h0), vm1 (h1) -- net -- edge -- up1 (g1), up2 (g2) -- outside

Outbound, sources become 203.0.113.1 (2001:db8::1); 203.0.113.20 port 80 is vm1's port 8080.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import frames
import networks
from frames import ICMP, ICMPV6, TCP, UDP, Ip
from networks import Network, attach, hosts, mac, machine, uplink

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.packet import checksums_ok

VM = {4: ("10.0.0.10", "10.0.0.11"), 6: ("fd00::10", "fd00::11")}
OUTSIDE = {4: "198.51.100.9", 6: "2001:db8:9::9"}
PUBLIC = {4: "203.0.113.1", 6: "2001:db8::1"}
SERVICE = {4: "203.0.113.20", 6: "2001:db8::20"}
OWN = {4: "10.0.0.1", 6: "fd00::1"}  # the router's, towards the machines
UPSTREAM = "06:00:00:00:00:01"
PORTS = (20000, 64)  # of each host's block: the first, how many


def target(address: str, port: int | None = None) -> model.NatTarget:
    return model.NatTarget(first_address=address, first_port=port)


def chains() -> networks.Resources:
    inbound = [model.Rule(action="reverse_snat")]
    inbound += [
        model.Rule(
            action="dnat",
            destination=f"{SERVICE[v]}/{32 if v == 4 else 128}",
            protocol=proto,
            destination_ports="80",
            targets=(target(VM[v][1], 8080),),
        )
        for v in (4, 6)
        for proto in ("tcp", "udp")
    ]
    outbound = [model.Rule(action="reverse_dnat")]
    outbound += [
        model.Rule(action="snat", out_ports=("up1", "up2"), targets=(target(PUBLIC[v]),))
        for v in (4, 6)
    ]
    return [
        model.Chain(name="in", rules=tuple(inbound)),
        model.Chain(name="out", rules=tuple(outbound)),
    ]


def blocks(n_ports: int = PORTS[1]) -> networks.Resources:
    return [
        model.NatBlock(
            host=host,
            address=address,
            first_port=PORTS[0] + 1000 * n,
            n_ports=n_ports,
        )
        for n, host in enumerate(("h0", "h1", "g1", "g2"))
        for address in (*PUBLIC.values(), *OWN.values())
    ]


def upstream6(number: int) -> networks.Resources:
    port, gateway = f"up{number}", f"fd00:56:{number}::1"
    return [
        model.Neighbor(host=f"g{number}", port=port, address=gateway, mac=UPSTREAM),
        model.LearnedRoute(
            host=f"g{number}", next_hop_port=port, destination="::/0", next_hop_gateway=gateway
        ),
    ]


def resources(*, n_ports: int = PORTS[1]) -> networks.Resources:
    return [
        *hosts(2),
        model.Bridge(name="net"),
        model.Router(name="edge", inbound_filter="in", outbound_filter="out"),
        machine(0, "net", *(f"{VM[v][0]}/{24 if v == 4 else 64}" for v in (4, 6))),
        machine(1, "net", *(f"{VM[v][1]}/{24 if v == 4 else 64}" for v in (4, 6))),
        *attach("net", "edge", "10.0.0.1/24", "fd00::1/64"),
        *uplink(1),
        *uplink(2),
        *upstream6(1),
        *upstream6(2),
        *chains(),
        *blocks(n_ports),
    ]


def floating(version: int, address: str, machine_number: int) -> model.FloatingIp:
    return model.FloatingIp(
        router="edge", address=address, fixed_address=VM[version][machine_number]
    )


class Edge(Network):
    """The network, and packets of whoever speaks in it."""

    def from_machine(self, number: int, ip: Ip) -> Verdict:
        gateway = self.mac_of("edge-net")
        return self.send(f"vm{number}", frames.ip_frame(gateway, mac(number), ip))

    def from_outside(self, number: int, ip: Ip) -> Verdict:
        own = self.mac_of(f"up{number}")
        return self.send(f"up{number}", frames.ip_frame(own, UPSTREAM, ip))


def only(verdict: Verdict) -> tuple[str, Ip]:
    """Where the one copy leaves, and as what; its checksums are right."""
    assert verdict.kind == "forward", (verdict.reason, verdict.steps)
    (output,) = verdict.outputs
    assert checksums_ok(output.packet), verdict.steps
    frame = frames.decode(output.packet)
    assert frame is not None
    assert isinstance(frame.body, Ip)
    return output.port, frame.body


def packet_of(proto: int, src: str, dst: str, sport: int = 40000, dport: int = 53) -> Ip:
    """A packet that may begin a connection; of ICMP, sport is the identifier."""
    ends = Ip(ip_address(src), ip_address(dst), proto)
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    if proto in (ICMP, ICMPV6):
        kind = 8 if ends.version == 4 else 128
        return frames.icmp(ends, kind, 0, sport.to_bytes(2, "big") + b"\0\1payload")
    if proto == TCP:
        rest = bytes(8) + b"\x50\x02\x10\0\0\0\0\0"
        return frames.with_checksum(replace(ends, payload=ports + rest), 16)
    assert proto == UDP
    return frames.with_checksum(replace(ends, payload=ports + b"\0\x0c\0\0data"), 6)


def answer_to(ip: Ip) -> Ip:
    """What its receiver sends back."""
    sport, dport = ports_of(ip)
    found = packet_of(ip.proto, str(ip.dst), str(ip.src), dport, sport)
    if ip.proto in (ICMP, ICMPV6):
        kind = 0 if ip.version == 4 else 129
        return frames.icmp(found, kind, 0, ip.payload[4:])
    if ip.proto == TCP:
        flags = found.payload[:13] + b"\x12" + found.payload[14:]
        return frames.with_checksum(replace(found, payload=flags), 16)
    return found


def ports_of(ip: Ip) -> tuple[int, int]:
    """Source and destination port; of an echo, its identifier twice."""
    if ip.proto in (ICMP, ICMPV6):
        number = int.from_bytes(ip.payload[4:6], "big")
        return number, number
    return int.from_bytes(ip.payload[:2], "big"), int.from_bytes(ip.payload[2:4], "big")


def error_about(ip: Ip, sender: str, *, quoted: int = 548) -> Ip:
    """The sender tells the packet's source: port unreachable."""
    kind, code = (3, 3) if ip.version == 4 else (1, 4)
    ends = Ip(ip_address(sender), ip.src, 0)
    return frames.icmp(ends, kind, code, bytes(4) + ip.encode()[:quoted])


def quoted_in(ip: Ip) -> Ip:
    """The packet that an error quotes, whose header's checksum is right."""
    kind = 0x0800 if ip.version == 4 else 0x86DD
    frame = frames.decode(bytes(12) + kind.to_bytes(2, "big") + ip.payload[8:])
    assert frame is not None
    assert isinstance(frame.body, Ip), ip.payload[8:].hex()
    return frame.body
