"""Equal routes share connections: evenly, alike on every host, moving no more than needed."""

from collections import Counter
from ipaddress import ip_address

import frames
import msgspec
import pytest
from frames import TCP, Ip
from networks import unguarded

from onehop.engine import model
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

CONNECTIONS = 1200
UPLINKS = ("up0", "up1", "up2")
VMS = {4: ("10.0.0.11", "198.51.100.7", "10.0.0.1"), 6: ("fd00::11", "2001:db8::7", "fd00::1")}


def resources() -> list[model.Resource]:
    """Two machines on two hosts, a router, three uplinks with equal default routes."""
    names = ("c0", "c1", "g0", "g1", "g2")
    hosts = [model.Host(name=n, tunnel_address=f"172.31.0.{i + 1}") for i, n in enumerate(names)]
    found = [*hosts, model.Bridge(name="net", tunnel_key=1), model.Router(name="gw")]
    found += [_port("vm0", "net", "c0", "02:00:00:00:00:00", ("10.0.0.11", "fd00::11"), 2)]
    found += [_port("vm1", "net", "c1", "02:00:00:00:00:01", ("10.0.0.12", "fd00::12"), 3)]
    addresses = ("10.0.0.1/24", "fd00::1/64")
    found += [model.Port(name="gw-net", device="gw", mac="02:00:00:00:01:00", addresses=addresses)]
    found += [model.Port(name="net-gw", device="net", peer="gw-net")]
    for n, name in enumerate(UPLINKS):
        own = (f"10.56.{n}.2/24", f"fd00:56:{n}::2/64")
        found.append(_port(name, "gw", f"g{n}", f"02:00:00:00:02:0{n}", own, 10 + n))
        found += _way_out(n, name)
    return found


def _port(
    name: str, device: str, host: str, mac: str, addresses: tuple[str, ...], key: int
) -> model.Port:
    return model.Port(
        name=name,
        device=device,
        host=host,
        interface="eth1",
        mac=mac,
        addresses=addresses,
        tunnel_key=key,
    )


def _way_out(n: int, name: str) -> list[model.Resource]:
    found: list[model.Resource] = []
    for destination, gateway in (("0.0.0.0/0", f"10.56.{n}.1"), ("::/0", f"fd00:56:{n}::1")):
        mac = f"06:00:00:00:00:0{n}"
        found.append(model.Neighbor(host=f"g{n}", port=name, address=gateway, mac=mac))
        found.append(
            model.LearnedRoute(
                host=f"g{n}",
                next_hop_port=name,
                destination=destination,
                next_hop_gateway=gateway,
            )
        )
    return found


def connection(number: int, version: int = 4, vm: int = 0) -> bytes:
    src, dst, _ = VMS[version]
    ports = (1024 + number).to_bytes(2, "big") + b"\x01\xbb"
    ip = Ip(ip_address(src), ip_address(dst), TCP, ports + bytes(8) + b"\x50\x02" + bytes(6))
    eth_src = f"02:00:00:00:00:0{vm}"
    return frames.ip_frame("02:00:00:00:01:00", eth_src, frames.with_checksum(ip, 16)).encode()


def uplinks_of(simulator: Simulator, version: int = 4, vm: int = 0) -> list[str]:
    verdicts = (
        simulator.simulate(connection(n, version, vm), f"vm{vm}") for n in range(CONNECTIONS)
    )
    return [verdict.outputs[0].port for verdict in verdicts]


@pytest.fixture
def topology() -> Topology:
    compiled = Topology()
    compiled.update(unguarded(resources()))
    return compiled


@pytest.mark.parametrize("version", [4, 6])
def test_three_equal_routes_get_a_third_each(topology: Topology, version: int) -> None:
    shares = Counter(uplinks_of(Simulator(topology), version))
    assert set(shares) == set(UPLINKS)
    assert all(abs(share / CONNECTIONS - 1 / 3) < 0.05 for share in shares.values())


