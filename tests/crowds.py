"""Changes of crowded topologies of every stated kind, at random, most of them almost sound.

1. Names and values are few, so that what is put clashes with what is there in every way.
2. One seed gives one sequence of changes, whatever becomes of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from onehop.engine import model

Ident = tuple[str, str]
NETS = ("10.0.0", "10.0.1", "192.0.2", "169.254.9")
KINDS = list(model.STATED)
KINDS += [model.Port] * 9 + [model.Chain] * 3 + [model.FloatingIp, model.Vip, model.PoolMember]


class Crowd:
    """Makes changes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._held: Mapping[Ident, object] = {}

    def change(self, held: Mapping[Ident, object]) -> tuple[list[model.Resource], list[Ident]]:
        """What to put and to remove."""
        self._held = held
        put: dict[Ident, model.Resource] = {}
        for _ in range(self._random.choice((1, 1, 1, 2, 4))):
            made = self._resource()
            put[made.KIND, made.name] = made
        there = [ident for ident in held if ident not in put]
        count = min(len(there), self._random.choice((0, 0, 0, 0, 0, 1, 2)))
        return list(put.values()), self._random.sample(there, count)

    def _resource(self) -> model.Resource:
        made = MAKERS[self._random.choice(KINDS)](self)
        tenant, shared = self.one("", "", "", "acme", "globex"), self.one(False, True)
        return msgspec.structs.replace(made, tenant=tenant, shared=shared)

    def one(self, *values: Any) -> Any:
        return self._random.choice(values)

    def seldom(self, value: Any, otherwise: Any = None) -> Any:
        return value if self._random.random() < 0.15 else otherwise

    def some(self, most: int, make: Callable[[], Any]) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self._random.randint(0, most)))

    def named(self, letter: str, count: int = 4) -> str:
        return f"{letter}{self._random.randrange(count)}"

    def known(self, *kinds: str) -> str:
        """The name of something of a kind, mostly of something that is there."""
        there = [name for kind, name in self._held if kind in kinds]
        return self._random.choice(there) if there and self.one(*range(20)) else "nothing"

    def address(self) -> str:
        return self.seldom("fd00::5", f"{self.one(*NETS)}.{self.one(1, 2, 5, 6, 7, 8)}")

    def interface(self) -> str:
        return self.address() if self._random.random() < 0.4 else f"{self.one(*NETS)}.1/24"


def _host(crowd: Crowd) -> model.Resource:
    address = f"172.31.0.{crowd.one(1, 2, 3, 4)}"
    return model.Host(name=crowd.named("h"), tunnel_address=crowd.seldom("x", address))


def _bridge(crowd: Crowd) -> model.Resource:
    return model.Bridge(
        name=crowd.one("b0", "b1", "b2", "b3", "d0"),
        tunnel_key=crowd.seldom(crowd.one(5, 6), 0),
        inbound_filter=crowd.seldom(crowd.known("chain")),
    )


def _router(crowd: Crowd) -> model.Resource:
    return model.Router(
        name=crowd.one("r0", "r1", "d0"),
        asn=crowd.one(None, 65010, 65010),
        outbound_filter=crowd.seldom(crowd.known("chain")),
    )


def _port(crowd: Crowd) -> model.Resource:
    form = crowd.one("exterior", "interior", "interior", "unplugged")
    exterior = form == "exterior"
    return model.Port(
        name=crowd.named("p", 16),
        device=crowd.known("bridge", "router"),
        mac=crowd.seldom(crowd.one("02:00:00:00:00:01", "02:00:00:00:00:0A")),
        addresses=crowd.some(1, crowd.interface),
        mtu=crowd.seldom(crowd.one(*range(1280, 1300))),
        peer=crowd.known("port") if form == "interior" else None,
        host=crowd.known("host") if exterior else None,
        interface=f"e{crowd.one(*range(9))}" if exterior else None,
        tunnel_key=crowd.seldom(crowd.one(5, 6), 0),
        inbound_filter=crowd.seldom(crowd.known("chain")),
        security_groups=crowd.seldom((crowd.known("security_group"),), ()),
    )


def _route(crowd: Crowd) -> model.Resource:
    kind = crowd.one("normal", "normal", "blackhole")
    return model.Route(
        name=crowd.named("t"),
        router=crowd.known("router"),
        destination=crowd.one("10.0.0.0/8", "0.0.0.0/0"),
        type=kind,
        next_hop_port=crowd.known("port") if kind == "normal" else None,
        next_hop_gateway=crowd.one(None, crowd.address()) if kind == "normal" else None,
    )


