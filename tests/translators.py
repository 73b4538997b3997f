"""Random translations over random topologies, and traffic that meets them, for hypothesis.

1. Every topology passes `model.check`. Routers translate as docs/nat.md says is usual: the inbound
   filter has `reverse_snat` and `dnat`, the outbound one `reverse_dnat` and `snat`.
2. Hosts lease few ports, so that a pool is used up now and then.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import frames
import msgspec
import traffic
from firewalls import conversations
from frames import ICMP, SCTP, TCP, UDP, Address, Ip
from hypothesis import strategies as st
from strategies import HOSTS, Scene, rarely, scenes, seldom

from onehop.engine import model

PUBLIC = {4: ("203.0.113.1", "203.0.113.2"), 6: ("2001:db8::1", "2001:db8::2")}
SERVICES = {4: ("203.0.113.20", "10.56.0.20"), 6: ("2001:db8::20", "fd00:56::20")}
FLOATING = {4: ("203.0.113.50", "10.56.0.50", "10.0.0.50"), 6: ("2001:db8::50", "fd00::50")}
VIPS = {4: ("203.0.113.80", "10.0.0.80"), 6: ("2001:db8::80", "fd00::80")}
OUTSIDE = {4: "192.0.2.7", 6: "2001:db8::99"}
FIRST_PORT = 20000
MONITOR = model.HealthMonitor(name="hm", type="tcp", interval_s=5, timeout_s=2)


@st.composite
def translated(draw: st.DrawFn) -> Scene:
    """A scene whose routers translate."""
    scene = draw(scenes().filter(lambda scene: scene.topology.routers))
    base = scene.topology
    vips, members, pools = draw(_balanced(scene))
    topology = msgspec.structs.replace(
        base,
        routers=tuple(draw(_translating(router)) for router in base.routers),
        chains=tuple(chain for name in _names(base) for chain in draw(_chains(name, scene))),
        floating_ips=tuple(draw(_floating(scene))),
        vips=vips,
        pool_members=members,
        pools=pools,
        health_monitors=(MONITOR,),
    )
    state = (*scene.state, *draw(_leases(topology)), *draw(_ill(members)))
    return scene._replace(topology=topology, state=state)


def _names(base: model.Topology) -> list[str]:
    return [router.name for router in base.routers]


@st.composite
def _translating(draw: st.DrawFn, router: model.Router) -> model.Router:
    inbound, outbound = (draw(st.sampled_from((True, True, True, False))) for _ in range(2))
    return msgspec.structs.replace(
        router,
        inbound_filter=f"{router.name}-in" if inbound else None,
        outbound_filter=f"{router.name}-out" if outbound else None,
    )


@st.composite
def _chains(draw: st.DrawFn, router: str, scene: Scene) -> list[model.Chain]:
    inbound = [model.Rule(action="reverse_snat", then=draw(thens))]
    outbound = [model.Rule(action="reverse_dnat", then=draw(thens))]
    for _ in range(draw(st.integers(0, 2))):
        inbound.append(draw(_dnat(scene)))
    for version in draw(st.sampled_from(((4, 6), (4,), (6,), (4, 6), ()))):
        outbound.append(draw(_snat(router, version, scene)))
    if draw(rarely):
        outbound.append(model.Rule(action="drop", protocol="udp", destination_ports="53"))
    return [
        model.Chain(name=f"{router}-in", rules=tuple(inbound)),
        model.Chain(name=f"{router}-out", rules=tuple(outbound)),
    ]


thens = st.sampled_from(("accept", "accept", "continue", "return"))
versions = st.sampled_from((4, 4, 6))


@st.composite
def _dnat(draw: st.DrawFn, scene: Scene) -> model.Rule:
    version = draw(versions)
    address = draw(st.sampled_from(SERVICES[version]))
    fields: dict[str, object] = {"destination": f"{address}/{32 if version == 4 else 128}"}
    has_ports = draw(st.booleans())
    if has_ports:
        fields |= {"protocol": draw(st.sampled_from(("tcp", "udp"))), "destination_ports": "80"}
    inner = sorted(_inner(scene, version), key=int)
    targets = draw(st.lists(st.sampled_from(inner), min_size=1, max_size=2, unique=True))
    ports = {"first_port": 8080, "last_port": 8081} if draw(seldom) else {}
    return model.Rule(
        action="dnat",
        then=draw(thens),
        targets=tuple(model.NatTarget(first_address=str(t), **ports) for t in targets),
        **fields,
    )


@st.composite
def _snat(draw: st.DrawFn, router: str, version: int, scene: Scene) -> model.Rule:
    outer = [p.name for p in scene.topology.ports if p.device == router and p.name[:2] == "up"]
    fields: dict[str, object] = {}
    if outer and draw(st.booleans()):
        fields["out_ports"] = tuple(outer)
    if draw(seldom):
        fields["source"] = "10.0.0.0/24" if version == 4 else "fd00::/64"
    address = PUBLIC[version][int(router[1:])]
    return model.Rule(
        action="snat",
        then=draw(thens),
        targets=(model.NatTarget(first_address=address),),
        **fields,
    )


def _inner(scene: Scene, version: int) -> list[Address]:
    """The addresses of machines."""
    texts = [a for m in scene.machines if m.port[0] == "b" for a in m.addresses]
    return [one for one in map(ip_address, texts) if one.version == version]


@st.composite
def _floating(draw: st.DrawFn, scene: Scene) -> list[model.FloatingIp]:
    found: dict[Address, model.FloatingIp] = {}
    for version in (4, 6):
        free = list(FLOATING[version])
        for _ in range(draw(st.integers(0, 2))):
            fixed = draw(st.sampled_from(_inner(scene, version)))
            router = draw(st.sampled_from(_names(scene.topology)))
            row = model.FloatingIp(router=router, address=free.pop(0), fixed_address=str(fixed))
            found.setdefault(fixed, row)
    return list(found.values())


@st.composite
def _balanced(draw: st.DrawFn, scene: Scene) -> tuple:
    vips, members, pools = [], [], []
    for version in draw(st.sampled_from(((4,), (4, 6), (6,), ()))):
        name = f"pool{version}"
        pools.append(model.Pool(name=name, monitor=draw(st.sampled_from((None, MONITOR.name)))))
        for n, address in enumerate(dict.fromkeys(_inner(scene, version))):
            if n < 3 and draw(st.booleans()):
                members.append(
                    model.PoolMember(
                        name=f"{name}-{n}",
                        pool=name,
                        address=str(address),
                        port=draw(st.sampled_from((80, 8080))),
                        weight=draw(st.sampled_from((1, 3))),
                        admin_state_up=not draw(rarely),
                    )
                )
        for n in range(draw(st.integers(1, 2))):
            vips.append(
                model.Vip(
                    name=f"vip{version}-{n}",
                    router=draw(st.sampled_from(_names(scene.topology))),
                    address=VIPS[version][n],
                    port=80,
                    protocol=draw(st.sampled_from(("tcp", "udp"))),
                    pool=name,
                    affinity_s=draw(st.sampled_from((None, 600))),
                )
            )
    return tuple(vips), tuple(members), tuple(pools)


@st.composite
def _leases(draw: st.DrawFn, topology: model.Topology) -> list[model.NatBlock]:
    own = [
        str(ip_interface(t).ip) for p in topology.ports for t in p.addresses if p.device[0] == "r"
    ]
    found = []
    for address in dict.fromkeys((*PUBLIC[4], *PUBLIC[6], *own)):
        for n, host in enumerate(HOSTS):
            n_ports = draw(st.sampled_from((2, 1, 3)))
            found.append(
                model.NatBlock(
                    host=host, address=address, first_port=FIRST_PORT + 10 * n, n_ports=n_ports
                )
            )
    return found


@st.composite
def _ill(draw: st.DrawFn, members: tuple[model.PoolMember, ...]) -> list[model.MemberStatus]:
    return [
        model.MemberStatus(host=HOSTS[0], member=member.name, healthy=False)
        for member in members
        if draw(rarely)
    ]


# Traffic


@st.composite
def exchanges(draw: st.DrawFn, scene: Scene, heard: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """A packet to what is translated, an answer, or any other."""
    if draw(st.booleans()):
        return draw(conversations(scene, heard))
    return draw(_opening(scene))


@st.composite
def _opening(draw: st.DrawFn, scene: Scene) -> tuple[str, bytes]:
    machine = draw(st.sampled_from(scene.machines))
    version = draw(versions)
    src = next(a for a in map(ip_address, machine.addresses) if a.version == version)
    if machine.port[0] != "b" and draw(st.booleans()):
        src = ip_address(OUTSIDE[version])
    dst = ip_address(draw(st.sampled_from(_virtual(scene, version))))
    mac = draw(traffic.router_mac_at(scene, machine))
    sport, dport = draw(st.sampled_from((1024, 40000, 40001))), draw(st.sampled_from((80, 80, 53)))
    ip = draw(_packet(Ip(src, dst, 0, ident=7), sport, dport))
    return machine.port, frames.ip_frame(mac, machine.mac, ip).encode()


def _virtual(scene: Scene, version: int) -> list[str]:
    top = scene.topology
    stated = [f.address for f in top.floating_ips] + [v.address for v in top.vips]
    stated += [*SERVICES[version], OUTSIDE[version], *PUBLIC[version][:1]]
    return [text for text in stated if ip_address(text).version == version]


@st.composite
def _packet(draw: st.DrawFn, ip: Ip, sport: int, dport: int) -> Ip:
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    proto = draw(st.sampled_from((UDP, UDP, TCP, TCP, ICMP, SCTP, 47)))
    if proto == ICMP:
        return frames.icmp(ip, 8 if ip.version == 4 else 128, 0, ports[:2] + b"\0\1payload")
    if proto == UDP:
        whole = replace(ip, proto=UDP, payload=ports + b"\0\x0c\0\0data")
        whole = frames.with_checksum(whole, 6)
        return traffic.fragment(whole, draw(st.booleans())) if draw(rarely) else whole
    if proto == TCP:
        return frames.with_checksum(
            replace(ip, proto=TCP, payload=ports + bytes(8) + b"\x50\x02\x10\0\0\0\0\0"), 16
        )
    return replace(ip, proto=proto, payload=ports + bytes(8))
