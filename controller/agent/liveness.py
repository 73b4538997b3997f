"""Which other hosts can be reached, from what BFD says of the ports that watch them.

1. A host that nothing watches counts as reachable; so does one whose port is not there yet.
2. A port that an earlier run of the agent left is believed at once.  The session of one that was
   just made takes a second to come up: until it was up once, or `GRACE_NS` is over, its host
   keeps the benefit of the doubt.
3. Hosts that have a stand-in (gateways) are given up at once.  To one that has none, packets go
   whatever BFD says: there is no better place for them.
4. When nobody answers any more, there is no better place either, and the fault is likelier here: a
   switch that did not get a core for a while, so that all sessions end within `TOGETHER_NS`.
   Those are then given up only if they do not come back within `GRACE_NS`, or within
   `REST_NS` of the first one.
5. A session that comes up often goes down once more before it is steady: a host that was given up
   counts again after `STEADY_NS`, or at once where there is no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from onehop.controller.agent.events import OfPort

GRACE_NS = 3_000_000_000
TOGETHER_NS = 300_000_000
REST_NS = 1_000_000_000
STEADY_NS = 1_000_000_000


class Liveness:
    """The hosts that are watched, and what is believed of them."""

    def __init__(self) -> None:
        self.alive: dict[str, bool] = {}  # what is believed
        self.session_up: dict[str, bool] = {}  # what BFD says
        self._trusted_from_ns: dict[str, int] = {}  # device -> when a dead session counts
        self._since: dict[str, tuple[bool, int]] = {}  # device -> whether live, and since when
        self._doubted: set[str] = set()  # devices that went silent together
        self._devices: dict[str, str] = {}  # of the hosts that are watched

    def found(self, devices: Iterable[str]) -> None:
        """These ports were made long ago."""
        self._trusted_from_ns = dict.fromkeys(devices, 0)

    def update(
        self,
        watched: Mapping[str, str],
        ports: Mapping[str, OfPort],
        now_ns: int,
        *,
        gateways: Collection[str],
    ) -> dict[str, bool]:
        """Believe `ports` of the hosts `watched` (host -> device); what changed since before."""
        self._devices = dict(watched)
        reached = any(self.session_up.values())
        self.session_up = {h: d in ports and ports[d].live for h, d in watched.items()}
        for gone in (self._trusted_from_ns.keys() | self._since.keys()) - ports.keys():
            self._trusted_from_ns.pop(gone, None)
            self._since.pop(gone, None)
        for host, device in watched.items():
            live = self.session_up[host]
            if self._since.get(device, (not live, 0))[0] is not live:
                self._since[device] = (live, now_ns)
        if reached and self.isolated():
            self._doubt(now_ns)
        elif not reached and not self.isolated():
            self._rest(now_ns)
        before, self.alive = self.alive, self._alive(watched, ports, now_ns, gateways)
        return {
            host: self.alive.get(host, True)
            for host in sorted(before.keys() | self.alive.keys())
            if before.get(host, True) != self.alive.get(host, True)
        }

    @property
    def usable(self) -> dict[str, bool]:
        """Who answers and is believed to be there, of those that are watched."""
        return {host: up and self.alive[host] for host, up in self.session_up.items()}

    def isolated(self) -> bool:
        """Others are watched, and none of them answers."""
        return bool(self.session_up) and not any(self.session_up.values())

    def missed(self, now_ns: int) -> set[str]:
        """Who has not answered for `GRACE_NS`, also of those that packets still go to."""
        return {
            host
            for host, device in self._devices.items()
            if self._lasts(device, now_ns, live=False) >= GRACE_NS
        }

    def _doubt(self, now_ns: int) -> None:
        """Give the benefit of the doubt to those who went silent together."""
        for device, (live, since_ns) in self._since.items():
            if not live and now_ns - since_ns <= TOGETHER_NS:
                self._trusted_from_ns[device] = now_ns + GRACE_NS
                self._doubted.add(device)

    def _rest(self, now_ns: int) -> None:
        """One is back: the others that went silent with it have not much longer."""
        for device in self._doubted & self._trusted_from_ns.keys():
            until_ns = min(self._trusted_from_ns[device], now_ns + REST_NS)
            self._trusted_from_ns[device] = until_ns
        self._doubted.clear()

    def _alive(
        self,
        watched: Mapping[str, str],
        ports: Mapping[str, OfPort],
        now_ns: int,
        gateways: Collection[str],
    ) -> dict[str, bool]:
        believed = {
            host: host not in gateways or self._believe(ports.get(device), now_ns)
            for host, device in watched.items()
        }
        steady = {
            host
            for host, device in watched.items()
            if self.alive.get(host, True) or self._lasts(device, now_ns, live=True) >= STEADY_NS
        }
        others = any(believed[host] for host in steady & set(gateways))
        return {host: up and (host in steady or not others) for host, up in believed.items()}

    def _lasts(self, device: str, now_ns: int, *, live: bool) -> int:
        """For how long the session has been so, in ns; 0 where it is not."""
        found, since_ns = self._since.get(device, (not live, 0))
        return now_ns - since_ns if found is live else 0

    def _believe(self, port: OfPort | None, now_ns: int) -> bool:
        if port is None:
            return True
        if port.live:
            self._trusted_from_ns[port.device] = 0
            return True
        return now_ns < self._trusted_from_ns.setdefault(port.device, now_ns + GRACE_NS)
