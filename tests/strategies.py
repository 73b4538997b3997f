"""Random topologies, for hypothesis.

1. A topology is small and crowded: few names, overlapping prefixes, so that things meet.
2. Every topology passes `model.check`; state rows refer to what exists.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from onehop.engine import model

HOSTS = ("h0", "h1", "h2")
PREFIXES = (
    "0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "10.0.2.0/23", "10.0.0.11/32", "192.0.2.0/24",
    "::/0", "fd00::/16", "fd00:0:0:1::/64", "fd00:0:0:2::/63", "2001:db8::/32",
)  # fmt: skip
MTUS = (1280, 1427, 1428, 1447, 1448, 9000)
COMMON = ("0.0.0.0/0", "0.0.0.0/0", "::/0", "10.0.0.0/8")  # so that routes meet
SOURCES = (None, None, None, "10.0.0.0/24", "10.0.0.0/8", "fd00::/64", "10.0.0.10/31")


class Machine(NamedTuple):
    """Something that speaks behind an exterior port, whether or not the port states it."""

    port: str
    mac: str
    addresses: tuple[str, ...]


class Scene(NamedTuple):
    """A topology, what hosts have found out in it, and who speaks there."""

    topology: model.Topology
    state: tuple[model.Resource, ...]
    machines: tuple[Machine, ...]

    @property
    def resources(self) -> list[model.Resource]:
        return [*self.topology, *self.state]


# Not at an end of the range, which hypothesis draws more often; both shrink to False.
rarely = st.integers(0, 9).map(lambda n: n == 5)
seldom = st.integers(0, 3).map(lambda n: n == 2)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A scene of one to three bridges and up to two routers, linked up at random."""
    bridges = [f"b{n}" for n in range(draw(st.sampled_from((2, 3, 1))))]
    routers = [f"r{n}" for n in range(draw(st.sampled_from((1, 2, 1, 2, 0, 1))))]
    is_joined = len(bridges) > 1 and draw(seldom)  # b0 and b1 are one network
    ports, machines = [], []
    for n, bridge in enumerate(bridges):
        net = 0 if is_joined and n == 1 else n
        for m in range(draw(st.sampled_from((2, 3, 1)))):
            port, machine = draw(_machine(bridge, n, m, net))
            ports.append(port)
            machines.append(machine)
        for r, router in enumerate(routers):
            if net == n and not draw(seldom):
                ports += _router_link(bridge, n, router, r, draw(rarely))
    if is_joined:
        ports += _link("b0", "b1", (), ())
    if len(routers) > 1 and draw(st.booleans()):
        ends = (("10.9.0.1/30", "fd00:9::1/64"), ("10.9.0.2/30", "fd00:9::2/64"))
        ports += _link("r0", "r1", *ends)
    for n in range(draw(st.sampled_from((2, 3, 1, 0))) if routers else 0):
        port, machine = _uplink(routers[0], n)
        ports.append(port)
        machines.append(machine)
    topology = model.Topology(
        hosts=tuple(_host(n, name) for n, name in enumerate(HOSTS)),
        bridges=tuple(_device(draw, model.Bridge, name) for name in bridges),
        routers=tuple(_device(draw, model.Router, name) for name in routers),
        ports=tuple(_maybe_limited(draw, _maybe_down(draw, port)) for port in ports),
        routes=tuple(draw(_routes(routers, ports))),
    )
    topology = model.assign_keys(topology)
    return Scene(topology, tuple(draw(_state(topology, machines))), tuple(machines))


def plain_scene() -> Scene:
    """One fixed scene: two bridges with two machines each, a router between them."""
    spots = [(n, m) for n in (0, 1) for m in (0, 1)]
    machines = [
        Machine(f"b{n}-m{m}", _mac_of(n, m), (f"10.0.{n}.{10 + m}", f"fd00:0:0:{n}::{10 + m:x}"))
        for n, m in spots
    ]
    ports = [
        model.Port(
            name=machine.port,
            device=f"b{n}",
            host=HOSTS[m],
            interface=f"tap{n}",
            mac=machine.mac,
            addresses=machine.addresses,
            port_security=False,
        )
        for machine, (n, m) in zip(machines, spots, strict=True)
    ]
    for n in (0, 1):
        ports += _router_link(f"b{n}", n, "r0", 0, False)
    topology = model.Topology(
        hosts=tuple(_host(n, name) for n, name in enumerate(HOSTS)),
        bridges=(model.Bridge(name="b0"), model.Bridge(name="b1")),
        routers=(model.Router(name="r0"),),
        ports=tuple(ports),
    )
    return Scene(model.assign_keys(topology), (), tuple(machines))


def _mac_of(n: int, m: int) -> str:
    return f"02:00:00:00:{n:02x}:{m:02x}"


def _host(n: int, name: str) -> model.Host:
    return model.Host(name=name, tunnel_address=f"172.31.0.{n + 1}")


def _device(draw: st.DrawFn, kind: type, name: str) -> model.Resource:
    return kind(name=name, admin_state_up=not (draw(rarely) and draw(rarely)))


def _maybe_down(draw: st.DrawFn, port: model.Port) -> model.Port:
    if draw(rarely) and draw(seldom):
        return msgspec.structs.replace(port, admin_state_up=False)
    return port


def _maybe_limited(draw: st.DrawFn, port: model.Port) -> model.Port:
    """An MTU around the lengths of the packets that are sent (traffic.py)."""
    if port.device.startswith("r") and draw(seldom):
        return msgspec.structs.replace(port, mtu=draw(st.sampled_from(MTUS)))
    return port


