"""Uplinks of a gateway: FRR in a network namespace of its own behind each uplink port.

Usable only inside an eventlet hub (monkey patched or not): the work is done by green threads of
this module's own, commands run through eventlet's green subprocess, sockets are green.  No call
below waits, except ``clean``.

1. What runs stays: neither the end of the agent nor its start touches a working FRR.
2. An FRR that this agent started announces nothing until ``announce(True)``; one that it found
   goes on announcing what it announced until the first ``announce``.
3. Routes are read from the kernel of the namespace, where only zebra puts them.
4. What fails is tried again every second, and says so in ``status``.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
import shutil
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2s
from ipaddress import ip_address, ip_interface
from pathlib import Path

import eventlet
import eventlet.semaphore

from onehop.controller.agent import frr_config, namespaces, sessions
from onehop.controller.agent.desired import Desired, Uplink
from onehop.controller.agent.frr import Frr, FrrError
from onehop.controller.agent.netlink import RouteReader, Routes
from onehop.controller.agent.switch import SwitchPort, device_name
from onehop.controller.agent.uplink_flows import static_flows
from onehop.controller.questions import Session
from onehop.engine.model import LearnedRoute

__all__ = ["Uplinks", "clean", "frr_device", "namespace", "ports", "static_flows"]

OnRoutes = Callable[[str, frozenset[LearnedRoute]], None]  # uplink port, all its routes now

DEVICE = "uplink"  # FRR's end of the pair
RETRY_S = 1.0
NAME_LENGTH = 40  # of a namespace or folder
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCGIFMTU, IFF_UP = 0x8913, 0x8914, 0x8921, 1
IFREQ = struct.Struct("16si20x")

log = logging.getLogger(__name__)


def ports(desired: Desired) -> list[SwitchPort]:
    """The switch's ports that lead to the namespaces."""
    return [SwitchPort(device=frr_device(u.port), owner="") for u in desired.uplinks]


def frr_device(port: str) -> str:
    """The device in the bridge behind which FRR speaks for the uplink `port`."""
    return device_name("frr-", port)


def namespace(host: str, port: str) -> str:
    """The namespace of the FRR of uplink `port` of `host`."""
    return _plain(f"onehop-{host}-{port}")


class Uplinks:
    """The FRRs of this host."""

    def __init__(self, host: str, run_dir: str, on_routes: OnRoutes) -> None:
        """`on_routes` is called from a green thread whenever an uplink's routes have changed."""
        self._host = host
        self._run_dir = run_dir
        self._on_routes = on_routes
        self._announcing: bool | None = None
        self._workers: dict[str, _Worker] = {}

    def reconcile(self, uplinks: Iterable[Uplink]) -> None:
        """Make these the host's uplinks: start, adopt, change or stop their FRRs."""
        wanted = {uplink.port: uplink for uplink in uplinks}
        left = {place.port for place in _left(self._host, self._run_dir)}
        for port in wanted.keys() | self._workers.keys() | left:
            self._worker(port).want(wanted.get(port))

    def announce(self, announcing: bool) -> None:
        """Announce the uplinks' networks (the agent is live, not isolated), or withdraw them."""
        if announcing != self._announcing:
            self._announcing = announcing
            for worker in self._workers.values():
                worker.announce(announcing)

    def carrier(self, port: str, up: bool) -> None:
        """Tell the FRR of uplink `port` that its link went down or came up."""
        if port in self._workers:
            self._workers[port].carrier(up=up)

    def status(self) -> dict[str, dict[str, object]]:
        """Per uplink port: state ("starting", "running", "failed: ..."), announcing, and so on."""
        workers = sorted(self._workers.items())
        return {port: worker.status() for port, worker in workers if worker.wanted}

    def sessions(self) -> Iterator[Session]:
        """The BGP sessions of every uplink; those of an FRR that does not answer are left out."""
        for port, worker in sorted(self._workers.items()):
            if worker.wanted:
                yield from sessions.sessions(port, worker.bgp(sessions.COMMAND))

    def close(self) -> None:
        """Stop watching; FRR goes on."""
        for worker in self._workers.values():
            worker.close()
        self._workers = {}

    def _worker(self, port: str) -> _Worker:
        if port not in self._workers:
            place = _Place(self._host, self._run_dir, port)
            self._workers[port] = _Worker(place, self._on_routes, self._announcing)
        return self._workers[port]


