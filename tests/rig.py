"""Two machines' networks on one host's hot path, and a switch in memory that it drives."""

from __future__ import annotations

from fake_switch import FakeSwitch, Out
from ryu.lib.packet import ipv4, tcp, udp
from samples import built, ether_between

from onehop.engine import openflow
from onehop.engine.datapath import Datapath
from onehop.engine.effects import Effect
from onehop.engine.model import Bridge, Host, Neighbor, Port, Resource, Route, Router
from onehop.engine.topology import Topology

TUNNEL, VM1, VM3, GUEST = 50, 1, 3, 4  # OVS's port numbers
MAC1, MAC2, MAC3 = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
GATEWAY, OUTSIDE = "02:00:00:00:00:fe", "02:00:00:00:00:99"
UPLINKS = ("up1", "up2")


def network() -> list[Resource]:
    """vm1, vm3 and guest on h1, vm2 on h2, a router, and behind it another with two uplinks."""
    return [
        Host(name="h1", tunnel_address="172.31.0.1"),
        Host(name="h2", tunnel_address="172.31.0.2"),
        Host(name="h3", tunnel_address="fd00:31::3"),
        Bridge(name="net", tunnel_key=100),
        Router(name="near"),
        Router(name="far"),
        machine("vm1", "h1", 1, MAC1),
        machine("vm2", "h2", 2, MAC2),
        machine("vm3", "h1", 3, MAC3),
        Port(name="guest", device="net", host="h1", interface="guest", tunnel_key=4),
        Port(name="net-near", device="net", peer="near-net"),
        Port(name="near-net", device="near", mac=GATEWAY, addresses=("10.0.0.254/24",)),
        Port(name="near-far", device="near", addresses=("10.9.0.1/24",), peer="far-near"),
        Port(name="far-near", device="far", addresses=("10.9.0.2/24",)),
        uplink(1, "h2"),
        uplink(2, "h3"),
        route("near", "near-far", "10.9.0.2"),
        route("far", "up1", "10.8.1.2"),
        Route(
            router="far", destination="10.0.0.0/24", next_hop_port="far-near",
            next_hop_gateway="10.9.0.1",
        ),
        neighbor(1),
        neighbor(2),
    ]  # fmt: skip


def machine(name: str, host: str, number: int, mac: str) -> Port:
    return Port(
        name=name, device="net", host=host, interface=name, tunnel_key=number, mac=mac,
        addresses=(f"10.0.0.{number}/24",),
    )  # fmt: skip


def uplink(number: int, host: str) -> Port:
    return Port(
        name=f"up{number}", device="far", host=host, interface=f"eth{number}",
        tunnel_key=10 + number, addresses=(f"10.8.{number}.1/24",),
    )  # fmt: skip


def route(router: str, port: str, gateway: str, destination: str = "0.0.0.0/0") -> Route:
    return Route(
        router=router, destination=destination, next_hop_port=port, next_hop_gateway=gateway
    )


def neighbor(number: int) -> Neighbor:
    return Neighbor(
        host="h2", port=f"up{number}", address=f"10.8.{number}.2", mac=OUTSIDE[:-1] + str(number)
    )


def datagram(
    dst_mac: str, dst: str, *, src_mac: str = MAC1, src: str = "10.0.0.1", ttl: int = 64,
    src_port: int = 1000, dst_port: int = 2000,
) -> bytes:  # fmt: skip
    return built(
        ether_between(src_mac, dst_mac, 0x0800),
        ipv4.ipv4(src=src, dst=dst, proto=17, ttl=ttl),
        udp.udp(src_port, dst_port),
        b"hello",
    )


def segment(dst_mac: str, dst: str, src_port: int) -> bytes:
    return built(
        ether_between(MAC1, dst_mac, 0x0800),
        ipv4.ipv4(src="10.0.0.1", dst=dst, proto=6),
        tcp.tcp(src_port, 80),
    )


class Rig:
    """A hot path and its switch."""

    def __init__(self, resources: list[Resource] | None = None, **options: int) -> None:
        self.topology = Topology()
        self.topology.update(network() if resources is None else resources)
        self.switch = FakeSwitch()
        self.effects: list[Effect] = []
        self.now_ns = 1_000_000_000
        self.restart(**options)
        self.switch.write(openflow.async_config())
        self.switch.write(openflow.static_flow(openflow.STATIC | 1, 0, {}, [("controller",)]))

    def restart(self, **options: int) -> None:
        """Another hot path for the same switch, which it knows nothing of."""
        self.datapath = Datapath(self.topology, host="h1", **options)
        self.datapath.set_tunnel_port(TUNNEL)
        for port, number in (("vm1", VM1), ("vm3", VM3), ("guest", GUEST)):
            self.datapath.bind(port, number)

    def send(self, data: bytes, in_port: int = VM1) -> list[Out]:
        """A packet comes to the switch; what leaves in the end."""
        return self.switch.receive(in_port, data) + self.answer()

    def answer(self) -> list[Out]:
        """Let the hot path hear what the switch says."""
        heard = self.switch.heard()
        got = self.datapath.receive(heard, self.now_ns)
        assert got.consumed == len(heard)
        self.effects += got.effects
        self.switch.write(got.out)
        return self.switch.take()

    def wait(self, seconds: int) -> None:
        """Time passes in steps, in which the switch is asked for its flows."""
        for _ in range(seconds):
            self.now_ns += 1_000_000_000
            self.switch.write(self.datapath.go_on(self.now_ns))
            while self.switch.to_agent:
                self.answer()

    def update(self, *put: Resource, remove: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Change the topology; the bytes that went to the switch because of it."""
        tags = self.topology.update(put, remove)
        out = self.datapath.invalidate(tags, self.now_ns)
        self.switch.write(out)
        return out

    def stats(self, slice_: int = 0, slices: int = 1) -> bytes:
        """The switch's statistics of our flows."""
        self.switch.write(self.datapath.stats_request(7, slice_, slices))
        return self.switch.heard()

    @property
    def dynamic_flows(self) -> int:
        return sum(flow.cookie >> 62 == 2 for flow in self.switch.flows.values())


def to_port(number: int, data: bytes) -> Out:
    return Out(number, data)


def tunnelled(key: int, data: bytes, *, dst: str = "172.31.0.2") -> Out:
    return Out(TUNNEL, data, tunnel_id=key, tunnel_dst=dst)
