"""The store: real servers, several clients."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from stores import close_stores, opened  # noqa: F401

from onehop.controller.store import server
from onehop.controller.store.client import Step, Store, StoreError
from onehop.controller.store.schema import schema
from onehop.engine import model
from onehop.engine.model import (
    Bridge,
    Chain,
    Host,
    HostStatus,
    LearnedMac,
    LearnedRoute,
    MemberStatus,
    ModelError,
    MonitorOwner,
    NatBlock,
    NatTarget,
    Neighbor,
    Port,
    PortGroup,
    PortStatus,
    Resource,
    Route,
    Router,
    Rule,
    SecurityGroup,
    SecurityRule,
    Topology,
)

DEADLINE_S = 10.0
TOPOLOGY = Topology(
    hosts=(Host(name="c1", tunnel_address="172.31.0.21"), Host(name="g1", tunnel_address="fd::1")),
    bridges=(Bridge(name="net"),),
    routers=(Router(name="r", asn=65010, inbound_filter="more"),),
    ports=(
        Port(name="vm", device="net", host="c1", interface="tap", addresses=("10.0.0.9", "fd::9"),
             mac="02:00:00:00:00:09", outbound_filter="main", security_groups=("s",),
             allowed_address_pairs=(model.AddressPair(address="10.0.0.0/28"),)),
        Port(name="net-r", device="net"),
        Port(name="r-net", device="r", peer="net-r", addresses=("10.0.0.1/24", "fd::1/64")),
        Port(name="up", device="r", host="g1", interface="e", addresses=("10.56.1.2/24",)),
    ),
    address_groups=(model.AddressGroup(name="friends", prefixes=("10.1.0.0/16", "fd01::/16")),),
    security_groups=(
        SecurityGroup(name="s", rules=(SecurityRule(direction="ingress", remote_group="s"),)),
    ),
    chains=(
        Chain(name="main", rules=(
            Rule(action="jump", jump="more", vlan=0, traversed_device="net"),
            Rule(action="accept", in_ports=("net-r", "r-net"), invert=("in_ports",)),
            Rule(action="accept", out_port_group="h"),
            Rule(action="drop", source_group="friends", protocol=47),
        )),
        Chain(name="more", rules=(
            Rule(action="snat", targets=(NatTarget(first_address="192.0.2.1"),)),
        )),
    ),
    subnets=(model.Subnet(name="n4", bridge="net", prefix="10.0.0.0/24", routes=(
        model.SubnetRoute(destination="10.9.0.0/16", gateway="10.0.0.2"),)),),
    floating_ips=(model.FloatingIp(router="r", address="192.0.2.9", fixed_address="10.0.0.9"),),
    health_monitors=(model.HealthMonitor(name="well", type="http", path="/x"),),
    pools=(model.Pool(name="web", monitor="well"), model.Pool(name="idle")),
    pool_members=(model.PoolMember(name="m", pool="web", address="10.0.0.9", port=80, weight=9),),
    vips=(model.Vip(name="v", router="r", address="192.0.2.8", port=80, pool="web"),),
    routes=(Route(router="r", destination="0.0.0.0/0", next_hop_port="up"),
            Route(router="r", destination="10.0.0.0/8", type="reject")),
    port_groups=(PortGroup(name="g", ports=("vm", "net-r", "up"), stateful=True),
                 PortGroup(name="h", ports=("r-net",))),
    bgp_peers=(model.BgpPeer(name="isp", port="up", address="10.56.1.1", asn=65100),),
    bgp_networks=(model.BgpNetwork(router="r", prefix="10.0.0.0/24"),),
)  # fmt: skip
STATE = (
    LearnedRoute(host="g1", next_hop_port="up", destination="1.0.0.0/8",
                 next_hop_gateway="10.56.1.1"),
    LearnedMac(host="c1", bridge="net", port="vm", mac="02:00:00:00:00:07", vlan=5),
    Neighbor(host="g1", port="up", address="10.56.1.1", mac="02:00:00:00:00:08"),
    PortStatus(host="c1", port="vm", up=False),
    HostStatus(host="c1", heartbeat_s=1234.5),
    NatBlock(host="g1", address="192.0.2.1", first_port=1024, n_ports=64),
    MonitorOwner(host="c1", router="r"),
    MemberStatus(host="c1", member="m", healthy=False, reason="refused", since_s=1234.5),
)  # fmt: skip


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    yield tmp_path
    server.stop(tmp_path)


@pytest.fixture
def remote(directory: pathlib.Path) -> str:
    address = f"unix:{directory}/store.sock"
    server.start(directory, [address])
    return address


@pytest.fixture
def connect(remote: str) -> Iterator[Callable[[], Store]]:
    stores: list[Store] = []

    def one_more() -> Store:
        stores.append(opened(remote))
        stores[-1].until_connected(DEADLINE_S)
        return stores[-1]

    yield one_more
    for store in stores:
        store.close()


def next_step(store: Store) -> Step:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        step = store.run()
        if step is not None:
            return step
        store.wait(deadline - time.monotonic())
    raise AssertionError("no step arrived")


def until(store: Store, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline
        store.run()
        store.wait(0.05)


def held(store: Store, *kinds: str) -> list[Resource]:
    snapshot = store.snapshot()
    return [r for kind in kinds for r in snapshot[kind].values()]


def without(topology: Topology, *names: str) -> Topology:
    return Topology.of(resource for resource in topology if resource.name not in names)


# What is applied.


def test_what_is_applied_reads_back_with_keys_and_in_order(connect: Callable[[], Store]) -> None:
    connect().apply(TOPOLOGY)
    read = connect().topology()
    assert sorted(read, key=str) == sorted(model.assign_keys(TOPOLOGY), key=str)
    assert model.check(read) == []


def test_another_client_sees_an_application_as_one_step(connect: Callable[[], Store]) -> None:
    writer, reader = connect(), connect()
    applied = writer.apply(TOPOLOGY)
    step = next_step(reader)
    assert sorted(map(str, step.put)) == sorted(map(str, applied.put))
    places = {(resource.KIND, resource.name): n for n, resource in enumerate(step.put)}
    assert places["router", "r"] < places["port", "up"] < places["route", "r 0.0.0.0/0 up"]
    assert reader.run() is None


def test_applying_again_changes_nothing(connect: Callable[[], Store]) -> None:
    store = connect()
    store.apply(TOPOLOGY)
    assert store.apply(TOPOLOGY) == Step([], [])
    assert connect().apply(TOPOLOGY) == Step([], [])


def test_only_what_differs_is_written(connect: Callable[[], Store]) -> None:
    writer, reader = connect(), connect()
    writer.apply(TOPOLOGY)
    next_step(reader)
    group = PortGroup(name="g", ports=("up", "vm"))
    changed = msgspec.structs.replace(
        without(TOPOLOGY, "isp"), port_groups=(group, TOPOLOGY.port_groups[1])
    )
    assert writer.apply(changed) == Step([group], [("bgp_peer", "isp")])
    assert next_step(reader) == Step([group], [("bgp_peer", "isp")])


def test_everything_can_be_removed(connect: Callable[[], Store]) -> None:
    writer, reader = connect(), connect()
    writer.apply(TOPOLOGY)
    next_step(reader)
    writer.apply(Topology())
    step = next_step(reader)
    assert step.put == [] and len(step.remove) == len(list(TOPOLOGY))
    assert step.remove.index(("port", "up")) < step.remove.index(("router", "r"))
    assert not any(reader.snapshot().values())


def test_a_topology_with_a_mistake_is_refused_and_changes_nothing(
    connect: Callable[[], Store],
) -> None:
    store = connect()
    store.apply(TOPOLOGY)
    with pytest.raises(ModelError, match="there is no port 'up'"):
        store.apply(without(TOPOLOGY, "up"))
    assert len(list(connect().topology())) == len(list(TOPOLOGY))


def test_keys_stay_when_others_come_and_go(connect: Callable[[], Store]) -> None:
    store = connect()
    store.apply(TOPOLOGY)
    until(store, lambda: bool(held(store, "port")))
    keys = {r.name: r.tunnel_key for r in store.topology().ports}
    key = keys["vm"]
    taken = Bridge(name="other", tunnel_key=(key + 1) % model.MAX_KEY + 1)
    store.apply(msgspec.structs.replace(TOPOLOGY, bridges=(*TOPOLOGY.bridges, taken)))
    assert {r.name: r.tunnel_key for r in connect().topology().ports} == keys


def test_two_who_apply_at_once_never_mix(connect: Callable[[], Store], remote: str) -> None:
    code = """
