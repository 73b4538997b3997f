"""Rule evaluation: sets of rules in the manner of ClassBench's ACL, FW and IPC seeds.

What the seeds are known for is drawn here: ACLs name long destination prefixes and exact ports,
firewalls wildcard sources and name ranges of ports, IP chains are in between and name the protocol
alone more often.  Each packet meets a rule of the set or the last one, which accepts.  An
evaluation is measured with what is around it: parsing, and the walk over one bridge.

The peers are a linear search, and Open vSwitch's classifier by itself (see peers/ovs_code.py): as
many rules, each of a priority of its own, in as many tables as the set has shapes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address, ip_network
from typing import NamedTuple

import frames
import ovs_code
import pytest
from networks import Resources, mac, udp
from record import Meter
from workloads import machine

from onehop.engine import model
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

PACKETS, ROUNDS = 200, 50
SIZES = (1000, 10_000, pytest.param(100_000, marks=pytest.mark.long))
PORTS = ("53", "80", "123", "443", "1194", "5060", "8080")
RANGES = ("1024-65535", "6000-6063", "100-200")


class Seed(NamedTuple):
    """How often what is stated, and how long the prefixes are."""

    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    exact_port: float
    range_port: float


SEEDS = {
    "acl": Seed((0, 16, 24, 32), (24, 28, 32, 32), 0.8, 0.1),
    "fw": Seed((0, 0, 0, 16, 32), (0, 24, 32), 0.4, 0.3),
    "ipc": Seed((0, 16, 24, 32), (0, 16, 24, 32), 0.4, 0.1),
}


def rules(seed: Seed, count: int) -> Iterator[model.Rule]:
    draw = random.Random(count)
    for _ in range(count - 1):
        chance = draw.random()
        exact, ranged = chance < seed.exact_port, chance < seed.exact_port + seed.range_port
        yield model.Rule(
            action="drop",
            protocol="udp" if exact or draw.random() < 0.5 else "tcp",
            source=prefix(draw, draw.choice(seed.sources)),
            destination=prefix(draw, draw.choice(seed.destinations) or (0 if exact else 16)),
            destination_ports=draw.choice(PORTS if exact else RANGES) if ranged else None,
        )
    yield model.Rule(action="accept", ether_type="ipv4")


def prefix(draw: random.Random, length: int) -> str | None:
    if length == 0:
        return None
    value = draw.getrandbits(32) & (0xFFFFFFFF << (32 - length))
    return f"{ip_address(value & 0x7FFFFFFF | 0x20000000)}/{length}" if length > 4 else None


def shapes(chain: list[model.Rule]) -> int:
    """In how many ways its rules say what they match."""
    lengths = [[ip_network(ip or "0.0.0.0/0").prefixlen for ip in (rule.source, rule.destination)]
               for rule in chain]  # fmt: skip
    return len({(rule.protocol is None, rule.destination_ports is None, *both)
                for rule, both in zip(chain, lengths, strict=True)})  # fmt: skip


def network(chain: list[model.Rule]) -> Resources:
    return [
        model.Host(name="h1", tunnel_address="172.31.0.1"),
        model.Bridge(name="net", inbound_filter="wall"),
        model.Chain(name="wall", rules=tuple(chain)),
        model.Port(name="vm1", device="net", host="h1", interface="vm1"),
        machine("vm2", "h1", "net", 2, "10.0.0.2"),
    ]


def packets(chain: list[model.Rule]) -> list[bytes]:
    """Every one with the addresses and the port of some rule of the set."""
    draw = random.Random(7)
    found = []
    for rule in draw.choices(chain[:-1], k=PACKETS):
        ends = [inside(rule.source, draw), inside(rule.destination, draw)]
        port = str(rule.destination_ports or 9).partition("-")[0]
        ip = udp(*ends, sport=40_000, dport=int(port))
        found.append(frames.ip_frame(mac(2), mac(1), ip).encode())
    return found


def inside(stated: str | None, draw: random.Random) -> str:
    within = ip_network(stated or "32.0.0.0/3", strict=False)
    assert isinstance(within, IPv4Network)
    return str(within[draw.randrange(within.num_addresses)])


def linear(chain: list[model.Rule], packet: bytes) -> str:
    """The first rule that holds, found by asking one after another."""
    frame = frames.decode(packet)
    assert frame is not None
    assert isinstance(frame.body, frames.Ip)
    ip, dport = frame.body, int.from_bytes(frame.body.payload[2:4], "big")
    for rule in chain:
        if rule.protocol not in (None, "udp"):
            continue
        if rule.source and ip.src not in ip_network(rule.source, strict=False):
            continue
        if rule.destination and ip.dst not in ip_network(rule.destination, strict=False):
            continue
        first, _, last = str(rule.destination_ports or "0-65535").partition("-")
        if int(first) <= dport <= int(last or first):
            return rule.action
    raise AssertionError("the last rule holds always")


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_rules(meter: Meter, seed: str, count: int) -> None:
    chain = list(rules(SEEDS[seed], count))
    topology = Topology()
    topology.update(network(chain))
    simulator, sent = Simulator(topology), packets(chain)
    for packet in sent[: 20_000 // count + 2]:
        kind = simulator.simulate(packet, "vm1").kind
        assert kind == ("forward" if linear(chain, packet) == "accept" else "drop")

    def evaluate() -> None:
        for packet in sent:
            simulator.repeat(packet, "vm1", ROUNDS)

    meter.time(f"rules, {seed}", evaluate, n=PACKETS * ROUNDS, unit="/s", rounds=7, rules=count)


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_search(meter: Meter, seed: str) -> None:
    chain = list(rules(SEEDS[seed], 10_000))
    some = packets(chain)[:5]
    meter.time(f"rules, {seed}", lambda: [linear(chain, packet) for packet in some], n=5,
               unit="/s", rounds=2, who="linear search", note="plain Python",
               rules=10_000)  # fmt: skip


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_ovs_classifier(meter: Meter, seed: str, count: int) -> None:
    def note() -> None:
        rate, told = ovs_code.classifier(count, shapes(list(rules(SEEDS[seed], count))), count)
        meter.note(f"rules, {seed}", rate, "/s", who="OVS classifier", rules=count,
                   note=f"{told}; without parsing and walk")  # fmt: skip

    meter.once(note)
