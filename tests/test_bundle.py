"""Many flow-mods come out as one bundle, and mean what they meant one by one."""

from __future__ import annotations

import struct

import pytest
from fake_switch import BUNDLE_CONTROL, ONF
from rig import VM1, Rig, datagram

from onehop.engine.datapath import Datapath

FROM = 8


def asked(count: int, **options: int) -> Rig:
    rig = Rig(**options)
    ask(rig, count)
    return rig


def ask(rig: Rig, count: int, first: int = 0) -> None:
    """So many packets at once, each of them for somebody else."""
    for n in range(first, first + count):
        rig.switch.receive(VM1, datagram(f"02:00:00:00:07:{n:02x}", "10.0.0.77"))


def flows(rig: Rig) -> dict[object, bytes]:
    return {key: flow.raw_match + flow.raw_instructions for key, flow in rig.switch.flows.items()}


def test_the_switch_has_the_same_flows_and_the_packets_leave() -> None:
    plain, bundled = asked(20), asked(20, bundle_from=FROM)
    outs = plain.answer(), bundled.answer()
    assert outs[0] == outs[1]
    assert len(outs[0]) >= 20
    assert flows(plain) == flows(bundled)
    first_out = bundled.switch.messages.index("packet_out")
    assert "flow_mod" not in bundled.switch.messages[first_out:]
    assert plain.switch.messages[-2:] == ["flow_mod", "packet_out"]


@pytest.mark.parametrize(("count", "bundles"), [(FROM - 1, 0), (FROM, 1), (3 * FROM, 1)])
def test_few_come_one_by_one(count: int, bundles: int) -> None:
    rig = asked(count, bundle_from=FROM)
    rig.answer()
    replies = rig.switch.heard()
    assert len(replies) == 2 * 24 * bundles, "opened, committed"
    got = rig.datapath.receive(replies, rig.now_ns)
    assert (got.consumed, got.slow, got.out) == (len(replies), [], b"")


def test_bundles_that_follow_each_other_have_numbers_of_their_own() -> None:
    rig = Rig(bundle_from=FROM)
    numbers = set()
    for first in (0, FROM):
        ask(rig, FROM, first)
        rig.answer()
        numbers.add(struct.unpack_from("!I", rig.switch.heard(), 16)[0])
    assert len(numbers) == 2


def test_what_is_no_reply_of_a_bundle_is_handed_on() -> None:
    path: Datapath = Rig(bundle_from=FROM).datapath
    for other in (
        struct.pack("!BBHIIIIHH", 4, 4, 24, 0, ONF, BUNDLE_CONTROL, 1, 0, 3),  # a request
        struct.pack("!BBHIIIIHH", 4, 4, 24, 0, 0x2320, BUNDLE_CONTROL, 1, 1, 3),  # another's
        struct.pack("!BBHII", 4, 4, 16, 0, ONF) + bytes(4),
    ):
        assert path.receive(other, 1).slow == [other]