import sys
from onehop.controller.store.client import Store
from onehop.engine.model import Bridge, PortGroup, Topology
store = Store(sys.argv[1])
store.until_connected(10)
for n in range(20):
    store.apply(Topology(bridges=tuple(Bridge(name=f"{sys.argv[2]}{i}") for i in range(n))))
"""
    run = [sys.executable, "-c", code, remote]
    writers = [subprocess.Popen([*run, name]) for name in "ab"]
    reader = connect()
    while any(writer.poll() is None for writer in writers):
        reader.wait(0.05)
        reader.run()
        names = [bridge.name for bridge in reader.topology().bridges]
        assert len({name[0] for name in names}) <= 1, names
        assert sorted(int(name[1:]) for name in names) == list(range(len(names)))
    assert [writer.wait() for writer in writers] == [0, 0]


# What is changed.


def test_a_change_is_what_was_decided_and_keeps_the_rest(connect: Callable[[], Store]) -> None:
    store = connect()
    store.apply(TOPOLOGY)
    key = store.held["port", "vm"].tunnel_key  # type: ignore[attr-defined]
    vm = msgspec.structs.replace(TOPOLOGY.ports[0], admin_state_up=False)
    step = store.change(lambda held: Step([vm, Bridge(name="new")], [("port_group", "g")]))
    assert [r.name for r in step.put] == ["new", "vm"] and step.remove == [("port_group", "g")]
    held_now = connect().held
    assert held_now["port", "vm"] == msgspec.structs.replace(vm, tunnel_key=key)
    assert ("port_group", "g") not in held_now and len(held_now) == len(list(TOPOLOGY))


def test_a_change_that_breaks_a_rule_changes_nothing(connect: Callable[[], Store]) -> None:
    store = connect()
    store.apply(TOPOLOGY)
    with pytest.raises(ModelError, match="port 'vm': device: there is no bridge or router 'net'"):
        store.change(lambda held: Step([Bridge(name="new")], [("bridge", "net")]))
    assert ("bridge", "new") not in connect().held


def test_of_many_who_change_at_once_nobody_is_lost(remote: str, connect) -> None:  # type: ignore[no-untyped-def]
    """Each adds its ports to one group, knowing what is held: nobody's may vanish."""
    code = """
import sys, msgspec
from onehop.controller.store.client import Step, Store
from onehop.engine.model import Port
store = Store(sys.argv[1])
store.until_connected(10)
for n in range(10):
    port = Port(name=f"{sys.argv[2]}{n}", device="net")
    def decide(held):
        group = held["port_group", "g"]
        return Step([port, msgspec.structs.replace(group, ports=(*group.ports, port.name))], [])
    store.change(decide, 60)
"""
    group = PortGroup(name="g")
    connect().apply(Topology(bridges=(Bridge(name="net"),), port_groups=(group,)))
    run = [sys.executable, "-c", code, remote]
    writers = [subprocess.Popen([*run, name]) for name in "abc"]
    assert [writer.wait(100) for writer in writers] == [0, 0, 0]
    group = connect().held["port_group", "g"]
    assert len(group.ports) == len(set(group.ports)) == 30


