"""Reading a kernel's routes against the kernel."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from functional.nodes import Net, Node, until

from onehop.controller.agent import namespaces
from onehop.controller.agent.netlink import RouteReader, Routes

GREEN = """
import eventlet
eventlet.monkey_patch(thread=False)
from onehop.controller.agent.netlink import RouteReader
reader = RouteReader()
while not reader.run():
    reader.wait()
print(reader.routes)
"""


@pytest.fixture
def node(net: Net) -> Node:
    node = net.node("rt")
    node.ip("link", "add", "dev0", "type", "veth", "peer", "name", "far0")
    node.ip("link", "set", "dev0", "up")
    node.ip("link", "set", "far0", "up")
    node.ip("addr", "add", "10.0.0.1/24", "dev", "dev0")
    node.ip("addr", "add", "fd00::1/64", "dev", "dev0", "nodad")
    return node


@pytest.fixture
def reader(node: Node) -> Iterator[RouteReader]:
    with reading(node) as reader:
        yield reader


@contextlib.contextmanager
def reading(node: Node) -> Iterator[RouteReader]:
    with namespaces.entered(node.name):
        reader = RouteReader()
    with contextlib.closing(reader):
        yield reader


def bgp(node: Node, *arguments: str) -> None:
    *command, route = arguments
    destination, *rest = route.split()
    node.ip(*command, destination, "proto", "bgp", *rest)


def becomes(reader: RouteReader, routes: Routes) -> None:
    until(lambda: reader.run() and reader.routes == routes, f"{routes}")


def test_routes_of_bgp_come_change_and_go(node: Node, reader: RouteReader) -> None:
    becomes(reader, {})
    bgp(node, "route", "add", "default via 10.0.0.2")
    bgp(node, "-6", "route", "add", "2001:db8::/32 via fd00::2")
    default, six = {"0.0.0.0/0": {"10.0.0.2"}}, {"2001:db8::/32": {"fd00::2"}}
    becomes(reader, {**default, **six})
    bgp(node, "route", "replace", "default via 10.0.0.3")
    becomes(reader, {"0.0.0.0/0": {"10.0.0.3"}, **six})
    bgp(node, "route", "del", "default")
    becomes(reader, six)


def test_routes_of_others_are_no_news(node: Node, reader: RouteReader) -> None:
    node.ip("route", "add", "192.0.2.0/24", "via", "10.0.0.2")
    bgp(node, "route", "add", "198.51.100.0/24 via 10.0.0.2 table 7")
    bgp(node, "route", "add", "203.0.113.0/24 via 10.0.0.2")
    becomes(reader, {"203.0.113.0/24": {"10.0.0.2"}})


@pytest.mark.parametrize(
    ("family", "destination", "gateways"),
    [
        ("-4", "192.0.2.0/24", ["10.0.0.2", "10.0.0.3"]),
        ("-6", "2001:db8::/32", ["fd00::2", "fd00::3"]),
    ],
)
def test_route_by_several_gateways_may_lose_one(
    node: Node, reader: RouteReader, family: str, destination: str, gateways: list[str]
) -> None:
    first, second = gateways
    bgp(node, family, "route", "add", f"{destination} nexthop via {first} nexthop via {second}")
    becomes(reader, {destination: {first, second}})
    bgp(node, family, "route", "replace", f"{destination} via {second}")
    becomes(reader, {destination: {second}})


def test_one_gateway_of_an_ipv6_route_may_be_deleted(node: Node, reader: RouteReader) -> None:
    bgp(node, "-6", "route", "add", "2001:db8::/32 nexthop via fd00::2 nexthop via fd00::3")
    bgp(node, "-6", "route", "del", "2001:db8::/32 via fd00::3")
    becomes(reader, {"2001:db8::/32": {"fd00::2"}})


def test_routes_that_go_without_a_word_when_a_link_goes_are_missed(
    node: Node, reader: RouteReader
) -> None:
    bgp(node, "route", "add", "192.0.2.0/24 via 10.0.0.2")
    becomes(reader, {"192.0.2.0/24": {"10.0.0.2"}})
    node.ip("link", "set", "dev0", "down")
    becomes(reader, {})


def test_routes_that_are_there_are_read_at_first(node: Node) -> None:
    bgp(node, "route", "add", "192.0.2.0/24 via 10.0.0.2")
    with reading(node) as reader:
        becomes(reader, {"192.0.2.0/24": {"10.0.0.2"}})


def test_reader_is_green_under_monkey_patching(node: Node) -> None:
    bgp(node, "route", "add", "192.0.2.0/24 via 10.0.0.2")
    with namespaces.entered(node.name):
        child = [sys.executable, "-W", "ignore", "-c", GREEN]
        said = subprocess.run(child, capture_output=True, text=True, timeout=20, check=True).stdout
    assert said == "{'192.0.2.0/24': frozenset({'10.0.0.2'})}\n"
