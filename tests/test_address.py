"""Addresses read fast are those that `ipaddress` reads, and what it refuses is refused."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.engine.address import interface, masked, packed, prefix, written

ADDRESSES = st.ip_addresses().map(str)
ALMOST = st.text("0123456789abcdef.:/%", max_size=20) | ADDRESSES | st.just("١.2.3.4")


def outcome(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except ValueError:
        return "refused"


@given(ALMOST)
def test_addresses_are_read_like_ipaddress(text: str) -> None:
    assert outcome(packed, text) == outcome(lambda t: ip_address(t).packed, text)


@given(ALMOST, st.sampled_from(("", "/0", "/8", "/24", "/32", "/33", "/128", "/x", "/²")))
def test_prefixes_are_read_like_ipaddress(address: str, length: str) -> None:
    def slow_interface(text: str) -> tuple[bytes, int]:
        found = ip_interface(text)
        return found.packed, found.network.prefixlen

    def slow_prefix(text: str) -> tuple[bytes, int]:
        found = ip_network(text)
        return found.network_address.packed, found.prefixlen

    assert outcome(interface, address + length) == outcome(slow_interface, address + length)
    assert outcome(prefix, address + length) == outcome(slow_prefix, address + length)


@pytest.mark.parametrize("text", ("10.1.2.3", "2001:db8::1:0:0:1", "::ffff:1.2.3.4", "::"))
def test_addresses_are_written_like_ipaddress(text: str) -> None:
    assert written(packed(text)) == str(ip_address(text))


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_mask_leaves_the_first_bits(address: IPv4Address | IPv6Address, bits: int) -> None:
    bits = min(bits, len(address.packed) * 8)
    network = ip_network((address.packed, bits), strict=False)
    assert masked(address.packed, bits) == network.network_address.packed