# What hosts find out.


@pytest.fixture
def stores(connect: Callable[[], Store]) -> list[Store]:
    """Two clients of a store with TOPOLOGY in it."""
    found = [connect(), connect()]
    found[0].apply(TOPOLOGY)
    for store in found:
        until(store, lambda s=store: bool(held(s, "port")))  # type: ignore[misc]
    return found


def test_state_of_every_kind_reads_back(stores: list[Store]) -> None:
    writer, reader = stores
    writer.put(STATE)
    until(reader, lambda: len(held(reader, *(kind.KIND for kind in model.STATE))) == len(STATE))
    assert {r.name: r for r in held(reader, *(kind.KIND for kind in model.STATE))} == {
        r.name: r for r in STATE
    }


def test_putting_before_the_connection_stands_is_written_later(remote: str) -> None:
    opened(remote).apply(TOPOLOGY)
    store = opened(remote)
    assert not store.synced and store.run() is None
    store.put(STATE)
    store.flush(DEADLINE_S)
    assert len(held(store, "learned_mac", "neighbor")) == 2


def test_the_last_word_counts(stores: list[Store]) -> None:
    writer, reader = stores
    for up in (True, False, True, False, True):
        writer.put([PortStatus(host="c1", port="vm", up=up)])
    writer.put([STATE[2]])
    writer.remove("neighbor", [STATE[2].name])
    writer.flush(DEADLINE_S)
    until(reader, lambda: bool(held(reader, "port_status")))
    assert held(reader, "port_status", "neighbor") == [PortStatus(host="c1", port="vm", up=True)]


