"""The local Open vSwitch: what its database says, driven to what it should say.

1. Nothing waits: ``run`` takes what has arrived and sends what is due; ``wait`` is the only call
   that sleeps, and it is green under eventlet's monkey patching.
2. At most one transaction is under way; each is the whole difference between what is there and
   what should be, so any order of events ends the same.
3. Only what carries this module's mark (``external_ids:onehop-port``) is ever changed or removed;
   other people's ports of the bridge stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from onehop.controller.agent.desired import Desired

DEVICE_NAME_LENGTH = 15  # Linux: IFNAMSIZ less the final zero
Pairs = tuple[tuple[str, str], ...]


class SwitchPort(msgspec.Struct, frozen=True):
    """A port that the bridge should have."""

    device: str  # the name of the port and of its interface
    owner: str  # the virtual port behind it; "" for a port of onehop's own
    type: str = ""  # "": a network device; "vxlan": a tunnel
    options: Pairs = ()
    bfd: Pairs = ()


class PortState(msgspec.Struct, frozen=True):
    """What the switch says of a port."""

    device: str
    owner: str
    ofport: int  # its OpenFlow number; 0: none yet, or no more
    link_up: bool
    bfd_up: bool | None  # None: no BFD there
    error: str = ""  # why it does not work, in the switch's words


def ports(desired: Desired) -> list[SwitchPort]:
    """The ports for the exterior ports of this host."""
    return [SwitchPort(device=i.device, owner=i.port) for i in desired.interfaces]


def device_name(prefix: str, name: str) -> str:
    """A device's name for `name`: itself where that fits, else a digest of it."""
    fits = len(prefix + name) <= DEVICE_NAME_LENGTH and re.fullmatch(r"[A-Za-z0-9._-]+", name)
    if fits and not re.fullmatch(r"[0-9a-f]{8}", name):
        return prefix + name
    return prefix + hashlib.blake2s(name.encode(), digest_size=4).hexdigest()


class Switch:
    """The integration bridge of this host."""

    def __init__(
        self, remote: str, *, datapath: str, controller: str, bridge: str = "br-int"
    ) -> None:
        """`remote` and `controller` as OVS writes them: "unix:FILE", "tcp:127.0.0.1:6653"."""
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """The database has told us everything it holds."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """The database says what it should, and the switch has numbered every port it can."""
        raise NotImplementedError

    @property
    def ports(self) -> Mapping[str, PortState]:
        """The bridge's ports of ours, by device."""
        raise NotImplementedError

    def reconcile(self, ports: Iterable[SwitchPort]) -> None:
        """Make these the bridge's ports; later calls of ``run`` do it."""
        raise NotImplementedError

    def run(self) -> list[PortState]:
        """Go on with what is to do; the ports whose state changed (ofport 0: gone)."""
        raise NotImplementedError

    def wait(self, timeout_s: float) -> None:
        """Sleep until there is something to do for ``run``, or `timeout_s` is over."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def remove_bridge(remote: str, bridge: str = "br-int", *, timeout_s: float = 5.0) -> None:
    """Remove the bridge with all its ports; nothing if it is not there (``onehop agent clean``)."""
    raise NotImplementedError