def _port_group(crowd: Crowd) -> model.Resource:
    return model.PortGroup(name=crowd.named("g"), ports=crowd.some(2, lambda: crowd.known("port")))


def _address_group(crowd: Crowd) -> model.Resource:
    prefixes = crowd.some(2, lambda: crowd.one("10.0.0.0/24", "10.0.1.0/24"))
    return model.AddressGroup(name=crowd.named("a"), prefixes=prefixes)


def _security_group(crowd: Crowd) -> model.Resource:
    rule = model.SecurityRule(direction="ingress", remote_group=crowd.known("security_group"))
    return model.SecurityGroup(name=crowd.named("s"), rules=crowd.seldom((rule,), ()))


def _rule(crowd: Crowd) -> model.Rule:
    action = crowd.one("accept", "jump", "jump", "snat")
    if action == "jump":
        return model.Rule(action="jump", jump=crowd.known("chain"))
    if action == "snat":
        return model.Rule(action="snat", targets=(_target(crowd),))
    return model.Rule(action=action, in_ports=crowd.seldom((crowd.known("port"),), ()))


def _target(crowd: Crowd) -> model.NatTarget:
    ports = crowd.one((None, None), (1024, 2000), (2001, 3000))
    return model.NatTarget(
        first_address=f"192.0.2.{crowd.one(1, 2, 5)}",
        last_address=crowd.seldom(f"192.0.2.{crowd.one(2, 6)}"),
        first_port=ports[0],
        last_port=ports[1],
    )


def _chain(crowd: Crowd) -> model.Resource:
    return model.Chain(name=crowd.named("c", 6), rules=crowd.some(2, lambda: _rule(crowd)))


def _floating_ip(crowd: Crowd) -> model.Resource:
    return model.FloatingIp(
        name=crowd.named("f"),
        router=crowd.known("router"),
        address=crowd.address(),
        fixed_address=crowd.address(),
    )


def _monitor(crowd: Crowd) -> model.Resource:
    return model.HealthMonitor(name=crowd.named("m"), timeout_s=crowd.one(1.0, 3.0))


def _pool(crowd: Crowd) -> model.Resource:
    return model.Pool(
        name=crowd.named("l"), monitor=crowd.one(None, crowd.known("health_monitor"))
    )


def _member(crowd: Crowd) -> model.Resource:
    return model.PoolMember(
        name=crowd.named("n"),
        pool=crowd.known("pool"),
        address=crowd.address(),
        port=crowd.one(80, 81),
    )


def _vip(crowd: Crowd) -> model.Resource:
    return model.Vip(
        name=crowd.named("v"),
        router=crowd.known("router"),
        address=crowd.address(),
        port=crowd.one(80, 81),
        pool=crowd.known("pool"),
    )


def _bgp_peer(crowd: Crowd) -> model.Resource:
    address = crowd.address()
    return model.BgpPeer(name=crowd.named("q"), port=crowd.known("port"), address=address, asn=7)


def _bgp_network(crowd: Crowd) -> model.Resource:
    prefix = crowd.one("10.0.0.0/24", "10.0.1.0/24")
    return model.BgpNetwork(name=crowd.named("w"), router=crowd.known("router"), prefix=prefix)


def _subnet(crowd: Crowd) -> model.Resource:
    prefix = crowd.one("10.0.0.0/24", "10.0.0.0/16", "10.0.1.0/24")
    return model.Subnet(name=crowd.named("u"), bridge=crowd.known("bridge"), prefix=prefix)


MAKERS: dict[type[model.Resource], Callable[[Crowd], model.Resource]] = {
    model.Host: _host, model.AddressGroup: _address_group, model.SecurityGroup: _security_group,
    model.Chain: _chain, model.Bridge: _bridge, model.Router: _router, model.Port: _port,
    model.Route: _route, model.PortGroup: _port_group, model.Subnet: _subnet,
    model.FloatingIp: _floating_ip, model.HealthMonitor: _monitor, model.Pool: _pool,
    model.PoolMember: _member, model.Vip: _vip, model.BgpPeer: _bgp_peer,
    model.BgpNetwork: _bgp_network,
}  # fmt: skip
