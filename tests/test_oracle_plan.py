"""What `onehop plan` says of connections, against what hot paths and switches then do.

Three hosts in memory carry random conversations, some of them through filters, security groups and
translations. Each connection that the plan follows is then really sent, before and after a change.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

import frames
import msgspec
from changes import Change
from cluster import NOW_NS, Cluster, Node
from firewalls import _reply, walled
from firewalls import conversations as filtered
from frames import SCTP, TCP, Frame, Ip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import Scene
from talk import Draw
from test_oracle_datapath import steady_changes
from translators import exchanges, translated

from onehop.controller.plan import connections, conversations
from onehop.controller.plan.conversations import FORWARD
from onehop.controller.plan.scene import Live
from onehop.controller.plan.scene import Scene as Stage
from onehop.engine import model, openflow
from onehop.engine.rehearsal import NOBODY, Array, answer, frame

few = settings(
    max_examples=int(os.environ.get("ONEHOP_EXAMPLES", "60")) // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CONDITIONS: tuple[dict[str, object], ...] = (
    {"protocol": "udp"}, {"protocol": "tcp"}, {"return_flow": True}, {"source": "10.0.0.0/24"},
)  # fmt: skip
FATES = (*connections.FATES, "")


class Seen(NamedTuple):
    """What came of one packet: where it left and as what; empty: nowhere."""

    port: str = ""
    ends: tuple[object, ...] = ()


def live_of(node: Node) -> Live:
    numbers = {name: number for number, name in node.ports.items()}
    node.switch.write(node.datapath.stats_request(1, 0, 1))
    flows = [f.match for f in openflow.flow_stats(node.switch.heard()) if f.cookie >> 62 == 2]
    return Live(node.name, numbers, flows, list(node.datapath.states.messages(NOW_NS)))


def stage_of(cluster: Cluster) -> Stage:
    held = {(kind, n): row for kind, rows in cluster.world.rows.items() for n, row in rows.items()}
    stage = Stage(held, [live_of(node) for node in cluster.nodes.values()])
    for host in cluster.world.dead:
        stage.topology.set_host_alive(host, False)
    return stage


def really(cluster: Cluster, stage: Stage, probe: Array) -> Seen:
    """Send it; several copies count as none."""
    port = stage.names.ports[probe["key"]["in_port"]]
    stated = cluster.world.port(port)
    if stated is None or stated.host is None or stated.host in cluster.world.dead:
        return Seen()
    left = cluster.send(port, whole(probe))
    found = [(out, decoded) for out, data in left if is_of(decoded := frames.decode(data), probe)]
    if len(found) != 1:
        return Seen()
    ((out, decoded),) = found
    ip = decoded.body
    ports = ip.payload[4:6] if ip.proto in (frames.ICMP, frames.ICMPV6) else ip.payload[:4]
    return Seen(out, (ip.src, ip.dst, ports))


def whole(probe: Array) -> bytes:
    """The packet as a machine sends it: with its checksums."""
    data = frame(probe)
    at = 18 if probe["key"]["vlan_tci"] else 14
    if data[at] >> 4 == 4:
        head = data[at : at + 10] + b"\0\0" + data[at + 12 : at + 20]
        data = data[: at + 10] + frames.checksum(head).to_bytes(2, "big") + data[at + 12 :]
    decoded = frames.decode(data)
    assert decoded is not None
    assert isinstance(decoded.body, Ip)
    place = {TCP: 16, frames.UDP: 6, frames.ICMP: 2, frames.ICMPV6: 2}.get(decoded.body.proto)
    if place is None:
        return data
    return replace(decoded, body=frames.with_checksum(decoded.body, place)).encode()


def is_of(decoded: Frame | None, probe: Array) -> bool:
    """Whether it is the packet itself, and none that the network made of it."""
    if decoded is None or not isinstance(decoded.body, Ip):
        return False
    kinds = (frames.ICMP, frames.ICMPV6)
    if decoded.body.proto != probe["key"]["ip_proto"]:
        return False
    if decoded.body.proto == TCP and decoded.body.payload[13] & 4:
        return False
    return decoded.body.proto not in kinds or decoded.body.payload[0] == probe["key"]["tp_src"]


def watched(scene: Scene) -> Scene:
    """The same, where exterior ports without a filter remember every connection."""
    base = scene.topology
    rule = model.Rule(action="accept", forward_flow=True)
    ports = tuple(
        msgspec.structs.replace(port, inbound_filter="watch")
        if port.host and port.inbound_filter is None
        else port
        for port in base.ports
    )
    chains = (*base.chains, model.Chain(name="watch", rules=(rule,)))
    return scene._replace(topology=msgspec.structs.replace(base, ports=ports, chains=chains))


def converse(cluster: Cluster, scene: Scene, choose: st.DataObject, draw: Draw) -> None:
    """Packets, and an answer to each copy of them."""
    heard: list[tuple[str, bytes]] = []
    for _ in range(5):
        in_port, packet = choose.draw(draw(scene, heard))
        sent = [(in_port, packet)]
        for _ in range(2):
            left = [one for port, data in sent for one in sorted(send(cluster, port, data))]
            sent = [(port, reply) for port, data in left if (reply := _reply(data))]
            heard += left


def send(cluster: Cluster, in_port: str, packet: bytes) -> set[tuple[str, bytes]]:
    """What leaves; nothing from a host that is dead."""
    is_dead = cluster.world.port(in_port).host in cluster.world.dead
    return set() if is_dead else cluster.send(in_port, packet)


@st.composite
def harsh(draw: st.DrawFn, cluster: Cluster) -> Change:
    """A change that connections may well feel."""
    world = cluster.world
    kinds = (model.FloatingIp, model.PoolMember, model.Vip, model.Route)
    removable = [row for kind in kinds for row in world.all(kind)]
    rows = [*world.all(model.Chain), *world.all(model.SecurityGroup), *removable]
    watch = [row for row in rows if row.name == "watch"]
    row = draw(st.sampled_from([*sorted(rows, key=repr), *watch * 4]))
    if isinstance(row, model.Chain):
        action = draw(st.sampled_from(("drop", "reject")))
        condition = draw(st.sampled_from(CONDITIONS))
        rule = model.Rule(action=action, **condition)
        return Change(put=(msgspec.structs.replace(row, rules=(rule, *row.rules)),))
    if isinstance(row, model.SecurityGroup):
        return Change(put=(msgspec.structs.replace(row, rules=()),))
    if isinstance(row, model.PoolMember) and draw(st.booleans()):
        return Change(put=(msgspec.structs.replace(row, admin_state_up=False),))
    return Change(remove=((row.KIND, row.name),))


def check(scene: Scene, choose: st.DataObject, draw: Draw) -> None:
    scene = watched(scene)
    cluster = Cluster(scene)
    converse(cluster, scene, choose, draw)
    stage = stage_of(cluster)
    probes = conversations.find(stage).probes
    before = stage.rehearse(probes)
    was = [both_ways(cluster, stage, *pair) for pair in zip(probes, before.there, strict=True)]
    for (seen, _), outcome in zip(was, before.there, strict=True):
        assert not is_single(outcome) or seen.port == stage.names.ports[outcome["port"]]
    drawn = st.one_of(harsh(cluster), harsh(cluster), steady_changes(scene, cluster))
    change = choose.draw(drawn)
    stage = stage_of(cluster)  # what was sent meanwhile has taught and opened something
    before = stage.rehearse(probes)
    enact(stage, change)
    after = stage.rehearse(probes)
    places = connections.fates_of(connections.whys(probes, before, after), probes, after)
    cluster.apply(change)
    alike = [n for n, o in enumerate(before.there) if is_single(o) and was[n][0] != Seen()]
    # One alone: where filters begin to remember, who speaks first has opened.
    told = [n for n in alike if FATES[places[n]]]
    if alike:
        n = choose.draw(st.sampled_from(told if told and choose.draw(st.booleans()) else alike))
        now = both_ways(cluster, stage, probes[n], after.there[n])
        said = FATES[places[n]]
        assert said in right_fates(probes[n], was[n], now), (said, change, was[n], now)


def both_ways(cluster: Cluster, stage: Stage, probe: Array, outcome: Array) -> tuple[Seen, Seen]:
    """The packet, and the answer of who gets it."""
    there = really(cluster, stage, probe)
    return there, really(cluster, stage, answer(outcome)) if is_single(outcome) else Seen()


def enact(stage: Stage, change: Change) -> None:
    stage.topology.update(change.put, change.remove)
    for host, alive in ((change.dies, False), (change.lives, True)):
        if host:
            stage.topology.set_host_alive(host, alive)


def is_single(outcome: Array) -> bool:
    return bool(outcome["kind"] == FORWARD and outcome["port"] != NOBODY)


def right_fates(probe: Array, was: tuple[Seen, Seen], now: tuple[Seen, Seen]) -> tuple[str, ...]:
    """What the plan may say of what was really seen."""
    if now[0] == Seen():
        return ("cut", "waits", "rerouted")  # the last: it is flooded
    if now[0].ends != was[0].ends:
        return ("cut",) if probe["key"]["ip_proto"] in (TCP, SCTP) else ("rerouted",)
    if was[1] != Seen() and now[1] == Seen():
        return ("cut", "waits", "rerouted")
    if was[1].ends != now[1].ends and was[1] != Seen():
        return ("cut", "rerouted")
    if was[0].port != now[0].port or (was[1] != Seen() and was[1].port != now[1].port):
        return ("rerouted",)
    return ("", "rerouted")  # the last: by another host


@few
@given(walled(), st.data())
def test_connections_through_filters_fare_as_was_said(scene: Scene, choose: st.DataObject) -> None:
    check(scene, choose, filtered)


@few
@given(translated(), st.data())
def test_translated_connections_fare_as_was_said(scene: Scene, choose: st.DataObject) -> None:
    check(scene, choose, exchanges)