def test_a_host_that_registered_stays_until_a_file_takes_it_over(stores: list[Store]) -> None:
    writer, reader = stores
    new = Host(name="c9", tunnel_address="172.31.0.99", registered=True)
    writer.put([new])
    until(reader, lambda: new in held(reader, "host"))
    assert reader.apply(TOPOLOGY) == Step([], [])
    clash = Host(name="c8", tunnel_address=new.tunnel_address)
    with pytest.raises(ModelError, match=new.tunnel_address):
        reader.apply(Topology.of((*TOPOLOGY, clash)))
    taken = Host(name="c9", tunnel_address="172.31.0.98")
    reader.apply(Topology.of((*TOPOLOGY, taken)))
    assert reader.apply(TOPOLOGY) == Step([], [("host", "c9")])


def test_a_registration_changes_no_host_that_is_stated(stores: list[Store]) -> None:
    writer, reader = stores
    writer.put([Host(name="c1", tunnel_address="172.31.0.99", registered=True)])
    writer.flush(DEADLINE_S)
    assert reader.apply(TOPOLOGY) == Step([], [])


def test_an_application_keeps_state_but_what_is_about_what_it_removes(
    stores: list[Store],
) -> None:
    writer, reader = stores
    writer.put(STATE)
    until(reader, lambda: bool(held(reader, "host_status")))
    reader.apply(without(TOPOLOGY, "up", "isp", "r 0.0.0.0/0 up", "g"))
    until(writer, lambda: held(writer, "port_group") == [TOPOLOGY.port_groups[1]])
    kinds = [kind.KIND for kind in model.STATE]
    kept = {r.KIND for r in held(writer, *kinds)}
    assert kept == set(kinds) - {"learned_route", "neighbor"}


def test_a_resource_with_state_that_no_client_saw_can_be_removed(stores: list[Store]) -> None:
    late, other = stores
    other.put(STATE)
    other.flush(DEADLINE_S)
    late.apply(Topology())
    until(other, lambda: not any(other.snapshot().values()))


