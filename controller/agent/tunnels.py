"""Tunnels to the other hosts: the flow-based VXLAN port, and ports whose BFD watches hosts.

1. Every host has one port for all tunnels; a flow says where a packet goes.
2. A pair of hosts of which at least one is a gateway has, at both, a port of its own that only
   carries BFD (RFC 5880): OVS answers there in 300 ms at most whether the other is reachable.
3. A host that cannot take packets yet says so by BFD, and counts as unreachable until it can.
4. A userspace tunnel loses the first packet to a far end, because its MAC is not known yet.  That
   packet is a greeting which means nothing and is dropped there.
"""

from __future__ import annotations

from collections.abc import Iterable

from onehop.controller.agent.desired import TUNNEL_DEVICE, Desired, Peer
from onehop.controller.agent.switch import SwitchPort, device_name
from onehop.engine import openflow

# To nobody, from nobody, of the type for experiments (IEEE 802, section 9.2.3).
GREETING = bytes(12) + b"\x88\xb5" + bytes(46)
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


def greeting(tunnel_ofport: int, peers: Iterable[Peer]) -> bytes:
    """Messages that have the switch send each of `peers` something that is dropped there."""
    return b"".join(
        openflow.packet_out(GREETING, [("set_tunnel", p.address, 0), ("output", tunnel_ofport)])
        for p in peers
    )
