"""Small virtual networks and the packets of their machines, for tests that name a behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import frames
import msgspec
from frames import BROADCAST, NO_MAC, UDP, Arp, Frame, Ip

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

Resources = list[model.Resource]


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def hosts(count: int) -> Resources:
    return [model.Host(name=f"h{n}", tunnel_address=f"172.31.0.{n + 1}") for n in range(count)]


def machine(number: int, bridge: str, *addresses: str, is_stated: bool = True) -> model.Port:
    """Machine `number` at port vm<number> on host h<number>, behind a bridge."""
    return model.Port(
        name=f"vm{number}",
        device=bridge,
        host=f"h{number}",
        interface=f"tap{number}",
        mac=mac(number) if is_stated else None,
        addresses=addresses if is_stated else (),
    )


def unguarded(resources: Resources) -> Resources:
    """The same, where machines may send from any address."""
    return [
        msgspec.structs.replace(row, port_security=False) if isinstance(row, model.Port) else row
        for row in resources
    ]


def attach(bridge: str, router: str, *addresses: str) -> Resources:
    """A router's port on a bridge: <router>-<bridge>."""
    return [
        model.Port(name=f"{bridge}-{router}", device=bridge),
        model.Port(
            name=f"{router}-{bridge}",
            device=router,
            addresses=addresses,
            peer=f"{bridge}-{router}",
        ),
    ]


def link(one: str, other: str, one_has: str = "", other_has: str = "") -> Resources:
    """Two devices back to back."""
    return [
        model.Port(name=f"{one}-{other}", device=one, addresses=(one_has,) if one_has else ()),
        model.Port(
            name=f"{other}-{one}",
            device=other,
            addresses=(other_has,) if other_has else (),
            peer=f"{one}-{other}",
        ),
    ]


def uplink(number: int, router: str = "edge") -> Resources:
    """A port to the outside on host g<number>, whose upstream router is known."""
    name, host = f"up{number}", f"g{number}"
    return [
        model.Host(name=host, tunnel_address=f"172.31.1.{number}"),
        model.Port(
            name=name,
            device=router,
            host=host,
            interface="eth1",
            addresses=(f"10.56.{number}.2/24", f"fd00:56:{number}::2/64"),
        ),
        model.Neighbor(host=host, port=name, address=f"10.56.{number}.1", mac="06:00:00:00:00:01"),
        default_route(number),
    ]


def default_route(number: int) -> model.LearnedRoute:
    return model.LearnedRoute(
        host=f"g{number}",
        next_hop_port=f"up{number}",
        destination="0.0.0.0/0",
        next_hop_gateway=f"10.56.{number}.1",
    )


class Network:
    """A topology, and what its machines send; everything learned is applied."""

    def __init__(self, resources: Iterable[model.Resource], *, seed: int = 0) -> None:
        self.topology = Topology()
        self.topology.update(resources)
        self.simulator = Simulator(self.topology, seed=seed)

    def send(self, port: str, frame: Frame) -> Verdict:
        verdict = self.simulator.simulate(frame.encode(), port)
        self.simulator.apply(verdict)
        return verdict

    def mac_of(self, router_port: str) -> str:
        port = self.topology.get("port", router_port)
        assert isinstance(port, model.Port)
        return model.router_mac(port)


def outputs(verdict: Verdict) -> list[str]:
    """The ports where the packet itself leaves."""
    return sorted(output.port for output in verdict.outputs)


def answers(verdict: Verdict) -> list[tuple[str, Frame]]:
    """What the network itself sends, and where it leaves."""
    decoded = [(o.port, frames.decode(o.packet)) for o in verdict.emitted_outputs]
    assert all(frame is not None for _, frame in decoded)
    return decoded  # type: ignore[return-value]


def udp(src: str, dst: str, *, sport: int = 40000, dport: int = 53, ttl: int = 64) -> Ip:
    payload = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + b"\0\x0a\0\0hi"
    return frames.with_checksum(
        Ip(ip_address(src), ip_address(dst), UDP, payload=payload, ttl=ttl), 6
    )


def echo(src: str, dst: str, *, ttl: int = 64) -> Ip:
    ip = Ip(ip_address(src), ip_address(dst), 0, ttl=ttl)
    return frames.icmp(ip, 8 if ip.version == 4 else 128, 0, b"\x12\x34\0\1payload")


def raw(dst: str, src: str) -> Frame:
    """A frame of no protocol that anybody knows."""
    return Frame(dst, src, 0x88B5, b"hello")


def who_has(src_mac: str, src: str, dst: str) -> Frame:
    arp = Arp(1, src_mac, ip_address(src), NO_MAC, ip_address(dst))
    return frames.arp_frame(BROADCAST, src_mac, arp)


def is_at(src_mac: str, src: str, dst_mac: str, dst: str) -> Frame:
    arp = Arp(2, src_mac, ip_address(src), dst_mac, ip_address(dst))
    return frames.arp_frame(dst_mac, src_mac, arp)
