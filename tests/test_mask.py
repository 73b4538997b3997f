"""What a verdict claims to hold for: its mask, its tags."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import Scene, scenes
from traffic import packets

from onehop.engine import model
from onehop.engine.explain import Verdict
from onehop.engine.packet import parse_key
from onehop.engine.simulate import Simulator
from onehop.engine.topology import Topology

PROFILE = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def compiled(scene: Scene) -> Topology:
    topology = Topology()
    topology.update(scene.resources)
    return topology


def claim(verdict: Verdict) -> tuple[object, ...]:
    """What one flow says for all its packets."""
    return (
        verdict.kind,
        verdict.reason,
        verdict.cacheable,
        {name: bits for name, bits in verdict.match.items() if name != "in_port"},
        verdict.actions,
        verdict.learned,
    )


def mutants(packet: bytes, seed: int) -> Iterator[bytes]:
    """The packet with a few header bits flipped."""
    chosen = random.Random(seed)
    for _ in range(12):
        data = bytearray(packet)
        for _ in range(chosen.choice((1, 1, 2, 5))):
            at = chosen.randrange(min(len(data), 78) * 8)
            data[at >> 3] ^= 0x80 >> (at & 7)
        yield bytes(data)


def agrees(verdict: Verdict, packet: bytes, mutant: bytes) -> bool:
    """Whether the mutant differs from the packet in unmasked bits only, and in no TTL."""
    before, after = parse_key(packet), parse_key(mutant)
    if before.get("ip_ttl") != after.get("ip_ttl"):
        return False
    names = set(verdict.match) - {"in_port"}
    return all(masked(after, name, verdict) == masked(before, name, verdict) for name in names)


def masked(key: dict[str, int | str], name: str, verdict: Verdict) -> int | None:
    """The bits of a field that the verdict consulted; None where there is no such field."""
    value = key.get(name, 0 if name == "vlan_tci" else None)
    if isinstance(value, str):
        mac = name.startswith("eth_")
        value = int(value.replace(":", ""), 16) if mac else int(ip_address(value))
    return None if value is None else value & verdict.match[name][1]


@PROFILE
@given(st.data(), st.integers(0, 1 << 32))
def test_packets_that_agree_in_the_masked_bits_get_the_same_verdict(data, seed) -> None:
    scene = data.draw(scenes())
    simulator = Simulator(compiled(scene))
    for _ in range(3):
        port, packet = data.draw(packets(scene))
        verdict = simulator.simulate(packet, port)
        if not verdict.cacheable:
            continue
        for mutant in mutants(packet, seed):
            try:
                is_alike = agrees(verdict, packet, mutant)
            except ValueError:
                continue
            if is_alike:
                again = simulator.simulate(mutant, port)
                assert claim(again) == claim(verdict), mutant.hex()


def changes(draw: st.DrawFn, scene: Scene) -> tuple[list, list]:
    """One random change of a few resources."""
    resources = scene.resources
    chosen = draw(st.lists(st.sampled_from(resources), min_size=1, max_size=3, unique_by=id))
    put, remove = [], []
    for resource in chosen:
        changed = draw(st.sampled_from(list(variants(resource))))
        if changed is None:
            remove.append((resource.KIND, resource.name))
        else:
            put.append(changed)
    return put, remove


def variants(resource: model.Resource) -> Iterator[model.Resource | None]:
    yield None
    match resource:
        case model.Bridge() | model.Router():
            yield msgspec.structs.replace(resource, admin_state_up=not resource.admin_state_up)
        case model.Port():
            yield msgspec.structs.replace(resource, admin_state_up=not resource.admin_state_up)
            yield msgspec.structs.replace(resource, mac="02:00:00:00:00:77")
            yield msgspec.structs.replace(resource, addresses=resource.addresses[:1])
            yield msgspec.structs.replace(resource, peer=None)
        case model.Route():
            yield msgspec.structs.replace(resource, weight=resource.weight + 1)
            yield msgspec.structs.replace(resource, type="blackhole")
            yield model.Route(
                router=resource.router, destination=resource.destination, type="reject", weight=1
            )
        case model.Neighbor() | model.LearnedMac():
            yield msgspec.structs.replace(resource, mac="02:00:00:00:00:78")
        case model.PortStatus():
            yield msgspec.structs.replace(resource, up=not resource.up)


@PROFILE
@given(st.data())
def test_what_changes_a_verdict_reports_one_of_its_tags(data) -> None:
    scene = data.draw(scenes())
    topology = compiled(scene)
    simulator = Simulator(topology)
    sent = [data.draw(packets(scene)) for _ in range(5)]
    before = [simulator.simulate(packet, port) for port, packet in sent]
    put, remove = changes(data.draw, scene)
    tags = set(topology.update(put, remove))
    for host in ("h0", "h1"):
        if data.draw(st.booleans()):
            tags |= set(topology.set_host_alive(host, False))
    for (port, packet), old in zip(sent, before, strict=True):
        new = simulator.simulate(packet, port)
        if old.cacheable and claim(new) != claim(old):
            assert tags & set(old.tag_ids), (old.tags, put, remove, claim(old), claim(new))


@PROFILE
@given(st.data(), st.randoms(use_true_random=False))
def test_a_topology_changed_step_by_step_is_the_same_as_one_made_at_once(data, chance) -> None:
    scene = data.draw(scenes())
    put, remove = changes(data.draw, scene)
    final = {(r.KIND, r.name): r for r in [*scene.resources, *put]}
    for key in remove:
        final.pop(key, None)
    steps = scene.resources
    chance.shuffle(steps)
    stepwise, at_once = Topology(), Topology()
    for resource in steps:
        stepwise.update([resource])
    stepwise.update(put, remove)
    at_once.update(final.values())
    for _ in range(6):
        port, packet = data.draw(packets(scene))
        one, other = (
            Simulator(t).simulate(packet, port) if port in t.names.ports else None
            for t in (stepwise, at_once)
        )
        if other is not None:
            assert one == other or claim(one) == claim(other) and set(one.tags) == set(other.tags)
