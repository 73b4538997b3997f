"""How many flows conversations need: golden counts, exact.

`python tests/test_counts.py` writes the files anew, after a change that is meant.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Iterator

import frames
import pytest
from frames import Frame
from networks import Network, Resources, attach, hosts, link, mac, machine, udp, uplink

from onehop.engine import model
from onehop.engine.explain import Verdict

COUNTS = pathlib.Path(__file__).parent / "counts"
MACHINES, CONVERSATIONS = 8, 200
Sent = tuple[str, Frame]


def address(number: int, family: int, subnet: int = 0) -> str:
    return f"10.0.{subnet}.{10 + number}" if family == 4 else f"fd00:0:0:{subnet}::{10 + number}"


def machines_on(bridge: str, numbers: Iterable[int], subnet: int = 0) -> Resources:
    return [machine(n, bridge, address(n, 4, subnet), address(n, 6, subnet)) for n in numbers]


def one_bridge() -> Resources:
    return [*hosts(MACHINES), model.Bridge(name="a"), *machines_on("a", range(MACHINES))]


def l2(family: int) -> Iterator[Sent]:
    for n in range(CONVERSATIONS):
        one, other = n % MACHINES, (n + 1 + n // MACHINES % (MACHINES - 1)) % MACHINES
        there = udp(address(one, family), address(other, family), sport=10000 + n)
        back = udp(address(other, family), address(one, family), sport=53, dport=10000 + n)
        yield f"vm{one}", frames.ip_frame(mac(other), mac(one), there)
        yield f"vm{other}", frames.ip_frame(mac(one), mac(other), back)


def two_subnets() -> Resources:
    devices = [model.Bridge(name="a"), model.Bridge(name="b"), model.Router(name="r")]
    half = MACHINES // 2
    ports = machines_on("a", range(half), 0) + machines_on("b", range(half, MACHINES), 1)
    ports += attach("a", "r", "10.0.0.1/24", "fd00:0:0:0::1/64")
    ports += attach("b", "r", "10.0.1.1/24", "fd00:0:0:1::1/64")
    return [*hosts(MACHINES), *devices, *ports]


def l3(family: int) -> Iterator[Sent]:
    network, half = Network(two_subnets()), MACHINES // 2
    for n in range(CONVERSATIONS):
        one, other = n % half, half + n // half % half
        ends = address(one, family, 0), address(other, family, 1)
        there = udp(*ends, sport=10000 + n)
        back = udp(*ends[::-1], sport=53, dport=10000 + n)
        yield f"vm{one}", frames.ip_frame(network.mac_of("r-a"), mac(one), there)
        yield f"vm{other}", frames.ip_frame(network.mac_of("r-b"), mac(other), back)


def three_uplinks(count: int = 3) -> Resources:
    devices = [model.Bridge(name="a"), model.Router(name="r"), model.Router(name="edge")]
    ports = machines_on("a", range(MACHINES)) + attach("a", "r", "10.0.0.1/24")
    ports += link("r", "edge", "10.255.0.2/30", "10.255.0.1/30")
    out = {"router": "r", "destination": "0.0.0.0/0", "next_hop_port": "r-edge"}
    back = {"router": "edge", "destination": "10.0.0.0/24", "next_hop_port": "edge-r"}
    routes = [
        model.Route(**out, next_hop_gateway="10.255.0.1"),
        model.Route(**back, next_hop_gateway="10.255.0.2"),
    ]
    ups = [resource for n in range(1, count + 1) for resource in uplink(n)]
    return [*hosts(MACHINES), *devices, *ports, *routes, *ups]


def to_outside(resources: Resources, count: int) -> Iterator[Sent]:
    network = Network(resources)
    for n in range(CONVERSATIONS):
        vm, up = n % MACHINES, 1 + n % count
        far = f"198.51.100.{1 + n % 5}"
        there = udp(address(vm, 4), far, sport=10000 + n)
        back = udp(far, address(vm, 4), sport=53, dport=10000 + n)
        yield f"vm{vm}", frames.ip_frame(network.mac_of("r-a"), mac(vm), there)
        uplink_mac = network.mac_of(f"up{up}")
        yield f"up{up}", frames.ip_frame(uplink_mac, "06:00:00:00:00:01", back)


CASES = {
    "l2-ipv4": lambda: (one_bridge(), l2(4)),
    "l2-ipv6": lambda: (one_bridge(), l2(6)),
    "l3-ipv4": lambda: (two_subnets(), l3(4)),
    "l3-ipv6": lambda: (two_subnets(), l3(6)),
    "one-uplink": lambda: (three_uplinks(1), to_outside(three_uplinks(1), 1)),
    "three-uplinks": lambda: (three_uplinks(3), to_outside(three_uplinks(3), 3)),
}


def count(case: str) -> dict[str, object]:
    """Packets, those that no flow caught, the flows, and what the flows look at."""
    resources, sent = CASES[case]()
    network, flows, packets = Network(resources), dict[object, Verdict](), 0
    for port, frame in sent:
        verdict = network.send(port, frame)
        assert verdict.kind == "forward" and verdict.cacheable
        flows[(port, tuple(sorted(verdict.match.items())))] = verdict
        packets += 1
    fields = sorted({name for verdict in flows.values() for name in verdict.match})
    return {
        "machines": MACHINES,
        "conversations": CONVERSATIONS,
        "packets": packets,
        "flows": len(flows),
        "masks": len({tuple(mask_of(verdict)) for verdict in flows.values()}),
        "fields": fields,
    }


def mask_of(verdict: Verdict) -> list[tuple[str, int]]:
    return sorted((name, mask) for name, (_, mask) in verdict.match.items())


@pytest.mark.parametrize("case", CASES)
def test_conversations_need_as_many_flows_as_ever(case: str) -> None:
    assert count(case) == json.loads((COUNTS / f"{case}.json").read_text())


if __name__ == "__main__":
    for name in CASES:
        (COUNTS / f"{name}.json").write_text(json.dumps(count(name), indent=2) + "\n")
