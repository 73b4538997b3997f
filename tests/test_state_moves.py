"""Connections of a machine that moves: the new host knows them, and who leases the port hears."""

from __future__ import annotations

import msgspec
from rig import GATEWAY, VM1, datagram, machine
from test_connections import Host
from test_nat_hot_path import FAR, PUBLIC, UPLINK, answer, headers, translating

VM1_MAC, NEW_PORT = "02:00:00:00:00:01", 7


def moved(one: Host, two: Host) -> None:
    """vm1 runs on h2 now, and h2 has fetched what h1 knows of its address."""
    there = msgspec.structs.replace(machine("vm1", "h1", 1, VM1_MAC), host="h2")
    one.datapath.bind("vm1", 0)
    two.datapath.bind("vm1", NEW_PORT)
    for host in (one, two):
        host.update(there)
    for message in one.states.messages(one.now_ns, ["10.0.0.1"]):
        two.switch.write(two.datapath.merge(message, two.now_ns))


def hosts(n_ports: int) -> tuple[Host, Host]:
    rows = translating(n_ports)
    one, two = Host("h1", rows), Host("h2", rows)
    two.datapath.bind("up1", UPLINK)
    return one, two


def source(packet_outs: list) -> tuple[str, int]:
    (out,) = packet_outs
    address, _, sent = headers(out)
    return address, sent.src_port


def test_machine_that_moved_keeps_its_port_and_its_answers() -> None:
    one, two = hosts(2)
    before = source(one.send(datagram(GATEWAY, FAR), VM1))
    moved(one, two)
    assert source(two.send(datagram(GATEWAY, FAR), NEW_PORT)) == before
    (back,) = two.send(answer(two, before[1]), UPLINK)
    assert back.port == NEW_PORT
    assert headers(back)[2].dst_port == 1000


def test_new_host_without_a_lease_opens_no_connection_but_carries_the_old_one() -> None:
    one, two = hosts(2)
    one.send(datagram(GATEWAY, FAR), VM1)
    moved(one, two)
    (refused,) = two.send(datagram(GATEWAY, FAR, src_port=1001), NEW_PORT)
    assert headers(refused)[2].type == 3
    assert source(two.send(datagram(GATEWAY, FAR), NEW_PORT))[0] == PUBLIC


def test_host_that_leases_the_port_hears_of_its_use_elsewhere() -> None:
    one, two = hosts(1)
    one.send(datagram(GATEWAY, FAR), VM1)
    moved(one, two)
    for _ in range(12):
        assert two.send(datagram(GATEWAY, FAR), NEW_PORT)
        two.wait(10)
        one.hear(two)
        one.now_ns += 10_000_000_000
        one.switch.write(one.datapath.go_on(one.now_ns))
    assert {entry.kind for entry in one.entries()} == {"snat", "reverse_snat"}
    (refused,) = one.send(
        datagram(GATEWAY, FAR, src_mac="02:00:00:00:00:03", src="10.0.0.3"), 3
    )  # fmt: skip
    assert headers(refused)[2].type == 3, "the only port is in use"
