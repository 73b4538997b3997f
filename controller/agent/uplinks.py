"""Uplinks of a gateway: FRR in a network namespace of its own behind each uplink port.

Usable only inside an eventlet hub (monkey patched or not): the work is done by green threads of
this module's own, commands run through eventlet's green subprocess, sockets are green.  No call
below waits, except ``clean``.

1. What runs stays: neither the end of the agent nor its start touches a working FRR.
2. An FRR that this agent started announces nothing until ``announce(True)``; one that it found
   goes on announcing what it announced until the first ``announce``.
3. Routes are read from the kernel of the namespace, where only zebra puts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from onehop.controller.agent.desired import Desired, StaticFlow, Uplink
from onehop.controller.agent.switch import SwitchPort, device_name
from onehop.engine.model import LearnedRoute

OnRoutes = Callable[[str, frozenset[LearnedRoute]], None]  # uplink port, all its routes now


def ports(desired: Desired) -> list[SwitchPort]:
    """The switch's ports that lead to the namespaces."""
    return [SwitchPort(device=frr_device(u.port), owner="") for u in desired.uplinks]


def frr_device(port: str) -> str:
    """The device in the bridge behind which FRR speaks for the uplink `port`."""
    return device_name("frr-", port)


def static_flows(uplink: Uplink, uplink_ofport: int, frr_ofport: int) -> list[StaticFlow]:
    """What passes between an uplink and its FRR without being simulated."""
    raise NotImplementedError


class Uplinks:
    """The FRRs of this host."""

    def __init__(self, host: str, run_dir: str, on_routes: OnRoutes) -> None:
        """`on_routes` is called from a green thread whenever an uplink's routes have changed."""
        raise NotImplementedError

    def reconcile(self, uplinks: Iterable[Uplink]) -> None:
        """Make these the host's uplinks: start, adopt, change or stop their FRRs."""
        raise NotImplementedError

    def announce(self, announcing: bool) -> None:  # noqa: FBT001
        """Announce the uplinks' networks (the agent is live, not isolated), or withdraw."""
        raise NotImplementedError

    def carrier(self, port: str, up: bool) -> None:  # noqa: FBT001
        """Tell the FRR of uplink `port` that its link went down or came up."""
        raise NotImplementedError

    def status(self) -> dict[str, dict[str, object]]:
        """Per uplink port: state ("starting", "running", "failed: ..."), announcing, routes."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop watching; FRR goes on."""
        raise NotImplementedError


def clean(host: str, run_dir: str) -> None:
    """Stop all FRRs of `host` and remove their namespaces and links (``onehop agent clean``)."""
    raise NotImplementedError