def clean(host: str, run_dir: str) -> None:
    """Stop all FRRs of `host` and remove their namespaces and links (``onehop agent clean``)."""
    for place in _left(host, run_dir):
        place.remove()


class _Worker:
    """Brings about one uplink, step after step, in a green thread; more threads watch it."""

    def __init__(self, place: _Place, on_routes: OnRoutes, announcing: bool | None) -> None:
        self._place = place
        self._on_routes = on_routes
        self._announcing = announcing
        self._uplink: Uplink | None = None
        self._built: Uplink | None = None  # what the namespace was last made for
        self._up = True  # the uplink has carrier
        self._state = "starting"
        self._routes: frozenset[LearnedRoute] | None = None  # None: not known yet
        self._wake = eventlet.semaphore.Semaphore(0)
        self._watches: list[eventlet.greenthread.GreenThread] = []
        self._thread = eventlet.spawn(self._work)

    @property
    def wanted(self) -> bool:
        return self._uplink is not None

    def want(self, uplink: Uplink | None) -> None:
        """Be this uplink from now on; None: be gone."""
        self._uplink = uplink
        self._wake.release()

    def announce(self, announcing: bool) -> None:
        self._announcing = announcing
        self._wake.release()

    def carrier(self, *, up: bool) -> None:
        self._up = up
        with contextlib.suppress(OSError):  # the link is not there yet: set when it is made
            self._place.set_carrier(up=up)

    def status(self) -> dict[str, object]:
        announcing = frr_config.announces(self._place.frr.configured)
        return {
            "state": self._state,
            "announcing": announcing,
            "draining": self._uplink is not None and self._uplink.draining,
            "routes": len(self._routes or ()),
        }

    def bgp(self, question: str) -> str:
        """What bgpd answers; "" where it does not."""
        with contextlib.suppress(OSError, FrrError):
            return self._place.frr.ask("bgpd", question)
        return ""

    def close(self) -> None:
        self._stop_watching()
        self._thread.kill()

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            try:
                if self._uplink is None:
                    self._end()
                else:
                    self._bring_about(self._uplink)
                    self._state = "running"
            except (FrrError, namespaces.CommandError, OSError) as error:
                self._fail(str(error))

    def _bring_about(self, uplink: Uplink) -> None:
        frr = self._place.frr
        if self._built != uplink:
            self._place.build(uplink)
            self._place.set_carrier(up=self._up)
            self._built = uplink
        if not frr.runs:
            self._stop_watching()
            frr.start()
        if not self._watches:
            watches = (self._watch_frr, self._watch_routes)
            self._watches = [eventlet.spawn(self._watch, watch) for watch in watches]
        self._configure(uplink)

    def _configure(self, uplink: Uplink) -> None:
        frr = self._place.frr
        found = frr_config.announces(frr.configured)
        announcing = found if self._announcing is None else self._announcing
        frr.configure(frr_config.config(uplink, announcing=announcing))
        if found and not announcing:
            frr.reset_sessions()

    def _end(self) -> None:
        self._stop_watching()
        self._place.remove()
        self._built = None
        self._tell(frozenset())

    def _fail(self, reason: str) -> None:
        self._state = f"failed: {reason}"
        log.error("uplink %s: %s", self._place.port, reason)
        eventlet.spawn_after(RETRY_S, self._wake.release)

    def _watch(self, watch: Callable[[], str]) -> None:
        """Watch until that fails; the routes that are left then are nobody's word."""
        try:
            reason = watch()
        except Exception as error:  # a callback's too: without a watch, routes would go stale
            log.exception("uplink %s", self._place.port)
            reason = str(error)
        self._stop_watching()
        self._tell(frozenset())
        self._fail(reason)

    def _watch_frr(self) -> str:
        self._place.frr.wait()
        return "FRR has stopped"

    def _watch_routes(self) -> str:
        with namespaces.entered(self._place.namespace):
            reader = RouteReader()
        with contextlib.closing(reader):
            while True:
                reader.wait()
                if reader.run():
                    self._tell(frozenset(self._learned(reader.routes)))

    def _learned(self, routes: Routes) -> Iterator[LearnedRoute]:
        uplink = self._built
        networks = [ip_interface(a).network for a in uplink.addresses] if uplink else []
        for destination, gateways in routes.items():
            for gateway in gateways:
                if any(ip_address(gateway) in network for network in networks):
                    yield LearnedRoute(
                        host=self._place.host,
                        next_hop_port=self._place.port,
                        destination=destination,
                        next_hop_gateway=gateway,
                    )

    def _tell(self, routes: frozenset[LearnedRoute]) -> None:
        if routes != self._routes:
            self._routes = routes
            self._on_routes(self._place.port, routes)

    def _stop_watching(self) -> None:
        here = eventlet.getcurrent()
        for watch in self._watches:
            if watch is not here:
                watch.kill()
        self._watches = []