@st.composite
def _machine(draw: st.DrawFn, bridge: str, n: int, m: int, net: int) -> tuple[model.Port, Machine]:
    name, mac = f"{bridge}-m{m}", _mac_of(n, m)
    low = 10 + m if net == n else 20 + m
    addresses = (f"10.0.{net}.{low}", f"fd00:0:0:{net}::{low:x}")
    host = draw(st.sampled_from(HOSTS))
    stated = 3 - draw(st.integers(0, 3))  # nothing, the MAC, and all with or without prefix
    port = model.Port(
        name=name,
        device=bridge,
        host=host,
        interface=f"tap{n}{m}",
        mac=mac if stated else None,
        addresses=addresses if stated > 1 else (),
        port_security=False,
    )
    return port, Machine(name, mac, addresses)


def _router_link(bridge: str, n: int, router: str, r: int, with_mac: bool) -> list[model.Port]:
    addresses = (f"10.0.{n}.{r + 1}/24", f"fd00:0:0:{n}::{r + 1}/64")
    ends = _link(bridge, router, (), addresses)
    if with_mac:
        mac = f"02:00:00:01:{n:02x}:{r:02x}"
        ends[1] = msgspec.structs.replace(ends[1], mac=mac)
    return ends


def _link(a: str, b: str, a_has: tuple[str, ...], b_has: tuple[str, ...]) -> list[model.Port]:
    one = model.Port(name=f"{a}-{b}", device=a, addresses=a_has, peer=f"{b}-{a}")
    return [one, model.Port(name=f"{b}-{a}", device=b, addresses=b_has)]


def _uplink(router: str, n: int) -> tuple[model.Port, Machine]:
    port = model.Port(
        name=f"up{n}",
        device=router,
        host=HOSTS[n],
        interface="eth1",
        addresses=(f"10.56.{n}.2/24", f"fd00:56:{n}::2/64"),
    )
    return port, Machine(port.name, f"06:00:00:00:00:0{n}", (f"10.56.{n}.1", f"fd00:56:{n}::1"))


@st.composite
def _routes(draw: st.DrawFn, routers: list[str], ports: list[model.Port]) -> list[model.Route]:
    found: dict[tuple[str | None, ...], model.Route] = {}
    for _ in range(draw(st.integers(1, 9)) if routers else 0):
        router = draw(st.sampled_from(routers))
        own = [port for port in ports if port.device == router and port.addresses]
        route = draw(_route(router, own))
        way = route.router, route.destination, route.source
        found[*way, route.next_hop_port, route.next_hop_gateway] = route
    return list(found.values())


@st.composite
def _route(draw: st.DrawFn, router: str, own: list[model.Port]) -> model.Route:
    destination = draw(st.sampled_from(PREFIXES if draw(st.booleans()) else COMMON))
    v6 = ":" in destination
    source = draw(st.sampled_from(SOURCES))
    fields = {"router": router, "destination": destination}
    if source and (":" in source) == v6:
        fields["source"] = source
    kinds = ["normal"] * 5 + ["blackhole", "reject"]
    fields["type"] = draw(st.sampled_from(kinds)) if own else "blackhole"
    fields["weight"] = draw(st.sampled_from((100, 100, 100, 50)))
    if fields["type"] == "normal":
        port = draw(st.sampled_from(own))
        fields["next_hop_port"] = port.name
        if draw(st.integers(0, 3)):
            fields["next_hop_gateway"] = _gateway(port, v6)
    return model.Route(**fields)


def _gateway(port: model.Port, v6: bool) -> str:
    """Somebody on the link of `port`: the other router, a machine, or nobody."""
    own = next(ip_interface(t) for t in port.addresses if (":" in t) == v6)
    low = int(own.ip) & 3
    other = {1: 2, 2: 1}.get(low, 1)
    return str(ip_address(int(own.ip) - low + other))


@st.composite
def _state(
    draw: st.DrawFn, topology: model.Topology, machines: list[Machine]
) -> list[model.Resource]:
    ports = {port.name: port for port in topology.ports}
    found: list[model.Resource] = []
    for machine in machines:
        port = ports[machine.port]
        if port.device.startswith("r") and draw(st.booleans()):
            found += _neighbors(port, machine)
        if port.device.startswith("b") and port.mac is None and draw(st.booleans()):
            found.append(_mac(port, machine.mac))
        if draw(rarely):
            up = not draw(seldom)
            found.append(model.PortStatus(host=port.host, port=port.name, up=up))
        if port.device.startswith("r") and draw(st.booleans()):
            found += draw(_learned_routes(port, machine))
    return list({(row.KIND, row.name): row for row in found}.values())


def _neighbors(port: model.Port, machine: Machine) -> list[model.Resource]:
    return [
        model.Neighbor(host=port.host, port=port.name, address=address, mac=machine.mac)
        for address in machine.addresses
    ]


def _mac(port: model.Port, mac: str) -> model.Resource:
    return model.LearnedMac(host=port.host, bridge=port.device, port=port.name, mac=mac)


@st.composite
def _learned_routes(
    draw: st.DrawFn, port: model.Port, machine: Machine
) -> list[model.LearnedRoute]:
    found = []
    for destination in draw(st.sets(st.sampled_from(PREFIXES), max_size=3)):
        gateway = next(a for a in machine.addresses if (":" in a) == (":" in destination))
        found.append(
            model.LearnedRoute(
                host=port.host,
                next_hop_port=port.name,
                destination=destination,
                next_hop_gateway=gateway,
            )
        )
    return found
