"""Sources and destinations that are translated, and the errors about them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from onehop.engine.model import NatTarget, Rule, Topology
from onehop.lab import public
from onehop.lab.acceptance.scene import OPEN, Scene, Step, exchange, udp, with_rules
from onehop.lab.nodes import Node
from onehop.lab.results import Check

ERROR_S, ERROR_TRIES = 1.2, 5  # Linux tells one sender once a second
STATED = "192.0.2.220"  # a destination of `dnat`: announced, and nobody's else


def steps(scene: Scene) -> Iterator[Step]:
    translations = _Translations(scene)
    yield "SNAT", translations.snat
    yield "DNAT", translations.dnat
    yield "a floating IP, inwards", translations.floating_in
    yield "a floating IP, outwards", translations.floating_out
    yield "a floating IP of the same network", translations.hairpin


class _Translations:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.here, self.there = scene, scene.here, scene.there
        self.client = scene.client

    def snat(self) -> Check:
        seen = exchange(self.there, self.client, self.client.address)
        error = is_refused(self.there, self.client.address)
        low, high = map(IPv4Address, public.SNAT)
        translated = bool(seen) and low <= IPv4Address(seen) <= high
        return _check("SNAT", translated, f"the outside sees {seen or 'nothing'}", error)

    def dnat(self) -> Check:
        with self.scene.stated(_with_dnat(self.there.address)):
            seen = exchange(self.client, self.there, STATED)
            error = is_refused(self.client, STATED)
        detail = f"the machine sees {seen or 'nothing'}"
        return _check("DNAT", seen == self.client.address, detail, error)

    def floating_in(self) -> Check:
        seen = exchange(self.client, self.here, self.scene.public)
        error = is_refused(self.client, self.scene.public)
        detail = f"the machine sees {seen or 'nothing'}"
        return _check("a floating IP, inwards", seen == self.client.address, detail, error)

    def floating_out(self) -> Check:
        seen = exchange(self.here, self.client, self.client.address)
        error = is_refused(self.here, self.client.address)
        detail = f"the outside sees {seen or 'nothing'}"
        return _check("a floating IP, outwards", seen == self.scene.public, detail, error)

    def hairpin(self) -> Check:
        seen = exchange(self.there, self.here, self.scene.public)
        error = is_refused(self.there, self.scene.public)
        router = next(m.gateways for m in self.scene.lab.plan.machines if m.name == self.here.name)
        detail = f"the machine sees {seen or 'nothing'}"
        return _check("a floating IP of the same network", seen in router, detail, error)


def is_refused(source: Node, address: str) -> bool:
    """Whether UDP to a port where nobody listens brings an error, to its socket and no other."""
    with udp(source) as right, udp(source) as wrong:
        for sock, port in ((right, OPEN + 1), (wrong, OPEN + 2)):
            sock.connect((address, port))
            sock.settimeout(ERROR_S)
        told = any(_is_told(right) for _ in range(ERROR_TRIES))
        wrong.setblocking(False)  # noqa: FBT003
        try:
            wrong.recv(16)
        except BlockingIOError:
            return told
        except OSError:
            return False
        return False


def _is_told(sock: socket.socket) -> bool:
    try:
        sock.send(b"anybody there?")
        sock.recv(16)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def _check(what: str, translated: bool, detail: str, error: bool) -> Check:  # noqa: FBT001
    told = "comes to its socket" if error else "does not come to its socket"
    return Check(what, translated and error, f"{detail}; the error about a closed port {told}")


def _with_dnat(target: str) -> Callable[[Topology], Topology]:
    """What is for `STATED` goes to `target`, and its answers come from there."""
    there = Rule(
        action="dnat",
        destination=f"{STATED}/32",
        targets=(NatTarget(first_address=target),),
    )

    def changed(topology: Topology) -> Topology:
        inwards = with_rules(public.INBOUND, [there])(topology)
        return with_rules(public.OUTBOUND, [Rule(action="reverse_dnat")])(inwards)

    return changed