class _Place:
    """Where the FRR of an uplink lives: its namespace, its link to the bridge, its folder."""

    def __init__(self, host: str, run_dir: str, port: str) -> None:
        self.host = host
        self.port = port
        self.namespace = namespace(host, port)
        self._device = frr_device(port)
        self._folder = Path(run_dir, "frr", _plain(port))
        self.frr = Frr(self.namespace, self._folder)

    def build(self, uplink: Uplink) -> None:
        """Make what is missing and change what differs."""
        mtu = _mtu(uplink.device)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        (self._folder / "port").write_text(self.port)
        namespaces.create(self.namespace)
        namespaces.connect(self.namespace, self._device, DEVICE, mac=uplink.mac)
        namespaces.run("ip", "link", "set", self._device, "mtu", str(mtu))
        addresses = set(uplink.addresses)
        namespaces.configure(self.namespace, DEVICE, mac=uplink.mac, mtu=mtu, addresses=addresses)

    def set_carrier(self, *, up: bool) -> None:
        """Give FRR's end of the link carrier or take it: the other end goes up or down."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            name = self._device.encode()
            _, flags = IFREQ.unpack(fcntl.ioctl(sock, SIOCGIFFLAGS, IFREQ.pack(name, 0)))
            flags = (flags | IFF_UP) if up else (flags & ~IFF_UP)
            fcntl.ioctl(sock, SIOCSIFFLAGS, IFREQ.pack(name, flags))

    def remove(self) -> None:
        self.frr.stop()
        namespaces.disconnect(self._device)
        namespaces.remove(self.namespace)
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()


def _left(host: str, run_dir: str) -> list[_Place]:
    """The places that agents of this host have made and not removed."""
    return [_Place(host, run_dir, f.read_text()) for f in Path(run_dir).glob("frr/*/port")]


def _mtu(device: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFMTU, IFREQ.pack(device.encode(), 0))
        except OSError as error:
            raise OSError(error.errno, f"{device}: {error.strerror}") from None
    return int(IFREQ.unpack(answer)[1])


def _plain(name: str) -> str:
    """`name` in the letters that paths and FRR accept, and not too long; with a digest if cut."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    if plain == name and len(name) <= NAME_LENGTH:
        return name
    return f"{plain[: NAME_LENGTH - 9]}-{blake2s(name.encode(), digest_size=4).hexdigest()}"
