"""Running FRR daemons that are told of changes, against ones that were told but once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import pytest
from functional.nodes import Net, Node

from onehop.controller.agent import frr_config
from onehop.controller.agent.desired import Uplink
from onehop.controller.agent.frr import DAEMONS, Frr, FrrError
from onehop.engine.model import BgpPeer

FIRST = BgpPeer(name="a", port="up1", address="10.56.1.1", asn=65100)
SIXTH = BgpPeer(name="b", port="up1", address="fd00:56:1::1", asn=65100)
PLAIN = Uplink(
    port="up1",
    device="up0",
    router="provider",
    asn=65010,
    mac="02:00:00:00:56:02",
    addresses=("10.56.1.2/24",),
    peers=(FIRST,),
    networks=("198.51.100.0/24", "2001:db8:1::/48"),
)
CHANGES = {
    "networks": {"networks": ("192.0.2.0/24",)},
    "one more peer": {"peers": (FIRST, SIXTH)},
    "another peer": {"peers": (SIXTH,)},
    "another AS of the peer": {"peers": (msgspec.structs.replace(FIRST, asn=65101),)},
    "another AS": {"asn": 65011},
    "another address": {"addresses": ("10.56.1.9/24",)},
    "only IPv6": {"addresses": ("fd00:56:1::2/64",), "peers": (SIXTH,)},
}


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    with contextlib.ExitStack() as stack:
        yield Net(stack)


@pytest.fixture(scope="module")
def node(net: Net) -> Node:
    return net.node("frr")


@pytest.fixture(scope="module")
def frr(net: Net, node: Node) -> Frr:
    return net.router(node, {})


@pytest.mark.parametrize("change", CHANGES)
def test_change_while_running_ends_as_from_nothing(frr: Frr, change: str) -> None:
    changed = frr_config.config(msgspec.structs.replace(PLAIN, **CHANGES[change]), announcing=True)
    frr.configure({})
    frr.configure(changed)
    expected = running_config(frr)
    frr.configure(frr_config.config(PLAIN, announcing=False))
    frr.configure(frr_config.config(PLAIN, announcing=True))
    frr.configure(changed)
    assert running_config(frr) == expected


def test_restarted_reader_knows_what_was_told(frr: Frr, net: Net, node: Node) -> None:
    frr.configure(frr_config.config(PLAIN, announcing=True))
    again = Frr(node.name, net.folder / f"{node.name}-frr")
    assert again.runs
    assert again.configured == frr_config.config(PLAIN, announcing=True)
    assert frr_config.announces(again.configured)


def test_refused_line_is_an_error_that_names_it(frr: Frr) -> None:
    with pytest.raises(FrrError, match="bgpd refused 'router bgp nonsense'"):
        frr.configure({"bgpd": {("router bgp nonsense",): ("bgp router-id 1.2.3.4",)}})


def test_folder_too_long_for_its_sockets_is_refused(net: Net) -> None:
    with pytest.raises(FrrError, match="too long for a socket's path"):
        Frr("any", net.folder / ("x" * 100))


def running_config(frr: Frr) -> dict[str, list[str]]:
    """What the daemons say of themselves, but for blank lines and what comments there are."""
    said = {name: frr.say(name, "show running-config").splitlines() for name in DAEMONS}
    return {name: [x for x in lines if x.strip("! ")] for name, lines in said.items()}