def test_state_about_what_is_gone_is_dropped_and_the_rest_is_written(
    stores: list[Store],
) -> None:
    writer, reader = stores
    writer.put(
        [LearnedMac(host="c1", bridge="net", port="gone", mac="02:00:00:00:00:01"), STATE[3]]
    )
    writer.flush(DEADLINE_S)
    until(reader, lambda: bool(held(reader, "port_status")))
    assert not held(reader, "learned_mac")


def test_state_that_the_store_refuses_is_dropped_and_the_rest_is_written(
    stores: list[Store],
) -> None:
    writer, reader = stores
    other, also = opened(writer.remote), opened(writer.remote)
    for store in (other, also):
        store.until_connected(DEADLINE_S)
    other.apply(without(TOPOLOGY, "vm", "g"))
    writer.put(STATE)  # about the port that is gone, which this client has not heard of
    writer.flush(DEADLINE_S)
    until(reader, lambda: bool(held(reader, "host_status")))
    assert not held(reader, "learned_mac", "port_status")
    assert held(reader, "neighbor", "learned_route")


def test_a_mac_that_moved_belongs_to_its_new_host(stores: list[Store]) -> None:
    old, new = stores
    mac = LearnedMac(host="c1", bridge="net", port="vm", mac="02:00:00:00:00:07")
    moved = msgspec.structs.replace(mac, host="g1")
    old.put([mac])
    until(new, lambda: held(new, "learned_mac") == [mac])
    new.put([moved])
    new.flush(DEADLINE_S)
    old.remove("learned_mac", [mac.name])  # has not heard of the move
    old.flush(DEADLINE_S)
    until(old, lambda: held(old, "learned_mac") == [moved])
    assert held(new, "learned_mac") == [moved]


def test_two_hosts_that_learn_one_mac_at_once_agree(
    stores: list[Store], connect: Callable[[], Store]
) -> None:
    for store, host in zip(stores, ("c1", "g1"), strict=True):
        store.put([msgspec.structs.replace(STATE[1], host=host)])
    for store in stores:
        store.flush(DEADLINE_S)
    third = connect()
    for store in stores:
        until(store, lambda s=store: held(s, "learned_mac") == held(third, "learned_mac"))  # type: ignore[misc]
    assert len(held(third, "learned_mac")) == 1


# Leases.

BLOCK = NatBlock(host="c1", address="192.0.2.1", first_port=2048, n_ports=64)


def test_a_lease_stays_with_its_first_host_until_given_back(stores: list[Store]) -> None:
    first, second = stores
    theirs = msgspec.structs.replace(BLOCK, host="g1")
    first.put([BLOCK])
    until(second, lambda: held(second, "nat_block") == [BLOCK])
    second.put([theirs])
    second.flush(DEADLINE_S)
    first.put([BLOCK])  # again: nothing changes
    first.flush(DEADLINE_S)
    assert held(second, "nat_block") == [BLOCK]
    first.remove("nat_block", [BLOCK.name])
    until(second, lambda: not held(second, "nat_block"))
    second.put([theirs])
    until(first, lambda: held(first, "nat_block") == [theirs])


def test_of_two_hosts_that_lease_at_once_one_gets_it(stores: list[Store]) -> None:
    for store, host in zip(stores, ("c1", "g1"), strict=True):
        store.put([msgspec.structs.replace(BLOCK, host=host)])
    for store in stores:
        store.flush(DEADLINE_S)
    until(stores[0], lambda: held(stores[0], "nat_block") == held(stores[1], "nat_block") != [])
    assert len(held(stores[0], "nat_block")) == 1


def test_the_server_itself_refuses_a_second_owner(stores: list[Store], remote: str) -> None:
    stores[0].put([BLOCK])
    stores[0].flush(DEADLINE_S)
    other = '{"host":["uuid","00000000-0000-0000-0000-000000000000"]}'
    update = f'{{"op":"update","table":"NatBlock","where":[],"row":{other}}}'
    assert "constraint violation" in transact(remote, update)


