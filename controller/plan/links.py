"""Who speaks behind which port, and to which MAC: what is needed to make up a machine's packet.

1. Only what is stated, and which MACs and addresses hosts have seen.
2. Where it is not clear who speaks, there are several answers; the walk tells which is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import NamedTuple

from onehop.engine.model import (
    Bridge,
    FloatingIp,
    LearnedMac,
    LearnedRoute,
    Neighbor,
    Port,
    Resource,
    Route,
    router_mac,
)

UNKNOWN_MAC = bytes.fromhex("02000000fffe")  # of somebody beyond an uplink


class Speaker(NamedTuple):
    """Somebody behind an exterior port."""

    port: str
    host: str
    mac: bytes


def packed_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Links:
    """The links behind the exterior ports of what is held."""

    def __init__(self, held: Mapping[tuple[str, str], Resource]) -> None:
        self.ports = {r.name: r for r in held.values() if isinstance(r, Port)}
        self._bridges = {r.name for r in held.values() if isinstance(r, Bridge)}
        self._segments = self._joined()
        self._speakers: dict[bytes, list[Speaker]] = defaultdict(list)  # by address
        self._macs: dict[str, dict[bytes, bytes]] = defaultdict(dict)  # segment -> address -> MAC
        self._gateways: dict[str, list[bytes]] = defaultdict(list)  # segment -> routers' MACs
        self.outside: dict[str, dict[int, bytes]] = defaultdict(dict)  # uplink -> by length
        self.uplinks: list[Speaker] = []
        self._routed: dict[str, list[bytes]] = {}  # uplink -> its own MAC
        self.fixed: dict[bytes, list[bytes]] = defaultdict(list)  # -> floating IPs
        self._read_ports()
        self._read_rows(held.values())

    def speakers(self, address: bytes) -> list[Speaker]:
        """Who may send from `address`; where nobody states it, everybody outside."""
        return self._speakers.get(address) or self.uplinks

    def next_hops(self, port: str, destination: bytes) -> list[bytes]:
        """The MACs that who is behind `port` may send to."""
        stated = self.ports[port]
        if stated.device not in self._bridges:
            return self._routed[port]
        segment = self._segments[stated.device]
        beside = self._macs[segment].get(destination)
        return [beside] if beside else self._gateways[segment]

    def is_bridged(self, port: Port) -> bool:
        return port.device in self._bridges

    def peers(self) -> Iterable[tuple[Port, Port]]:
        for port in self.ports.values():
            peer = self.ports.get(port.peer or "")
            if peer is not None:
                yield port, peer

    def _joined(self) -> dict[str, str]:
        """Bridges that are linked to each other have one name."""
        found = {bridge: bridge for bridge in self._bridges}
        for one, other in self.peers():
            if self.is_bridged(one) and self.is_bridged(other):
                kept, gone = found[one.device], found[other.device]
                found = {b: kept if s == gone else s for b, s in found.items()}
        return found

    def _read_ports(self) -> None:
        for one, other in self.peers():
            for port, far in ((one, other), (other, one)):
                if self.is_bridged(port) and not self.is_bridged(far):
                    self._read_router(self._segments[port.device], far)
        for port in self.ports.values():
            if port.host is None or port.interface is None:
                continue
            if self.is_bridged(port):
                self._read_machine(port, port.host)
            else:
                self.uplinks.append(Speaker(port.name, port.host, UNKNOWN_MAC))
                self._routed[port.name] = [_own_mac(port)]

    def _read_router(self, segment: str, port: Port) -> None:
        mac = _own_mac(port)
        self._gateways[segment].append(mac)
        for text in port.addresses:
            self._macs[segment].setdefault(ip_interface(text).ip.packed, mac)

    def _read_machine(self, port: Port, host: str) -> None:
        segment, own = self._segments[port.device], port.mac and packed_mac(port.mac)
        stated = [(ip_interface(text).ip.packed, own) for text in port.addresses]
        for pair in port.allowed_address_pairs:
            net = ip_network(pair.address)
            if net.num_addresses == 1:
                mac = packed_mac(pair.mac) if pair.mac else own
                stated.append((net.network_address.packed, mac))
        for address, mac in stated:
            if mac:
                self._macs[segment][address] = mac
                self._speakers[address].append(Speaker(port.name, host, mac))

    def _read_rows(self, rows: Iterable[Resource]) -> None:
        found = list(rows)
        seen = [r for r in found if isinstance(r, Neighbor) and r.port in self.ports]
        learned = {packed_mac(r.mac): r for r in found if isinstance(r, LearnedMac)}
        for neighbor in seen:
            self._read_neighbor(neighbor, learned)
        for row in found:
            if isinstance(row, Route | LearnedRoute) and row.next_hop_gateway:
                address = ip_address(row.next_hop_gateway).packed
                self.outside[row.next_hop_port or ""].setdefault(len(address), address)
            elif isinstance(row, FloatingIp):
                address = ip_address(row.address).packed
                self.fixed[ip_address(row.fixed_address).packed].append(address)

    def _read_neighbor(self, row: Neighbor, learned: Mapping[bytes, LearnedMac]) -> None:
        address, mac = ip_address(row.address).packed, packed_mac(row.mac)
        port = self.ports[row.port]
        if port.host is not None:
            self.outside[port.name][len(address)] = address
            self._speakers[address].append(Speaker(port.name, port.host, mac))
            return
        where = learned.get(mac)
        behind = self.ports.get(where.port) if where else None
        if behind is not None and behind.host is not None and not self._speakers.get(address):
            self._macs[self._segments.get(behind.device, "")][address] = mac
            self._speakers[address].append(Speaker(behind.name, behind.host, mac))


def _own_mac(port: Port) -> bytes:
    return packed_mac(port.mac or router_mac(port))
