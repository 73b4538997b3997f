"""The load balancer: virtual addresses, pools, members, monitors."""

from __future__ import annotations

from onehop.engine.model import monitors
from onehop.engine.model.resources import HealthMonitor, Pool, PoolMember, Resource, Vip
from onehop.engine.model.rules.base import Problems, unique, wrong
from onehop.engine.model.texts import read_address
from onehop.engine.model.view import View


def monitors_wait_for_their_answer(view: View) -> Problems:
    for monitor in view.by_name(HealthMonitor).values():
        if monitor.timeout_s >= monitor.interval_s:
            reason = f"{monitor.timeout_s:g} s is not shorter than interval_s, "
            yield wrong(monitor, "timeout_s", f"{reason}{monitor.interval_s:g} s")
        if monitor.type != "http" and monitor.path != "/":
            yield wrong(monitor, "path", f"does nothing; the type is {monitor.type}")


def monitors_have_their_addresses(view: View) -> Problems:
    """A router with a monitor has no other subnet among those of monitors."""
    kinds: tuple[type[Resource], ...] = (HealthMonitor, Pool, PoolMember, Vip)
    resources = [row for kind in kinds for row in view.by_name(kind).values()]
    routers = {site.router for site in monitors.sites(resources)}
    for port in view.ports_of(routers):
        for address in view.addresses[port.name]:
            for taken in monitors.NETWORKS:
                if address.version == taken.version and address.network.overlaps(taken):
                    reason = f"'{address}' is in {taken}, where health monitors of router "
                    yield wrong(port, "addresses", f"{reason}{port.device!r} are")


def members_are_stated_once(view: View) -> Problems:
    yield from unique(
        (
            (member.pool, read_address(member.address), member.port),
            member,
            "address",
            f"'{member.address}' port {member.port} in pool {member.pool!r}",
        )
        for member in view.by_name(PoolMember).values()
    )


def vips_are_stated_once(view: View) -> Problems:
    yield from unique(
        (
            (vip.router, read_address(vip.address), vip.port, vip.protocol),
            vip,
            "address",
            f"'{vip.address}' {vip.protocol} port {vip.port} at router {vip.router!r}",
        )
        for vip in view.by_name(Vip).values()
    )


def vips_lead_to_machines(view: View) -> Problems:
    """The members behind a VIP are of its family, and none of them is a VIP."""
    vips = view.by_name(Vip).values()
    virtual = {(vip.router, read_address(vip.address), vip.port): vip for vip in vips}
    members: dict[str, list[PoolMember]] = {}
    for member in view.by_name(PoolMember).values():
        members.setdefault(member.pool, []).append(member)
    for vip in vips:
        version = read_address(vip.address).version
        for member in members.get(vip.pool, ()):
            address = read_address(member.address)
            if address.version != version:
                reason = (
                    f"'{address}' is IPv{address.version}, but vip {vip.name!r} is IPv{version}"
                )
                yield wrong(member, "address", reason)
            if other := virtual.get((vip.router, address, member.port)):
                yield wrong(member, "address", f"'{address}' is that of vip {other.name!r}")