def test_leases_of_a_host_that_is_removed_are_free(stores: list[Store]) -> None:
    stores[0].put([BLOCK])
    stores[0].flush(DEADLINE_S)
    stores[1].apply(Topology())
    until(stores[0], lambda: not held(stores[0], "nat_block"))


# The server comes and goes.


def test_without_a_server_nothing_changes_and_then_all_is_caught_up(
    stores: list[Store], directory: pathlib.Path, remote: str
) -> None:
    writer, reader = stores
    reader.run()
    before = reader.snapshot()
    server.stop(directory)
    until(reader, lambda: not reader.connected)
    assert reader.synced and reader.snapshot() == before
    reader.put([PortStatus(host="c1", port="vm", up=False)])
    assert not reader.idle
    server.start(directory, [remote])
    writer.apply(without(TOPOLOGY, "isp"))
    step = next_step(reader)
    assert step.remove == [("bgp_peer", "isp")]
    reader.flush(DEADLINE_S)
    until(writer, lambda: bool(held(writer, "port_status")))


def test_a_killed_server_loses_nothing_that_was_committed(
    stores: list[Store], directory: pathlib.Path, remote: str
) -> None:
    pid = server.running(directory)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    reader = stores[1]
    until(reader, lambda: not reader.connected)
    server.start(directory, [remote])
    reader.until_connected(DEADLINE_S)
    assert reader.run() is None
    assert len(list(reader.topology())) == len(list(TOPOLOGY))


def test_without_a_server_an_application_ends_with_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoreError, match="does not answer"):
        opened(f"unix:{tmp_path}/none.sock").apply(TOPOLOGY, timeout_s=0.1)


def test_a_lost_connection_is_noticed_by_the_first_look(tmp_path: pathlib.Path) -> None:
    remote = f"unix:{tmp_path}/store.sock"
    server.start(tmp_path, [remote])
    store = opened(remote)
    server.stop(tmp_path)
    with pytest.raises(StoreError, match="does not answer"):  # not what it held before
        store.until_connected(0.05)
    server.start(tmp_path, [remote])
    store.until_connected(DEADLINE_S)
    server.stop(tmp_path)


def test_a_second_server_over_the_same_files_is_refused(
    directory: pathlib.Path, remote: str
) -> None:
    with pytest.raises(server.ServerError):
        server.start(directory, [remote])
    opened(remote).apply(TOPOLOGY)


def test_stopping_leaves_other_processes_alone(directory: pathlib.Path) -> None:
    (directory / "store.pid").write_text(f"{os.getpid()}\n")
    assert server.running(directory) is None
    assert server.stop(directory) is False


def test_a_store_listens_on_tcp_too(directory: pathlib.Path) -> None:
    server.start(directory, [f"unix:{directory}/store.sock", "tcp:127.0.0.1:16640"])
    store = opened("tcp:127.0.0.1:16640")
    store.apply(TOPOLOGY)
    store.close()


