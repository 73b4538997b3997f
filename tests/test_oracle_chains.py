"""Long ways: routers in a row, routers that send packets back and forth, bridges in a row."""

from ipaddress import ip_address

import frames
import pytest
from agreement import disagreement
from frames import Ip
from oracle import judge
from test_oracle_walk import compiled
from world import World

from onehop.engine import craft, model, packet
from onehop.engine.explain import Verdict

FAR = "198.51.100.9"


def routers(count: int, *, back: bool = False) -> list[model.Resource]:
    """`count` routers in a row from port "in" to port "out"; with `back`, the last sends back."""
    found: list[model.Resource] = [model.Host(name="h", tunnel_address="172.31.0.1")]
    for n in range(count):
        left, right = f"l{n}", f"x{n}"
        found.append(model.Router(name=f"r{n}"))
        ends = {"host": "h", "interface": "i"} if n == 0 else {"peer": f"x{n - 1}"}
        found.append(_port(left, f"r{n}", f"10.{n}.0.2/24", **ends))
        ends = {"host": "h", "interface": "o"} if n == count - 1 else {}
        found.append(_port(right, f"r{n}", f"10.{n + 1}.0.1/24", **ends))
        turns = back and n == count - 1
        gateway = f"10.{n}.0.1" if turns else f"10.{n + 1}.0.2"
        found.append(_route(f"r{n}", "0.0.0.0/0", left if turns else right, gateway))
        found.append(_route(f"r{n}", "10.0.0.0/24", left, f"10.{n}.0.1"))
    found.append(_neighbor("l0", "10.0.0.1", "06:00:00:00:00:01"))
    found.append(_neighbor(f"x{count - 1}", f"10.{count}.0.2", "06:00:00:00:00:02"))
    return found


def _port(name: str, device: str, address: str, **ends: str) -> model.Port:
    return model.Port(name=name, device=device, addresses=(address,), **ends)


def _neighbor(port: str, address: str, mac: str) -> model.Neighbor:
    return model.Neighbor(host="h", port=port, address=address, mac=mac)


def _route(router: str, destination: str, port: str, gateway: str) -> model.Route:
    if destination == "10.0.0.0/24" and router == "r0":
        destination = "10.0.0.1/32"
    return model.Route(
        router=router, destination=destination, next_hop_port=port, next_hop_gateway=gateway
    )


def send(resources: list[model.Resource], ttl: int) -> Verdict:
    """A packet in at the left; the engine's verdict, if the oracle agrees."""
    world = World(resources)
    ip = Ip(ip_address("10.0.0.1"), ip_address(FAR), frames.UDP, bytes(12), ttl=ttl)
    data = frames.ip_frame(world.mac(world.port("l0")), "06:00:00:00:00:01", ip).encode()
    verdict = compiled(resources).simulate(data, "l0")
    assert not disagreement(world, data, verdict, judge(world, "l0", data))
    return verdict


@pytest.mark.parametrize("count", [1, 2, 11, 12])
def test_twelve_routers_are_passed_each_lowering_the_ttl(count: int) -> None:
    verdict = send(routers(count), ttl=64)
    assert verdict.kind == "forward"
    (output,) = verdict.outputs
    assert packet.parse_key(output.packet)["ip_ttl"] == 64 - count


def test_the_thirteenth_device_ends_the_way() -> None:
    verdict = send(routers(13), ttl=64)
    assert (verdict.kind, verdict.outputs, verdict.emitted) == ("loop", (), ())


@pytest.mark.parametrize("ttl", range(1, 8))
def test_a_traceroute_shows_every_router(ttl: int) -> None:
    (answer,) = send(routers(8), ttl=ttl).emitted_outputs
    key = packet.parse_key(answer.packet)
    assert (key["icmp_type"], key["ipv4_src"]) == (11, f"10.{ttl - 1}.0.2")
    assert key["eth_dst"] == "06:00:00:00:00:01"
    assert key["ip_ttl"] == 64 - (ttl - 1)
    assert packet.checksums_ok(answer.packet)


def test_routers_that_send_a_packet_back_and_forth_end_it_by_its_ttl() -> None:
    (answer,) = send(routers(2, back=True), ttl=5).emitted_outputs
    assert packet.parse_key(answer.packet)["icmp_type"] == 11


def test_or_by_the_number_of_devices_where_the_ttl_is_high() -> None:
    verdict = send(routers(2, back=True), ttl=64)
    assert (verdict.kind, verdict.reason, verdict.cacheable) == ("loop", "loop", False)


def bridges(count: int) -> list[model.Resource]:
    """`count` bridges in a row, a machine at each end."""
    found: list[model.Resource] = [model.Host(name="h", tunnel_address="172.31.0.1")]
    for n in range(count):
        found.append(model.Bridge(name=f"b{n}", tunnel_key=n + 1))
        if n:
            found.append(model.Port(name=f"l{n}", device=f"b{n}", peer=f"x{n - 1}"))
        if n < count - 1:
            found.append(model.Port(name=f"x{n}", device=f"b{n}"))
    for name, n in (("a", 0), ("z", count - 1)):
        mac = f"02:00:00:00:00:{n:02x}" if name == "a" else "02:00:00:00:00:ff"
        ends = {"host": "h", "interface": name, "tunnel_key": 100 + ord(name)}
        found.append(model.Port(name=name, device=f"b{n}", mac=mac, **ends))
    return found


@pytest.mark.parametrize("count", [1, 2, 12, 13])
@pytest.mark.parametrize("dst", ["02:00:00:00:00:ff", "06:00:00:00:00:99", frames.BROADCAST])
def test_frames_pass_twelve_bridges_in_a_row(count: int, dst: str) -> None:
    resources = bridges(count)
    world = World(resources)
    data = frames.Frame(dst, "02:00:00:00:00:00", 0x88B5, b"hello").encode()
    verdict = compiled(resources).simulate(data, "a")
    assert not disagreement(world, data, verdict, judge(world, "a", data))
    assert [output.port for output in verdict.outputs] == (["z"] if count < 13 else [])


@pytest.mark.parametrize(
    "source",
    ["224.0.0.9", "255.255.255.255", "127.0.0.1", "0.0.0.0", "ff0e::9", "::1", "::"],
)
def test_an_echo_request_from_nobodys_address_is_not_answered(source: str) -> None:
    target = "10.0.0.1" if "." in source else "fd00::1"
    echo = 8 if "." in source else 128
    ip = frames.icmp(Ip(ip_address(source), ip_address(target), 0), echo, 0, b"\0\1\0\1")
    data = frames.ip_frame("02:00:00:00:00:fe", "02:00:00:00:00:01", ip).encode()
    assert craft.answer(data, "02:00:00:00:00:fe") is None
