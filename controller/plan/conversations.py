"""Live connections, found again from what hosts remember of them and from what is installed.

An entry of the state table says what a connection's packets look like in the middle of their way.
Where they come in, and as what, is found so:

1. Translations are undone: what an entry has as translated is in the key of its counterpart.
2. Whoever states the source sends it, to whoever is the next hop; a floating IP may stand for the
   destination. Flows that follow the connection say more exactly where it comes in.
3. The walk tells which of these it is: a packet that meets the entry, and whose answer comes back.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from onehop.controller.plan.links import Links, Speaker
from onehop.controller.plan.scene import Scene, probes_of
from onehop.engine.rehearsal import KINDS, PROBE, Array
from onehop.engine.states import KINDS as ENTRIES
from onehop.engine.states import STATES

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
ECHO = {ICMP: 8, ICMPV6: 128}
ETH = {4: 0x0800, 6: 0x86DD}
ACK, SYN = 16, 2
TTL = 64
MOST_UNDONE = 4  # translations of one connection
MOST_UPLINKS = 8  # that are tried for one connection
FORWARD = KINDS.index("forward")
OPENED = [ENTRIES.index(kind) for kind in ("connection", "snat", "dnat")]
ENDING = [STATES.index(state) for state in ("closing", "closed")]
BACK_SOURCE, BACK_DESTINATION = map(ENTRIES.index, ("reverse_snat", "reverse_dnat"))

TUPLE = np.dtype(
    [
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("protocol", "u1"),
        ("family", "u1"),
    ]
)
PACKED = struct.Struct("=16s16s6s6sIHHHHBBBBHHIHH")
assert (PACKED.size, TUPLE.itemsize) == (PROBE.itemsize, 38)


class Ends(NamedTuple):
    """Who speaks to whom about what."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    protocol: int
    family: int


class Talks(NamedTuple):
    """The connections that were found, by their first packets' headers."""

    probes: Array
    unplaced: int  # of which it is not known where they come in


def find(scene: Scene) -> Talks:
    """Every connection that anybody remembers."""
    known = _known(scene)
    owners, rows = _candidates(scene, known)
    if not rows:
        return Talks(probes_of([]), len(known))
    probes = probes_of(rows)
    there, back, _ = scene.rehearse(probes)
    fits = (there["kind"] == FORWARD) & (there["n_used"] > 0) & (there["is_return"] == 0)
    worth = fits * (4 + 2 * (back["answers"] != 0) + (there["n_created"] == 0)).astype(np.int8)
    order = np.lexsort((np.arange(len(rows)), -worth, owners))
    firsts = order[np.unique(owners[order], return_index=True)[1]]
    chosen = np.sort(firsts[worth[firsts] > 0])
    return Talks(probes[chosen], len(known) - len(chosen))


def packet(
    ends: Ends, speaker: Speaker, next_hop: bytes, in_port: int, table: int, flags: int = ACK
) -> bytes:
    """The PROBE of a packet that `speaker` sends."""
    echoes = ECHO.get(ends.protocol)
    source_port, destination_port = ends.source_port, ends.destination_port
    if echoes is not None:
        source_port, destination_port = echoes, 0
    return PACKED.pack(
        ends.source, ends.destination, speaker.mac, next_hop, in_port, ETH[ends.family], 0,
        source_port, destination_port, ends.protocol, 0, TTL, 0,
        flags if ends.protocol == TCP else 0, 0, table, ends.source_port if echoes else 0, 0,
    )  # fmt: skip


def as_packet(key: np.void, table: int) -> Any:
    """A packet that a flow with this key is for."""
    probe = np.zeros(1, PROBE)
    probe["key"], probe["table"] = key, table
    probe["key"]["ip_ttl"] = TTL
    if key["ip_proto"] == TCP:
        probe["key"]["tcp_flags"] = ACK
    return probe[0]


def _known(scene: Scene) -> list[Ends]:
    """What the hosts remember and has not ended, as it was before any translation."""
    records = scene.records()
    tuples = _tuples(records)
    kinds = records["kind"]
    undo_source = _answers(tuples, records, kinds == BACK_SOURCE)
    undo_destination = _answers(tuples, records, kinds == BACK_DESTINATION)
    ends = np.isin(records["state"], ENDING)
    opened, ending = (
        dict.fromkeys(_undone(one, undo_source, undo_destination) for one in _bytes(some))
        for some in (tuples[np.isin(kinds, OPENED) & ~ends], tuples[ends])
    )
    return [_ends(one) for one in opened if one not in ending]