def test_a_connection_takes_the_same_way_from_every_host(topology: Topology) -> None:
    simulator = Simulator(topology)
    assert uplinks_of(simulator, vm=0) == uplinks_of(simulator, vm=1)


def test_every_agent_that_compiles_the_same_topology_chooses_the_same(topology: Topology) -> None:
    other = Topology()
    for resource in reversed(resources()):
        other.update([resource])
    assert uplinks_of(Simulator(topology)) == uplinks_of(Simulator(other))


def test_another_seed_shares_otherwise(topology: Topology) -> None:
    one, other = uplinks_of(Simulator(topology)), uplinks_of(Simulator(topology, seed=1))
    same = sum(a == b for a, b in zip(one, other, strict=True))
    assert abs(same / CONNECTIONS - 1 / 3) < 0.05


@pytest.mark.parametrize("how", ["host", "route", "status", "admin"])
def test_removing_one_of_three_moves_only_its_share(topology: Topology, how: str) -> None:
    before = uplinks_of(Simulator(topology))
    take_away(topology, how)
    after = uplinks_of(Simulator(topology))
    moved = {n for n in range(CONNECTIONS) if before[n] != after[n]}
    assert moved == {n for n in range(CONNECTIONS) if before[n] == "up1"}
    assert abs(Counter(after)["up0"] / CONNECTIONS - 1 / 2) < 0.05


def take_away(topology: Topology, how: str) -> None:
    """The second uplink goes, in one of the ways in which uplinks go."""
    if how == "host":
        topology.set_host_alive("g1", False)
    elif how == "route":
        topology.update([], [("learned_route", "up1 0.0.0.0/0 10.56.1.1")])
    elif how == "status":
        topology.update([model.PortStatus(host="g1", port="up1", up=False)])
    else:
        up1 = _port("up1", "gw", "g1", "02:00:00:00:02:01", ("10.56.1.2/24",), 11)
        topology.update([msgspec.structs.replace(up1, admin_state_up=False)])


def test_an_uplink_that_returns_takes_back_exactly_its_share(topology: Topology) -> None:
    before = uplinks_of(Simulator(topology))
    topology.set_host_alive("g1", False)
    topology.set_host_alive("g1", True)
    assert uplinks_of(Simulator(topology)) == before


def test_a_fourth_uplink_takes_a_quarter_from_all_and_moves_nothing_else(
    topology: Topology,
) -> None:
    before = uplinks_of(Simulator(topology))
    host = model.Host(name="g3", tunnel_address="172.31.0.99")
    port = _port("up3", "gw", "g3", "02:00:00:00:02:03", ("10.56.3.2/24",), 13)
    topology.update([host, port, *_way_out(3, "up3")])
    after = uplinks_of(Simulator(topology))
    moved = [n for n in range(CONNECTIONS) if before[n] != after[n]]
    assert {after[n] for n in moved} == {"up3"}
    assert abs(len(moved) / CONNECTIONS - 1 / 4) < 0.05


def test_every_packet_of_a_connection_takes_one_way(topology: Topology) -> None:
    simulator = Simulator(topology)
    first = simulator.simulate(connection(7), "vm0")
    for change in ({"ttl": 9}, {"tos": 0xB8}, {"ident": 77}):
        frame = frames.decode(connection(7))
        assert frame is not None
        again = simulator.simulate(frame.with_ip(**change).encode(), "vm0")
        assert again.actions == first.actions


def test_fragments_of_one_datagram_take_one_way_by_their_addresses(topology: Topology) -> None:
    simulator = Simulator(topology)
    ways = set()
    for offset in (185, 370, 555):
        frame = frames.decode(connection(7))
        assert frame is not None
        later = frame.with_ip(offset=offset, payload=bytes(offset % 64 + 8))
        ways.add(simulator.simulate(later.encode(), "vm0").outputs[0].port)
    assert len(ways) == 1
