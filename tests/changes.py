"""Changes of a scene, for hypothesis: what users restate and what hosts find out.

1. A change is a list of resources put and of (kind, name) removed, or a host that dies or lives.
2. Removing what others refer to is allowed: the engine must cope with what dangles.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from hypothesis import strategies as st
from strategies import HOSTS, PREFIXES, Machine, Scene
from world import World

from onehop.engine import model


class Change(NamedTuple):
    put: tuple[model.Resource, ...] = ()
    remove: tuple[tuple[str, str], ...] = ()
    dies: str = ""
    lives: str = ""


def apply(world: World, change: Change) -> None:
    world.put(change.put)
    for kind, name in change.remove:
        world.remove(kind, name)
    world.dead |= {change.dies} - {""}
    world.dead -= {change.lives}


@st.composite
def changes(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    """One change of what is in `world` now; `scene` says what once was, and may come back."""
    makers = (_removal, _return, _restatement, _switch, _liveness, _news, _news, _move)
    return draw(draw(st.sampled_from(makers))(scene, world))


def _everything(world: World) -> list[model.Resource]:
    return [row for rows in world.rows.values() for row in rows.values()]


@st.composite
def _removal(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    rows = [row for row in _everything(world) if row.KIND != "host"]
    if not rows:
        return Change()
    gone = draw(st.lists(st.sampled_from(rows), min_size=1, max_size=2))
    return Change(remove=tuple({(row.KIND, row.name) for row in gone}))


@st.composite
def _return(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    return Change(put=(draw(st.sampled_from(scene.resources)),))


@st.composite
def _restatement(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    """A route's weight or type, or all at once."""
    routes = world.all(model.Route)
    if not routes:
        return Change()
    route = draw(st.sampled_from(routes))
    kinds = ("normal", "blackhole", "reject") if route.next_hop_port else ("blackhole", "reject")
    weight, kind = draw(st.sampled_from((50, 100, 200))), draw(st.sampled_from(kinds))
    return Change(put=(msgspec.structs.replace(route, weight=weight, type=kind),))


@st.composite
def _switch(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    """The admin state of a port or device."""
    kinds = (model.Port, model.Port, model.Port, model.Bridge, model.Router)
    rows = [row for kind in kinds for row in world.all(kind)]
    if not rows:
        return Change()
    row = draw(st.sampled_from(rows))
    return Change(put=(msgspec.structs.replace(row, admin_state_up=not row.admin_state_up),))


@st.composite
def _liveness(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    host = draw(st.sampled_from(HOSTS))
    return Change(lives=host) if host in world.dead else Change(dies=host)


@st.composite
def _news(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    """Something that a host finds out: a port's status, a MAC, a neighbor, a route."""
    machine = draw(st.sampled_from(scene.machines))
    port = next(p for p in scene.topology.ports if p.name == machine.port)
    owner = {"host": port.host, "port": port.name}
    found: list[model.Resource] = [model.PortStatus(**owner, up=draw(st.booleans()))]
    if port.device.startswith("r"):
        address = draw(st.sampled_from(machine.addresses))
        mac = draw(st.sampled_from((machine.mac, "06:00:00:00:00:77")))
        found.append(model.Neighbor(**owner, address=address, mac=mac))
        found.append(draw(_route(port, machine)))
    else:
        found.append(model.LearnedMac(**owner, bridge=port.device, mac=machine.mac))
        found.append(model.LearnedMac(**owner, bridge=port.device, mac="06:00:00:00:00:99"))
    return Change(put=(draw(st.sampled_from(found)),))


@st.composite
def _route(draw: st.DrawFn, port: model.Port, machine: Machine) -> model.LearnedRoute:
    destination = draw(st.sampled_from(PREFIXES))
    gateway = next(a for a in machine.addresses if (":" in a) == (":" in destination))
    return model.LearnedRoute(
        host=port.host,
        next_hop_port=port.name,
        destination=destination,
        next_hop_gateway=gateway,
    )


@st.composite
def _move(draw: st.DrawFn, scene: Scene, world: World) -> Change:
    """An exterior port goes to another host, or states another MAC or no address."""
    exterior = [port for port in world.all(model.Port) if port.host]
    if not exterior:
        return Change()
    port = draw(st.sampled_from(exterior))
    field, values = draw(
        st.sampled_from(
            (("host", HOSTS), ("mac", ("02:00:00:00:00:aa", port.mac)), ("addresses", ((),)))
        )
    )
    return Change(put=(msgspec.structs.replace(port, **{field: draw(st.sampled_from(values))}),))
