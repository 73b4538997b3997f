"""The load balancer in plain Python: who of a pool gets a connection, and whose answers it sends.

Written from behaviour.md and docs/balance.md. Which of the members that may take a connection
gets it is a choice here; that the shares follow the weights is in test_balance.py.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from connections import Key, Translation, key_of
from frames import TCP, UDP, Address, Frame
from oracle_nat import RefusedError, Translator, is_error, with_ends

from onehop.engine import model

PROTOCOLS = {TCP: "tcp", UDP: "udp"}


class Balancer:
    """The VIPs of routers, for one packet."""

    def __init__(self, translator: Translator) -> None:
        self.translator, self.world = translator, translator.world

    def addresses(self, router: str) -> set[Address]:
        return {ip_address(vip.address) for vip in self._vips(router)}

    def arrive(self, router: str, frame: Frame) -> Frame | None:
        """As the member gets it; None: it is for no VIP. Raises RefusedError."""
        ip = frame.body
        if is_error(ip):
            is_meant = ip.dst in self.addresses(router)
            return self.translator.error(router, (("vip", False),), frame) if is_meant else None
        ends = key_of(router, ip)
        vip = ends and self._vip_of(router, ends)
        if not vip:
            return None
        known = self.translator.find(("vip",), ends, back=False)
        if known and self._member_at(vip, known.after):
            return replace(frame, body=with_ends(ip, known.after))
        if self.translator.is_crafted:
            return None
        return replace(frame, body=with_ends(ip, self._choose(router, vip, ends)))

    def depart(self, router: str, frame: Frame) -> Frame | None:
        """An answer as the VIP sends it; errors about one too."""
        found = self.translator.error(router, (("vip", True),), frame)
        return found or self.translator.back(router, ("vip",), frame)

    def _vips(self, router: str) -> list[model.Vip]:
        return [vip for vip in self.world.all(model.Vip) if vip.router == router]

    def _vip_of(self, router: str, ends: Key) -> model.Vip | None:
        for vip in self._vips(router):
            wanted = ip_address(vip.address), vip.port, vip.protocol
            if wanted == (ends.dst, ends.dport, PROTOCOLS.get(ends.proto)):
                return vip
        return None

    def _choose(self, router: str, vip: model.Vip, ends: Key) -> Key:
        takers = self._members(vip, new=True)
        source = vip.name, ends._replace(sport=0)
        notes, made = self.translator.notes, self.translator.made
        went = vip.affinity_s and notes.went.get(source)
        takers = [taker for taker in takers if taker.name == went] or takers
        options = [
            (taker.name, after)
            for taker in takers
            for after in [ends._replace(dst=ip_address(taker.address), dport=taker.port)]
            if self.translator.is_free(False, after)
        ]
        if not options:
            raise RefusedError
        name, after = self.translator.choose(options)
        self.translator.begin(Translation("vip", ends, after))
        if vip.affinity_s:
            made.went[source] = name
        return after

    def _members(self, vip: model.Vip, *, new: bool) -> list[model.PoolMember]:
        """Those that keep connections, or take new ones."""
        pool = self.world.rows["pool"].get(vip.pool)
        asked = self.world.all(model.MemberStatus) if pool and pool.monitor else []
        ill = {row.member for row in asked if not row.healthy}
        return [
            member
            for member in self.world.all(model.PoolMember)
            if member.pool == vip.pool and member.name not in ill
            if member.admin_state_up or not new
        ]

    def _member_at(self, vip: model.Vip, after: Key) -> bool:
        return any(
            (ip_address(member.address), member.port) == (after.dst, after.dport)
            for member in self._members(vip, new=False)
        )