def _tuples(records: Array) -> Array:
    found = np.zeros(len(records), TUPLE)
    for name in TUPLE.names or ():
        found[name] = records[name]
    return found


def _bytes(tuples: Array) -> list[bytes]:
    return [] if not len(tuples) else np.ascontiguousarray(tuples).view("V38").tolist()


def _answers(tuples: Array, records: Array, wanted: Array) -> dict[bytes, bytes]:
    """By what answers look like: who they are for, an address and a port."""
    kept = records[wanted]
    who = np.zeros(len(kept), np.dtype([("address", "u1", 16), ("port", "u2")]))
    who["address"], who["port"] = kept["address"], kept["port"]
    values = np.ascontiguousarray(who).view("V18").tolist() if len(kept) else []
    return dict(zip(_bytes(tuples[wanted]), values, strict=True))


def _undone(
    one: bytes, undo_source: dict[bytes, bytes], undo_destination: dict[bytes, bytes]
) -> bytes:
    for _ in range(MOST_UNDONE if undo_source or undo_destination else 0):
        answer = one[16:32] + one[:16] + one[34:36] + one[32:34] + one[36:]
        is_echo = one[36] in ECHO
        if who := undo_source.get(answer):
            port = who[16:]
            one = who[:16] + one[16:32] + port + (port if is_echo else one[34:36]) + one[36:]
        elif who := undo_destination.get(answer):
            port = who[16:]
            one = one[:16] + who[:16] + (port if is_echo else one[32:34]) + port + one[36:]
        else:
            break
    return one


def _ends(one: bytes) -> Ends:
    return Ends(*struct.unpack("=16s16sHHBB", one))


def _candidates(scene: Scene, known: list[Ends]) -> tuple[Array, list[bytes]]:
    """Packets that may be those of the connections, and whose each is, by its place."""
    followed = _followed(scene)
    owners: list[int] = []
    rows: list[bytes] = []
    for place, ends in enumerate(known):
        for row in (*followed.get(ends, ()), *_packets(scene, ends)):
            owners.append(place)
            rows.append(row)
    return np.array(owners, np.int64), rows


def _followed(scene: Scene) -> dict[Ends, list[bytes]]:
    """The packets of flows that say all of a connection."""
    found: dict[Ends, list[bytes]] = defaultdict(list)
    for table, flows in enumerate(scene.flows):
        exact = (flows.masks["ip_src"][:, :4] == 255).all(axis=1)
        exact &= (flows.masks["ip_dst"][:, :4] == 255).all(axis=1)
        exact &= (flows.masks["tp_src"] == 0xFFFF) & (flows.masks["tp_dst"] == 0xFFFF)
        probes = np.zeros(int(exact.sum()), PROBE)
        probes["key"], probes["table"] = flows.keys[exact], table
        probes["key"]["ip_ttl"] = TTL
        probes["key"]["tcp_flags"] = np.where(probes["key"]["ip_proto"] == TCP, ACK, 0)
        for row, key in zip(probes, probes["key"], strict=True):
            family = 4 if key["eth_type"] == ETH[4] else 6
            ports = int(key["tp_src"]), int(key["tp_dst"])
            ends = Ends(key["ip_src"].tobytes(), key["ip_dst"].tobytes(), *ports,
                        int(key["ip_proto"]), family)  # fmt: skip
            found[ends].append(row.tobytes())
    return found


def _packets(scene: Scene, ends: Ends) -> Iterator[bytes]:
    links = scene.links
    size = 4 if ends.family == 4 else 16
    source, destination = ends.source[:size], ends.destination[:size]
    for address in (destination, *links.fixed.get(destination, ())):
        to = ends._replace(destination=address.ljust(16, b"\0"))
        for speaker in links.speakers(source)[:MOST_UPLINKS]:
            yield from _sent_by(scene, links, to, speaker, address)


def _sent_by(
    scene: Scene, links: Links, ends: Ends, speaker: Speaker, destination: bytes
) -> Iterable[bytes]:
    index = scene.names.port_index(speaker.port)
    table = scene.table_of(speaker.host)
    for mac in links.next_hops(speaker.port, destination):
        yield packet(ends, speaker, mac, index, table)
