"""What new connections between machines would get: a sample of packets that open them.

1. Everybody whom the change may concern speaks to everybody: the machines of the devices that are
   linked to a changed one, and one address beyond each of their uplinks; and to floating IPs and
   VIPs.
2. At most `MOST_PACKETS` packets are made up; where that is too few for all, machines are taken at
   equal distances from the list of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

import msgspec
import numpy as np

from onehop.controller.plan.conversations import (
    ECHO,
    FORWARD,
    ICMP,
    ICMPV6,
    SYN,
    TCP,
    UDP,
    Ends,
    packet,
)
from onehop.controller.plan.findings import Pair, Pairs
from onehop.controller.plan.links import UNKNOWN_MAC, Links, Speaker, packed_mac
from onehop.controller.plan.scene import Held, Scene, probes_of
from onehop.controller.plan.telling import MOST_TOLD, Teller, port_of, reason_of
from onehop.engine.model import (
    Chain,
    FloatingIp,
    Port,
    Resource,
    SecurityGroup,
    Vip,
    read_ports,
    read_protocol,
)
from onehop.engine.rehearsal import KINDS, NOBODY, Array, Rehearsed

AWAIT = KINDS.index("await")

MOST_PACKETS = 200_000
MOST_SERVICES = 6
SOURCE_PORT, ECHO_ID = 50_000, 50_000
PING = (0, 0)  # a protocol and a port


class Target(NamedTuple):
    """What may be asked for."""

    name: str
    address: bytes
    service: tuple[int, int] | None = None  # the only one there is


class Asker(NamedTuple):
    """Somebody who asks."""

    speaker: Speaker
    address: bytes


class Asked(NamedTuple):
    """Who asks whom for what, and the packets that do so."""

    machines: int
    of: int
    services: list[tuple[int, int]]
    questions: list[tuple[Asker, Target, tuple[int, int]]]
    probes: Array


def ask(scene: Scene, held: Held, changed: Sequence[Resource]) -> Asked:
    """Packets that open connections, about what `changed` (as it is and as it would be) says."""
    services = [PING, *_services(changed)][:MOST_SERVICES]
    devices = _concerned(scene.links, changed)
    askers = list(_askers(scene.links, devices))
    targets = [Target(one.speaker.port, one.address) for one in askers]
    named = list(_named(held, changed))
    some, targets = _sample(askers, targets, len(named), len(services))
    questions = list(_questions(some, [*targets, *named], services))
    rows = [_packet(scene, *question) for question in questions]
    kept = [place for place, row in enumerate(rows) if row]
    return Asked(
        len({one.speaker.port for one in some}),
        len({one.speaker.port for one in askers}),
        services,
        [questions[place] for place in kept],
        probes_of([rows[place] for place in kept]),
    )


def words(service: tuple[int, int]) -> str:
    """A service as people write it."""
    if service == PING:
        return "icmp"
    names = {TCP: "tcp", UDP: "udp"}
    return f"{names[service[0]]}/{service[1]}"


def _services(changed: Iterable[Resource]) -> list[tuple[int, int]]:
    """What the changed rules name."""
    found: dict[tuple[int, int], None] = {}
    for resource in changed:
        match resource:
            case Chain():
                stated = [(r.protocol, r.destination_ports) for r in resource.rules]
            case SecurityGroup():
                stated = [(r.protocol, r.ports) for r in resource.rules]
            case Vip():
                stated = [(resource.protocol, str(resource.port))]
            case _:
                stated = []
        for protocol, ports in stated:
            number = read_protocol(protocol) if protocol else None
            for one in (number,) if number in (TCP, UDP) else (TCP, UDP) if ports else ():
                found[one, read_ports(ports)[0] if ports else 80] = None
    return list(found) or [(TCP, 80)]


def _concerned(links: Links, changed: Iterable[Resource]) -> set[str] | None:
    """The devices that are linked to what changes; None: any may be."""
    found: set[str] = set()
    for resource in changed:
        fields = msgspec.structs.asdict(resource)
        if isinstance(resource, Port):
            found.add(resource.device)
        elif resource.KIND in ("bridge", "router"):
            found.add(resource.name)
        elif "router" in fields or "bridge" in fields:
            found.add(fields.get("router") or fields["bridge"])
        else:
            return None
    joined = [{one.device, other.device} for one, other in links.peers()]
    before = -1
    while before != len(found):
        before = len(found)
        for pair in joined:
            if pair & found:
                found |= pair
    return found


def _askers(links: Links, devices: set[str] | None) -> Iterator[Asker]:
    for port in sorted(links.ports.values(), key=lambda port: port.name):
        if port.host is None or port.interface is None:
            continue
        if devices is not None and port.device not in devices:
            continue
        if not links.is_bridged(port):
            speaker = Speaker(port.name, port.host, UNKNOWN_MAC)
            for _, beyond in sorted(links.outside[port.name].items()):
                yield Asker(speaker, beyond)
        elif port.mac:
            speaker = Speaker(port.name, port.host, packed_mac(port.mac))
            by_family = {ip_interface(t).version: ip_interface(t).ip for t in port.addresses[::-1]}
            for _, address in sorted(by_family.items()):
                yield Asker(speaker, address.packed)


def _named(held: Held, changed: Iterable[Resource]) -> Iterator[Target]:
    rows = {(r.KIND, r.name): r for r in (*held.values(), *changed)}
    for row in rows.values():
        if isinstance(row, FloatingIp):
            yield Target(f"floating IP {row.address}", ip_address(row.address).packed)
        elif isinstance(row, Vip):
            service = TCP if row.protocol == "tcp" else UDP, row.port
            yield Target(f"VIP {row.name}", ip_address(row.address).packed, service)


def _sample(
    askers: list[Asker], targets: list[Target], n_named: int, n_services: int
) -> tuple[list[Asker], list[Target]]:
    n = len(askers)
    while n > 1 and n * (n * n_services + n_named) > MOST_PACKETS:
        n = n * 9 // 10
    if n == len(askers):
        return askers, targets
    places = [place * len(askers) // n for place in range(n)]
    return [askers[place] for place in places], [targets[place] for place in places]


def _questions(
    askers: Iterable[Asker], targets: Sequence[Target], services: Sequence[tuple[int, int]]
) -> Iterator[tuple[Asker, Target, tuple[int, int]]]:
    for asker in askers:
        for target in targets:
            if target.name == asker.speaker.port or len(target.address) != len(asker.address):
                continue
            for service in (target.service,) if target.service else services:
                yield asker, target, service


def _packet(scene: Scene, asker: Asker, target: Target, service: tuple[int, int]) -> bytes:
    """Nothing where nobody would take the packet from who asks."""
    macs = scene.links.next_hops(asker.speaker.port, target.address)
    if not macs:
        return b""
    family = 4 if len(asker.address) == 4 else 6
    protocol, number = service
    ports = (SOURCE_PORT, number)
    if service == PING:
        protocol, ports = ICMP if family == 4 else ICMPV6, (ECHO_ID, ECHO_ID)
    assert service != PING or protocol in ECHO
    ends = Ends(asker.address.ljust(16, b"\0"), target.address.ljust(16, b"\0"), *ports,
                protocol, family)  # fmt: skip
    index, table = (scene.names.port_index(asker.speaker.port),
                    scene.table_of(asker.speaker.host))  # fmt: skip
    return packet(ends, asker.speaker, macs[0], index, table, SYN)


# --- what they get


def judge(scene: Scene, asked: Asked, before: Rehearsed, after: Rehearsed) -> Pairs:
    uplinks = [scene.names.port_index(uplink.port) for uplink in scene.links.uplinks]
    is_, would = _reached(before), _reached(after)
    inside, stays = (~np.isin(o.there["port"], uplinks) for o in (before, after))
    strays = is_ & would & (inside != stays)
    is_, would = is_ & ~(strays & ~inside), would & ~(strays & inside)
    unsure = (before.there["kind"] == AWAIT) | (after.there["kind"] == AWAIT)
    found: dict[tuple[bool, str, str, bytes], list[int]] = {}
    for place in np.flatnonzero((is_ != would) & ~unsure):
        asker, target, _ = asked.questions[place]
        group = bool(would[place]), asker.speaker.port, target.name, target.address
        found.setdefault(group, []).append(int(place))
    both: dict[bool, list[Pair]] = {False: [], True: []}
    for (gains, source, name, address), places in found.items():
        services = tuple(words(asked.questions[place][2]) for place in places)
        reason = ""
        if not gains and len(both[False]) < MOST_TOLD:
            reason = _why_lost(scene, asked.probes[places[0]], after, places[0])
        both[gains].append(Pair(gains, source, name, str(ip_address(address)), services, reason))
    return Pairs(
        machines=asked.machines,
        of=asked.of,
        asked=len({(a.speaker.port, t.address) for a, t, _ in asked.questions}),
        services=tuple(map(words, asked.services)),
        lose=tuple(both[False]),
        gain=tuple(both[True]),
    )


def _reached(rehearsed: Rehearsed) -> Array:
    return np.asarray((rehearsed.there["kind"] == FORWARD) & (rehearsed.back["answers"] != 0))


def _why_lost(scene: Scene, probe: np.void, after: Rehearsed, place: int) -> str:
    there, back, teller = after.there[place], after.back[place], Teller(scene)
    if there["kind"] != FORWARD:
        return reason_of(teller.there(probe))
    if there["port"] == NOBODY:
        return "nobody states where it is"
    if back["answers"]:
        return f"leaves by {port_of(scene, there)} to somebody else"
    return f"its answer: {reason_of(teller.back(probe, there))}"
