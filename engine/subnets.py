"""What follows from subnets: what each machine is told about itself, as facts.

1. A machine's port has one lease a family: its first address that is in a subnet of its bridge.
2. What does not change from answer to answer is written here, as options ready to be sent.
3. A bridge speaks by its router where the gateway is one; otherwise by itself, with a MAC that
   follows from its name and, for DHCPv4, an address of its own where no gateway is stated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, NamedTuple

from onehop.engine.fact import NeighborFact, mac_bytes
from onehop.engine.model import Port, Subnet

Said = tuple[tuple[Any, ...], Any]
MASK, ROUTER, DNS, CLASSLESS_ROUTES = 1, 3, 6, 121  # RFC 2132, RFC 3442
DNS6 = 23  # RFC 3646


class LeaseFact(NamedTuple):
    """("lease", port, family)"""

    mac: bytes  # of the machine; b"": any
    address: bytes
    prefix_bits: int
    gateway: bytes  # b"": none
    server: bytes  # DHCPv4's server identifier
    server_mac: bytes  # the bridge's own
    mtu: int  # 0: what fits the underlay
    options: bytes


def say_subnet(subnet: Subnet) -> Iterator[Said]:
    """Where no gateway can be asked to renew a lease, the bridge can."""
    network = ip_network(subnet.prefix)
    if network.version == 4 and not subnet.gateway:
        about = ("neighbor", ("device", subnet.bridge), own_address(network))
        yield about, NeighborFact(True, server_mac(subnet.bridge))


def say_leases(port: Port, subnets: Iterable[Subnet]) -> Iterator[Said]:
    """What the machine behind a bridge's port is told."""
    found: dict[int, LeaseFact] = {}
    networks = [(ip_network(subnet.prefix), subnet) for subnet in subnets]
    for text in port.addresses:
        address = ip_interface(text).ip
        for network, subnet in networks:
            if address in network:
                lease = _lease(port, address.packed, network, subnet)
                found.setdefault(network.version, lease)
    for version, lease in found.items():
        yield ("lease", port.name, version), lease


def link_local(mac: bytes) -> bytes:
    """The address that a router speaks from on its link (RFC 4291, appendix A)."""
    half = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return b"\xfe\x80" + bytes(6) + half


def server_mac(bridge: str) -> bytes:
    """The same on every host."""
    return b"\x02" + hashlib.sha256(f"dhcp {bridge}".encode()).digest()[:5]


def own_address(network: IPv4Network | IPv6Network) -> bytes:
    """The last one that a machine could have."""
    last = network.num_addresses - (2 if network.prefixlen < network.max_prefixlen - 1 else 1)
    return network[last].packed


def _lease(
    port: Port, address: bytes, network: IPv4Network | IPv6Network, subnet: Subnet
) -> LeaseFact:
    gateway = ip_address(subnet.gateway).packed if subnet.gateway else b""
    return LeaseFact(
        mac=mac_bytes(port.mac) if port.mac else b"",
        address=address,
        prefix_bits=network.prefixlen,
        gateway=gateway,
        server=gateway or own_address(network),
        server_mac=server_mac(subnet.bridge),
        mtu=subnet.mtu or 0,
        options=_options4(network, subnet) if network.version == 4 else _options6(subnet),
    )


def _options4(network: IPv4Network | IPv6Network, subnet: Subnet) -> bytes:
    """In order of importance: what a client has no room for is left out."""
    options = _option(MASK, network.netmask.packed)
    if subnet.gateway:
        options += _option(ROUTER, ip_address(subnet.gateway).packed)
    if subnet.routes:
        options += _option(CLASSLESS_ROUTES, classless_routes(subnet))
    if subnet.dns:
        options += _option(DNS, b"".join(ip_address(a).packed for a in subnet.dns))
    return options


def classless_routes(subnet: Subnet) -> bytes:
    """A client that is told these ignores the router option: the default route is among them."""
    routes = {ip_network(r.destination): ip_address(r.gateway) for r in subnet.routes}
    if subnet.gateway:
        routes.setdefault(ip_network("0.0.0.0/0"), ip_address(subnet.gateway))
    return b"".join(
        bytes([to.prefixlen]) + to.network_address.packed[: (to.prefixlen + 7) // 8] + via.packed
        for to, via in routes.items()
    )


def _options6(subnet: Subnet) -> bytes:
    servers = b"".join(ip_address(address).packed for address in subnet.dns)
    return DNS6.to_bytes(2, "big") + len(servers).to_bytes(2, "big") + servers if servers else b""


def _option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value
