"""Answers that are expected: their flow is there before they come, and is the one they get."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from fake_switch import Flow
from rig import GATEWAY, VM3, datagram
from ryu.lib.packet import icmp, udp
from test_connections import (
    ASK,
    REPLY,
    SYN,
    VM2,
    Host,
    back,
    between,
    guarded,
    there,
)
from test_nat_hot_path import FAR, UPLINK, answer, headers, translating

from onehop.engine import model, openflow
from onehop.engine.states import States

ANSWER = 3  # the operation of an item


def told(one: Host, two: Host) -> None:
    """`two` hears of connections, as from a host of version 1.0: of no answers."""
    for host, message in one.told:
        if host == two.name:
            two.switch.write(two.datapath.merge(without_answers(message), two.now_ns))


def items(message: bytes) -> list[bytes]:
    """With the length before each."""
    found, at = [], 8
    while at < len(message):
        end = at + 2 + struct.unpack_from("!H", message, at)[0]
        found.append(message[at:end])
        at = end
    return found


def without_answers(message: bytes) -> bytes:
    left = [item for item in items(message) if item[2] != ANSWER]
    return message[:4] + struct.pack("!I", len(left)) + b"".join(left)


def flows(host: Host) -> list[tuple[Any, ...]]:
    """Those that come from verdicts, as the switch has them."""
    return sorted(
        (f.table, f.priority, f.raw_match, f.raw_instructions)
        for f in host.switch.flows.values()
        if f.cookie & openflow.DYNAMIC
    )


def flow_of(host: Host) -> Flow:
    (found,) = [f for f in host.switch.flows.values() if f.cookie & openflow.DYNAMIC]
    return found


def tags(host: Host) -> list[tuple[int, ...]]:
    places = range(host.datapath.room)
    cookies = [f.cookie for f in host.switch.flows.values() if f.cookie & openflow.DYNAMIC]
    assert places
    return [tuple(sorted(f.tags)) for f in host.datapath.installed(cookies, host.now_ns)]


def visits(host: Host) -> int:
    return int(host.datapath.counters["packet_ins"])


def beside(rows: list[model.Resource]) -> tuple[Host, Host, Host]:
    """A sender, a receiver, and one that is told of no answers."""
    made = Host("h1", rows), Host("h2", rows), Host("h2", rows)
    for host in made[1:]:
        if any(row.name == "up1" for row in rows if isinstance(row, model.Port)):
            host.datapath.bind("up1", UPLINK)
    return made


def test_answer_passes_without_the_agent_by_the_flow_that_it_would_get():
    one, two, plain = beside(guarded())
    one.send(ASK)
    told(one, plain)
    two.hear(one)
    assert flows(plain) == []
    (expected,) = plain.send(REPLY, VM2)
    assert two.send(REPLY, VM2) == [expected]
    assert (visits(two), visits(plain)) == (0, 1)
    assert flows(two) == flows(plain)
    assert tags(two) == tags(plain)


def test_translated_answer_passes_without_the_agent_by_the_flow_that_it_would_get():
    one, two, plain = beside(translating(2))
    (out,) = one.send(datagram(GATEWAY, FAR))
    reply = answer(two, headers(out)[2].src_port)
    told(one, plain)
    two.hear(one)
    (expected,) = plain.send(reply, UPLINK)
    assert two.send(reply, UPLINK) == [expected]
    assert (visits(two), visits(plain)) == (0, 1)
    assert flows(two) == flows(plain)
    assert tags(two) == tags(plain)


def test_nothing_is_remembered_told_or_sent_for_it():
    one, two, plain = beside(guarded())
    one.send(ASK)
    told(one, plain)
    two.hear(one)
    assert two.entries() == plain.entries()
    assert two.datapath.take_state() == []
    assert "packet_out" not in two.switch.messages


def test_answer_that_was_quicker_gets_one_flow():
    one, two, _ = beside(guarded())
    one.send(ASK)
    told(one, two)
    two.send(REPLY, VM2)
    before = two.switch.messages.count("flow_mod")
    two.hear(one)
    assert two.switch.messages.count("flow_mod") == before
    assert len(flows(two)) == 1


def test_it_goes_with_its_connection():
    one, two, _ = beside(guarded())
    one.send(ASK)
    two.hear(one)
    assert len(flows(two)) == 1
    gone = b"".join(
        item[:2] + b"\2" + item[3:] for item in items(message_of(one)) if item[2] != ANSWER
    )
    two.switch.write(two.datapath.merge(headed(gone, 2), two.now_ns))
    assert two.entries() == []
    assert two.send(REPLY, VM2) == []


def message_of(host: Host) -> bytes:
    """All that it knows."""
    (message,) = host.states.messages(host.now_ns)
    return message


def headed(items: bytes, count: int) -> bytes:
    return b"oh\1\1" + struct.pack("!I", count) + items


def test_it_goes_when_nobody_answers():
    one, two, _ = beside(guarded())
    one.send(ASK)
    two.hear(one)
    two.wait(31)
    assert flows(two) == []


def test_answer_on_the_same_host_passes_without_the_agent():
    rows = guarded()
    rows = [
        msgspec.structs.replace(row, security_groups=("open",))
        if isinstance(row, model.Port) and row.name == "vm3"
        else row
        for row in rows
    ]
    one = Host("h1", rows)
    one.send(between(1, 3, udp.udp(1000, 2000)))
    assert len(flows(one)) == 2
    assert len(one.send(between(3, 1, udp.udp(2000, 1000)), VM3)) == 1
    assert visits(one) == 1


@pytest.mark.parametrize(
    "packet",
    [there(SYN), there(icmp.icmp(8, 0, 0, icmp.echo(7, 1, b"hello")))],
    ids=["tcp", "echo"],
)
def test_what_visits_the_agents_anyway_has_no_flow_waiting(packet):
    one, two, _ = beside(guarded())
    one.send(packet)
    assert not any(item[2] == ANSWER for _, message in one.told for item in items(message))
    two.hear(one)
    assert flows(two) == []


def test_flows_that_may_never_be_used_take_half_of_the_room():
    one, two, _ = beside(guarded())
    two.datapath = type(two.datapath)(two.topology, host="h2", states=two.states, max_flows=8)
    two.datapath.set_tunnel_port(50)
    two.datapath.bind("vm2", VM2)
    for port in range(1000, 1020):
        one.send(there(udp.udp(port, 2000)))
    two.hear(one)
    assert two.datapath.flow_count == 4
    two.send(back(udp.udp(2000, 1019)), VM2)
    assert two.datapath.flow_count == 5


def test_answer_by_a_port_that_is_not_here_is_passed_over():
    one, two, _ = beside(guarded())
    two.datapath.bind("vm2", 0)
    one.send(ASK)
    two.hear(one)
    assert flows(two) == []


def test_version_1_0_takes_the_entries_and_passes_over_the_answer():
    """It skips operations that it does not know, and the end of items that are longer."""
    one, _, _ = beside(guarded())
    one.send(ASK)
    ((_, message),) = one.told
    *entries, item = items(message)
    assert [each[2] for each in entries] == [1] * len(entries)
    assert item[2] == ANSWER
    table = States(16)
    table.merge(message, one.now_ns)
    assert len(table) == len(entries)
    assert table.counters["unreadable"] == 0


@pytest.mark.parametrize("length", range(0, 54))
def test_any_bytes_are_safe(length):
    one, two, _ = beside(guarded())
    one.send(ASK)
    ((_, message),) = one.told
    item = items(message)[-1]
    cut = struct.pack("!H", length) + item[2 : 2 + length]
    two.datapath.merge(headed(cut, 1), two.now_ns)
    two.datapath.merge(message[: len(message) - length], two.now_ns)
    strange = struct.pack("!H", len(item) - 2) + bytes([ANSWER]) + b"\xff" * (len(item) - 3)
    two.datapath.merge(headed(strange, 1), two.now_ns)
