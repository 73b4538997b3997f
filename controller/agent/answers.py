"""ARP answers that the switch gives by itself, so that machines keep their neighbors while the
agent is away.

A machine asks now and then whether a neighbor that it talks to still has its MAC: a request to
that MAC alone (RFC 1122, section 2.3.2.1).  If nobody answers, it stops sending after seconds,
although every flow is in place.

1. What is answered is what the engine answers: each flow is made from its reply to the very
   request that the flow matches.  Broadcast requests always go to the agent.
2. Only machines whose MAC and addresses are stated are answered so: from others there is
   something to learn.
3. `ANSWERS` flows at most, those for routers first; `PIECE` questions at a time, for forwarding
   waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, ip_interface
from itertools import islice
from typing import NamedTuple

from onehop.controller.agent.desired import Action, Snapshot, StaticFlow, bridge_ports, ports_of
from onehop.controller.agent.events import OfPort
from onehop.engine import openflow
from onehop.engine.model import Bridge, Port, router_mac
from onehop.engine.simulate import Simulator

ANSWERS = 512
PIECE = 32
PRIORITY = 40  # below the flows that simulation yields
ETHERNET_ARP = b"\x00\x01\x08\x00\x06\x04"  # RFC 826: hardware, protocol, their lengths
REQUEST, REPLY = b"\x00\x01", b"\x00\x02"


class Party(NamedTuple):
    """Who asks, or who is asked for."""

    mac: str
    address: IPv4Address


class Search:
    """The flows that answer the machines of `host`, looked for a piece at a time.

    What changes meanwhile is seen by the next search; a port that changed is passed over.
    """

    def __init__(
        self, host: str, snapshot: Snapshot, ports: dict[str, OfPort], engine: Simulator
    ) -> None:
        self.flows: list[StaticFlow] = []
        self._engine, self._ports = engine, ports
        self._stated = snapshot.get(Port.KIND, {})
        self._questions = _questions(host, snapshot)

    def go(self, count: int) -> bool:
        """Ask the engine `count` questions more; whether these were the last."""
        asked = 0
        for port, asker, party in islice(self._questions, count):
            asked += 1
            if port.interface in self._ports and self._stated.get(port.name) is port:
                number = self._ports[port.interface].number
                self.flows += _answer(self._engine, port, number, asker, party)
            if len(self.flows) >= ANSWERS:
                del self.flows[ANSWERS:]
                return True
        return asked < count


def _questions(host: str, snapshot: Snapshot) -> Iterator[tuple[Port, Party, Party]]:
    """Which port's machine asks for whom; routers first."""
    bridges = bridge_ports(host, snapshot)
    for parties in (_routers, _machines):
        for bridge, local in bridges.items():
            asked = list(parties(bridge, snapshot))
            for port in local:
                for asker in _stated(port):
                    yield from ((port, asker, party) for party in asked if party != asker)


def _routers(bridge: Bridge, snapshot: Snapshot) -> Iterator[Party]:
    everywhere = {port.name: port for port in ports_of(None, snapshot)}
    for port in everywhere.values():
        peer = everywhere.get(port.peer or "")
        if peer and peer.device == bridge.name:
            yield from _at(router_mac(port), port.addresses)
        if peer and port.device == bridge.name:
            yield from _at(router_mac(peer), peer.addresses)


def _machines(bridge: Bridge, snapshot: Snapshot) -> Iterator[Party]:
    for port in ports_of(bridge.name, snapshot):
        yield from _stated(port)


def _stated(port: Port) -> Iterable[Party]:
    return _at(port.mac, port.addresses) if port.mac else ()


def _at(mac: str, addresses: Iterable[str]) -> Iterator[Party]:
    for address in (ip_interface(text).ip for text in addresses):
        if isinstance(address, IPv4Address):
            yield Party(mac.lower(), address)


def _answer(
    engine: Simulator, port: Port, number: int, asker: Party, asked: Party
) -> Iterator[StaticFlow]:
    verdict = engine.simulate(_request(asker, asked), port.name)
    if verdict.kind != "consumed" or [o.port for o in verdict.emitted_outputs] != [port.name]:
        return
    reply = verdict.emitted_outputs[0].packet
    if reply[14:22] == ETHERNET_ARP + REPLY:
        yield StaticFlow(PRIORITY, tuple(_match(number, asker, asked)), tuple(_actions(reply)))


def _request(asker: Party, asked: Party) -> bytes:
    own, other = (bytes.fromhex(party.mac.replace(":", "")) for party in (asker, asked))
    ethernet = other + own + b"\x08\x06"
    sender = own + asker.address.packed
    return ethernet + ETHERNET_ARP + REQUEST + sender + other + asked.address.packed


def _match(number: int, asker: Party, asked: Party) -> Iterator[tuple[str, int | str]]:
    yield from (("in_port", number), ("eth_dst", asked.mac), ("eth_src", asker.mac))
    yield from (("vlan_vid", 0), ("arp_op", 1))
    yield from (("arp_spa", str(asker.address)), ("arp_tpa", str(asked.address)))


def _actions(reply: bytes) -> Iterator[Action]:
    """Make the request into `reply`, and send it back."""
    yield ("set", "eth_dst", reply[0:6].hex(":"))
    yield ("set", "eth_src", reply[6:12].hex(":"))
    yield ("set", "arp_op", 2)
    yield ("set", "arp_spa", str(IPv4Address(reply[28:32])))
    yield ("set", "arp_tpa", str(IPv4Address(reply[38:42])))
    yield ("set", "arp_sha", reply[22:28].hex(":"))
    yield ("set", "arp_tha", reply[32:38].hex(":"))
    yield ("output", openflow.IN_PORT)