def test_a_file_with_another_schema_is_converted(
    directory: pathlib.Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(remote).apply(TOPOLOGY)
    server.stop(directory)
    newer = schema() | {"cksum": "1 1", "version": "1.0.1"}
    newer["tables"]["Host"]["columns"]["more"] = {"type": "string"}
    monkeypatch.setattr(server, "schema", lambda: newer)
    server.start(directory, [remote])
    store = opened(remote)
    store.until_connected(DEADLINE_S)
    assert len(list(store.topology())) == len(list(TOPOLOGY))


# What others may do to it.


def transact(remote: str, *operations: str) -> str:
    request = f'["onehop", {", ".join(operations)}]'
    return subprocess.run(
        ["ovsdb-client", "transact", remote, request], capture_output=True, text=True, check=True
    ).stdout


def test_the_server_itself_keeps_references_whole(stores: list[Store], remote: str) -> None:
    answer = transact(remote, '{"op":"delete","table":"Router","where":[["name","==","r"]]}')
    assert "referential integrity violation" in answer


@pytest.mark.parametrize(
    "table, name",
    [("Chain", "more"), ("AddressGroup", "friends"), ("PortGroup", "h"), ("SecurityGroup", "s")],
)
def test_the_server_itself_keeps_what_rules_name(
    stores: list[Store], remote: str, table: str, name: str
) -> None:
    where = f'"table":"{table}","where":[["name","==","{name}"]]'
    assert "referential integrity violation" in transact(remote, f'{{"op":"delete",{where}}}')


@pytest.mark.parametrize("text", ["{", "5", '{\\"action\\":\\"x\\"}'])
def test_a_chain_with_a_rule_that_makes_no_sense_counts_as_absent(
    stores: list[Store], remote: str, text: str
) -> None:
    reader = stores[1]
    reader.run()
    where = '"table":"Chain","where":[["name","==","more"]]'
    transact(remote, f'{{"op":"update",{where},"row":{{"rules":["map",[[0,"{text}"]]]}}}}')
    assert next_step(reader) == Step([], [("chain", "more")])


def test_names_do_not_change(stores: list[Store], remote: str) -> None:
    update = '{"op":"update","table":"Router","where":[],"row":{"name":"x"}}'
    assert "constraint violation" in transact(remote, update)


def test_a_row_that_makes_no_sense_counts_as_absent(stores: list[Store], remote: str) -> None:
    reader = stores[1]
    reader.run()
    transact(remote, '{"op":"update","table":"Host","where":[["name","==","g1"]],'
                     '"row":{"tunnel_address":"nowhere"}}')  # fmt: skip
    assert next_step(reader) == Step([], [("host", "g1")])
    transact(remote, '{"op":"update","table":"Host","where":[["name","==","g1"]],'
                     '"row":{"tunnel_address":"fd::1"}}')  # fmt: skip
    assert next_step(reader).put == [TOPOLOGY.hosts[1]]


# Under eventlet.


def test_others_may_write_while_much_is_read(remote: str) -> None:
    hosts = [Host(name=f"h{n}", tunnel_address=f"10.0.{n >> 8}.{n & 255}") for n in range(1, 400)]
    opened(remote).apply(Topology(hosts=tuple(hosts)))
    pauses: list[int] = []

    def pause() -> None:
        pauses.append(len(pauses))
        store.put([HostStatus(host="h1", heartbeat_s=float(len(pauses)))])

    store = opened(remote, pause)
    store.until_connected(DEADLINE_S)
    assert len(next_step(store).put) >= len(hosts)
    store.flush(DEADLINE_S)
    assert len(pauses) > 10
    until(store, lambda: held(store, "host_status") == [
        HostStatus(host="h1", heartbeat_s=float(len(pauses)))])  # fmt: skip


def test_under_eventlet_a_waiting_client_lets_others_work(remote: str) -> None:
    code = """
import eventlet
eventlet.monkey_patch()
import sys, time
from onehop.controller.store.client import Store
from onehop.engine.model import Bridge, Topology
reader, writer = Store(sys.argv[1]), Store(sys.argv[1])
seen, gaps, done = [], [], False

def read():
    while not done:
        reader.wait(5.0)
        step = reader.run()
        if step:
            seen.append([r.name for r in step.put])

def tick():
    last = time.monotonic()
    while not done:
        eventlet.sleep(0.002)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()

eventlet.spawn(read), eventlet.spawn(tick)
for n in range(5):
    eventlet.sleep(0.02)
    writer.apply(Topology(bridges=(Bridge(name=f"b{n}"),)))
with eventlet.Timeout(10):
    while len(seen) < 5:
        eventlet.sleep(0.01)
done = True
print(seen, len(gaps) > 20)
"""
    run = [sys.executable, "-W", "ignore", "-c", code, remote]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "[['b0'], ['b1'], ['b2'], ['b3'], ['b4']] True", result.stderr
