"""Which flow a packet meets, and what is said where the switch does something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.controller import questions
from onehop.controller.cli import frames
from onehop.controller.flow_words import action_words, entries, match_words
from onehop.controller.lookup import judge, values, way
from onehop.engine import openflow
from onehop.engine.openflow import DYNAMIC, STATIC, FlowStats

NUMBER, REG0 = 3, 0x0005_0001
NAMES = {3: "vm1", 4: "vm2"}
BODY = frames.udp(1000, 53, b"hello")


def packet(ttl: int = 64) -> bytes:
    from ipaddress import ip_address

    whole = frames.ip(ip_address("10.0.0.1"), ip_address("10.0.1.2"), frames.UDP, BODY, ttl=ttl)
    return frames.ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", frames.ETH_IPV4, whole, None)


def flow(match, actions, *, cookie=DYNAMIC | 1, priority=100, table=0) -> FlowStats:
    stated = openflow.static_match(match)
    return FlowStats(
        cookie, priority, 7, 700, stated, openflow.static_instructions(actions), table, 1.5
    )


MISS = flow({}, [("controller",)], cookie=STATIC | 1, priority=0)
OURS = flow({"in_port": 3, "udp_dst": 53, "ipv4_dst": "10.0.1.0/24", "eth_type": 0x0800},
            [("output", 4)])  # fmt: skip


def said(**fields) -> questions.Simulated:
    stated = {"kind": "forward", "reason": "", "cacheable": True, "steps": (), "actions": ()}
    stated |= {"outputs": (), "emitted": (), "learned": (), "awaited": "", "created": ()}
    stated |= {"used": (), "tags": (), "number": NUMBER, "reg0": REG0}
    stated["would"] = OURS.instructions
    return questions.Simulated(**(stated | fields))


def test_highest_priority_wins():
    met = way([MISS, OURS], values(packet(), NUMBER, REG0))
    assert met == [OURS]
    assert way([MISS, OURS], values(packet(), 9, REG0)) == [MISS]


def test_tables_are_gone_through():
    lengths = flow({"in_port": 3}, [("set", "reg0", 0x50000), ("goto", 100)], priority=20)
    there = flow({"in_port": 3, "reg0": REG0}, [("output", 4)], table=100)
    other = flow({"in_port": 3, "reg0": 0x00050000}, [("output", 9)], table=100)
    assert way([MISS, lengths, there, other], values(packet(), NUMBER, REG0)) == [lengths, there]


def test_flow_that_does_as_the_engine_says_agrees():
    judged = judge(said(), [MISS, OURS], packet(), NAMES)
    assert judged.flow == OURS and not judged.problem


def test_what_differs_is_named():
    tampered = OURS._replace(instructions=openflow.static_instructions([("output", 3)]))
    judged = judge(said(), [MISS, tampered], packet(), NAMES)
    assert judged.problem == "the switch does output vm1 and does not do output vm2"


@pytest.mark.parametrize(
    ("flows", "fields", "problem"),
    [
        ([], {}, "no flow for it, and drops it"),
        ([MISS], {}, ""),
        ([MISS], {"cookie": DYNAMIC | 5}, "flow 0x8000000000000005, which the switch does not"),
        ([MISS, OURS._replace(cookie=7, priority=300)], {}, "none of onehop's"),
        ([MISS, OURS], {"would": None, "kind": "consumed"}, "the agent should decide"),
        ([MISS, OURS._replace(cookie=STATIC | 9)], {}, "a flow of the configuration does"),
        ([MISS, OURS._replace(cookie=STATIC | 9)], {"kind": "consumed"}, ""),
    ],
)
def test_judgement(flows, fields, problem):
    judged = judge(said(**fields), flows, packet(), NAMES)
    assert problem in judged.problem and bool(problem) == bool(judged.problem)


def test_packet_whose_ttl_runs_out_goes_to_the_agent():
    dec = openflow.static_instructions([("output", 4)])
    dec = dec[:2] + (len(dec) + 8).to_bytes(2, "big") + dec[4:8] + bytes.fromhex("00180008") + (
        bytes(4) + dec[8:])  # fmt: skip
    assert action_words(dec, NAMES) == ["dec_ttl", "output vm2"]
    judged = judge(
        said(would=None, kind="consumed"),
        [MISS, OURS._replace(instructions=dec)],
        packet(1),
        NAMES,
    )
    assert judged.to_agent and not judged.problem


def test_flows_are_told_in_words():
    assert match_words(OURS.match, NAMES) == (
        "in_port=vm1, eth_type=0x800, ip_proto=17, ipv4_dst=10.0.1.0/24, udp_dst=53"
    )
    assert match_words(b"", NAMES) == "any packet"
    assert action_words(b"", NAMES) == ["drop"]
    assert action_words(MISS.instructions, NAMES) == ["output agent"]


@given(st.binary(max_size=80))
def test_any_bytes_can_be_told(data):
    assert match_words(data, NAMES)
    assert action_words(data, NAMES)
    assert b"".join(entry.whole for entry in entries(data)) == data
