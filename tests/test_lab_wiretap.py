"""What a tap on an uplink takes for the users' packets, and what for the routers' own."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from onehop.lab.wiretap import is_users

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def frame(protocol: int, sport: int, dport: int, *, version: int = 4) -> bytes:
    ports = struct.pack("!HH", sport, dport)
    if version == 4:
        ends = ip_address("10.56.1.2").packed + ip_address("10.56.1.1").packed
        header = struct.pack("!BxHxxxxBBxx", 0x45, 24, 64, protocol) + ends
    else:
        ends = ip_address("fd00::2").packed + ip_address("fd00::1").packed
        header = struct.pack("!IHBB", 6 << 28, 4, protocol, 64) + ends
    return bytes(12) + (b"\x08\x00" if version == 4 else b"\x86\xdd") + header + ports


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("protocol", "sport", "dport", "users"),
    [
        (TCP, 40000, 179, False),
        (TCP, 179, 40000, False),
        (UDP, 49152, 3784, False),
        (UDP, 3785, 3785, False),
        (TCP, 40000, 80, True),
        (UDP, 30000, 7007, True),
    ],
)
def test_bgp_and_bfd_are_not_the_users(
    version: int, protocol: int, sport: int, dport: int, users: bool
) -> None:
    assert is_users(frame(protocol, sport, dport, version=version)) is users


def test_pings_are_the_users_and_neighbor_discovery_and_arp_are_not() -> None:
    assert is_users(frame(ICMP, 0, 0))
    assert not is_users(frame(ICMPV6, 0, 0, version=6))
    assert not is_users(bytes(12) + b"\x08\x06" + bytes(46))
