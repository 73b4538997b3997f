"""Tunnels to the other hosts: the flow-based VXLAN port, and ports whose BFD watches hosts.

1. Every host has one port for all tunnels; a flow says where a packet goes.
2. A pair of hosts of which at least one is a gateway has, at both, a port of its own that only
   carries BFD (RFC 5880): OVS answers there in 300 ms at most whether the other is reachable.
3. A host that cannot take packets yet says so by BFD, and counts as unreachable until it can.
4. A userspace tunnel loses packets until the address of its far end is resolved: so every host
   says something to every other host, from the start and once a minute.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from onehop.controller.agent.desired import TUNNEL_DEVICE, Desired, Peer
from onehop.controller.agent.switch import SwitchPort, device_name

DISCARD = 9  # the port of the discard service (RFC 863)
REPEAT_S = 60.0
BFD_KEY = "0"  # VXLAN network identifier 0 is never given to a port or a bridge
BFD = (("enable", "true"), ("min_rx", "100"), ("min_tx", "100"), ("mult", "3"))


def ports(desired: Desired, *, serving: bool | None = True) -> list[SwitchPort]:
    """The switch's ports that make the tunnels of this host.

    `serving`: the others may send packets here; None: leave what they were told before.
    """
    flow_based = (("remote_ip", "flow"), ("key", "flow"))
    everywhere = SwitchPort(device=TUNNEL_DEVICE, owner="", type="vxlan", options=flow_based)
    return [everywhere, *(_watch(peer, serving) for peer in desired.watched)]


def watch_device(host: str) -> str:
    """The device whose BFD watches `host`."""
    return device_name("bfd-", host)


def isolated(alive: Mapping[str, bool]) -> bool:
    """Whether none of the hosts that BFD watches (host -> session is up) can be reached."""
    return bool(alive) and not any(alive.values())


def _watch(peer: Peer, serving: bool | None) -> SwitchPort:
    return SwitchPort(
        device=watch_device(peer.host),
        owner="",
        type="vxlan",
        options=(("remote_ip", peer.address), ("key", BFD_KEY)),
        bfd=BFD if serving is None else (*BFD, _path_down(down=not serving)),
        first_bfd=(_path_down(down=True),),
    )


def _path_down(*, down: bool) -> tuple[str, str]:
    """What BFD tells the far side of the path behind this host (RFC 5880, section 6.8.17)."""
    return ("cpath_down", "true" if down else "false")


class WarmUp:
    """Datagrams to every other host that make the tunnels' far ends known."""

    def __init__(self) -> None:
        self._due_s = 0.0
        self._said: tuple[str, tuple[Peer, ...]] = ("", ())

    def run(self, desired: Desired, now_s: float) -> None:
        """Say something to all others if the minute is over or they have changed; never waits."""
        said = (desired.tunnel_address, desired.peers)
        if now_s >= self._due_s or said != self._said:
            self._said, self._due_s = said, now_s + REPEAT_S
            say(desired.tunnel_address, (peer.address for peer in desired.peers))


def say(source: str, addresses: Iterable[str]) -> None:
    """Send one empty datagram from `source` to each of `addresses`, where that is possible."""
    family = socket.AF_INET6 if ip_address(source).version == 6 else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((source, 0))
        for address in addresses:
            with contextlib.suppress(OSError):
                sock.sendto(b"", (address, DISCARD))
