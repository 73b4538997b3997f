"""What a host's core knows of health monitors: where they are, which are here, what they found.

It must not know the store, the clock, or what a packet is.

1. A monitor is where the store says (see `owners`); the bridge and the ports that go with it
   count in this host's topology as if they were stated.
2. Members are asked while this host has a switch that brings the answers.
3. A verdict of this host stands in the store while the host has the monitor, whoever wrote there
   last. What another host found out stays until this one has found out something itself.
"""

from __future__ import annotations

from collections.abc import Container
from ipaddress import ip_interface
from typing import NamedTuple

import msgspec

from onehop.controller.agent.checks import Check
from onehop.controller.agent.desired import Monitor, Snapshot, uplink_ports
from onehop.controller.agent.owners import Owners, owner_of
from onehop.controller.agent.rows import Rows
from onehop.controller.agent.switch import device_name
from onehop.engine.model import (
    HealthMonitor,
    Host,
    MemberStatus,
    MonitorOwner,
    PoolMember,
    Resource,
)
from onehop.engine.model.monitors import KINDS, Site, sites

Ident = tuple[str, str]


class Verdict(NamedTuple):
    """What a monitor thinks of a member."""

    healthy: bool
    reason: str  # why not


class Monitoring:
    """The health monitors, as one host sees them."""

    def __init__(self, host: str) -> None:
        self.owners = Owners(host)
        self._host = host
        self._sites: list[Site] = []
        self._own: list[Monitor] = []
        self._derived: dict[Ident, Resource] = {}
        self._gateways: set[str] = set()
        self._verdicts: dict[str, tuple[Check, Verdict]] = {}  # by member

    def restate(self, snapshot: Snapshot) -> Rows:
        """The topology or a monitor's host has changed; what comes and goes with monitors."""
        self._sites = sites(row for kind in KINDS for row in snapshot.get(kind, {}).values())
        self._gateways = {port.host for port in uplink_ports(snapshot) if port.host}
        placed = [(site, owner_of(site.router, snapshot)) for site in self._sites]
        self._own = [_monitor(site) for site, owner in placed if owner == self._host]
        checks = {check.member: check for monitor in self._own for check in monitor.checks}
        self._verdicts = {m: v for m, v in self._verdicts.items() if checks.get(m) == v[0]}
        hosts = snapshot.get(Host.KIND, {})
        derived = {
            (row.KIND, row.name): row
            for site, owner in placed
            if owner in hosts
            for row in site.resources(owner, device(site))
        }
        before, self._derived = self._derived, derived
        put = [row for ident, row in derived.items() if before.get(ident) != row]
        return Rows(put, [ident for ident in before if ident not in derived])

    def monitors(self, bound: Container[str]) -> tuple[Monitor, ...]:
        """The monitors of this host; those without a port in the switch ask nobody yet."""
        return tuple(
            m if m.port in bound else msgspec.structs.replace(m, checks=()) for m in self._own
        )

    def claims(self, snapshot: Snapshot, missed: Container[str], now_ns: int) -> Rows:
        """What this host takes over, and what is its own but nobody's any more."""
        routers = [site.router for site in self._sites]
        put = self.owners.claims(routers, snapshot, missed, self._gateways, now_ns)
        gone = _of_host(self._host, snapshot, MonitorOwner) - set(routers)
        return Rows(list(put), [(MonitorOwner.KIND, name) for name in sorted(gone)])

    def judged(self, member: str, verdict: Verdict) -> None:
        """A monitor of this host has come to a verdict."""
        for check in (c for monitor in self._own for c in monitor.checks if c.member == member):
            self._verdicts[member] = check, verdict

    def statuses(self, snapshot: Snapshot, clock_s: float) -> Rows:
        """What the store should hold, as a difference to what it does."""
        asked = {member.name for site in self._sites for member, _ in site.members}
        there = snapshot.get(MemberStatus.KIND, {})
        put: list[Resource] = []
        for member, (_, verdict) in sorted(self._verdicts.items()):
            row = self._status(member, verdict, there.get(member), clock_s)
            if row != there.get(member):
                put.append(row)
        gone = _of_host(self._host, snapshot, MemberStatus) - asked
        return Rows(put, [(MemberStatus.KIND, name) for name in sorted(gone)])

    def _status(
        self, member: str, verdict: Verdict, before: Resource | None, clock_s: float
    ) -> MemberStatus:
        """It is so since it was first told, by whichever host."""
        if isinstance(before, MemberStatus) and before.healthy == verdict.healthy:
            clock_s = before.since_s
        return MemberStatus(
            host=self._host,
            member=member,
            healthy=verdict.healthy,
            reason=verdict.reason,
            since_s=clock_s,
        )


def device(site: Site) -> str:
    """The device in the bridge of the host that a monitor is at."""
    return device_name("mon-", site.router)


def _monitor(site: Site) -> Monitor:
    return Monitor(
        port=site.name,
        device=device(site),
        mac=site.mac,
        addresses=site.addresses(2),
        gateways=tuple(str(ip_interface(text).ip) for text in site.addresses(1)),
        checks=tuple(_check(member, monitor) for member, monitor in site.members),
    )


def _check(member: PoolMember, monitor: HealthMonitor) -> Check:
    return Check(
        member=member.name,
        address=member.address,
        port=member.port,
        type=monitor.type,
        path=monitor.path,
        interval_s=monitor.interval_s,
        timeout_s=monitor.timeout_s,
        rise=monitor.rise,
        fall=monitor.fall,
    )


def _of_host(host: str, snapshot: Snapshot, kind: type[Resource]) -> set[str]:
    rows = snapshot.get(kind.KIND, {})
    return {name for name, row in rows.items() if getattr(row, "host", "") == host}
