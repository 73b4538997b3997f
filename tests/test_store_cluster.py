"""Three servers that hold one store: what is written stays, once, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pytest
from stores import close_stores, opened  # noqa: F401
from typer.testing import CliRunner

from onehop.controller import objects
from onehop.controller.cli import app
from onehop.controller.errors import InputError
from onehop.controller.store import cluster, server
from onehop.controller.store.client import Store
from onehop.controller.store.schema import REVISION
from onehop.engine.model import Bridge, Topology

DEADLINE_S = 60.0
KILLS = 3
WRITERS = 2


class Member(NamedTuple):
    """One server."""

    directory: pathlib.Path

    @property
    def remote(self) -> str:
        return f"unix:{self.directory}/store.sock"

    @property
    def raft(self) -> str:
        return f"unix:{self.directory}/raft-{self.directory.name}.sock"

    def start(self) -> None:
        server.start(self.directory, [self.remote])

    def kill(self) -> None:
        pid = server.running(self.directory)
        assert pid is not None
        process = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([process], [], [])
        os.close(process)


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Iterator[list[Member]]:
    found = _started(tmp_path)
    yield found
    for member in found:
        server.stop(member.directory)


def _started(tmp_path: pathlib.Path) -> list[Member]:
    found = [Member(tmp_path / f"s{n}") for n in range(3)]
    cluster.create(found[0].directory, found[0].raft)
    found[0].start()
    for member in found[1:]:
        cluster.join(member.directory, member.raft, [found[0].raft])
        member.start()
    _until(lambda: all(cluster.status(m.directory).status == "cluster member" for m in found))
    return found


def _until(reached) -> None:  # type: ignore[no-untyped-def]
    waiting = threading.Event()
    for _ in range(int(DEADLINE_S / 0.05)):
        with contextlib.suppress(server.ServerError):
            if reached():
                return
        waiting.wait(0.05)
    raise AssertionError("it never came to that")


def _leader(members: list[Member]) -> Member:
    found: list[Member] = []

    def look() -> bool:
        running = [m for m in members if server.running(m.directory) is not None]
        found[:] = [m for m in running if cluster.status(m.directory).role == "leader"]
        return bool(found)

    _until(look)
    return found[0]


def remotes(members: list[Member]) -> str:
    return ",".join(member.remote for member in members)


class Writer(threading.Thread):
    """Makes bridges, one after another, and notes which ones were accepted."""

    def __init__(self, name: str, remote: str) -> None:
        super().__init__()
        self._prefix, self._remote = name, remote
        self.ending = threading.Event()
        self.wrote = threading.Event()
        self.accepted: list[str] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        store = Store(self._remote)
        try:
            while not self.ending.is_set():
                bridge = Bridge(name=f"{self._prefix}{len(self.accepted)}")
                store.change(objects.create_decision([bridge]), DEADLINE_S)
                self.accepted.append(bridge.name)
                self.wrote.set()
        except Exception as error:
            self.failed = error
            self.wrote.set()
        finally:
            store.close()


def test_no_accepted_write_is_lost_or_doubled_when_leaders_are_killed(
    members: list[Member],
) -> None:
    writers = [Writer(f"w{n}-", remotes(members)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        for writer in writers:
            assert writer.wrote.wait(DEADLINE_S)
        leader = _leader(members)
        leader.kill()
        for writer in writers:
            writer.wrote.clear()
            assert writer.wrote.wait(DEADLINE_S), writer.failed  # with two of three
        leader.start()
    for writer in writers:
        writer.ending.set()
    for writer in writers:
        writer.join()
    assert [writer.failed for writer in writers] == [None] * WRITERS
    store = opened(remotes(members))
    store.until_connected(DEADLINE_S)
    accepted = {name for writer in writers for name in writer.accepted}
    assert {bridge.name for bridge in store.topology().bridges} == accepted
    (revision,) = store._replica.idl.tables[REVISION].rows.values()
    assert revision.number == sum(len(writer.accepted) for writer in writers)


def test_all_three_dead_and_back(members: list[Member]) -> None:
    store = opened(remotes(members))
    store.apply(Topology(bridges=(Bridge(name="b"),)))
    for member in members:
        member.kill()
    assert [bridge.name for bridge in store.topology().bridges] == ["b"]
    _until(lambda: not (store.run(), store.connected)[1])
    for member in members:
        member.start()
    store.change(objects.create_decision([Bridge(name="c")]), DEADLINE_S)
    assert [bridge.name for bridge in store.topology().bridges] == ["b", "c"]


def test_every_member_tells_of_all_and_of_one_leader(members: list[Member]) -> None:
    leader = cluster.status(_leader(members).directory).id
    found = [cluster.status(member.directory) for member in members]
    for status, member in zip(found, members, strict=True):
        assert {server.address for server in status.servers} == {m.raft for m in members}
        assert [s.id for s in status.servers if s.self] == [status.id]
        assert status.leader == ("self" if status.id == leader else leader)
        shown = CliRunner().invoke(
            app, ["store", "cluster", "status", "--directory", str(member.directory)]
        )
        assert shown.stdout.count("leader") >= 1 and member.raft in shown.stdout


def test_a_single_servers_content_becomes_the_clusters(tmp_path: pathlib.Path) -> None:
    member = Member(tmp_path / "s")
    member.start()
    opened(member.remote).apply(Topology(bridges=(Bridge(name="b"),)))
    with pytest.raises(server.ServerError, match="stop it first"):
        cluster.create(member.directory, member.raft)
    with pytest.raises(server.ServerError, match="is a single one"):
        cluster.status(member.directory)
    server.stop(member.directory)
    cluster.create(member.directory, member.raft)
    with pytest.raises(server.ServerError, match="is a cluster's already"):
        cluster.create(member.directory, member.raft)
    member.start()
    try:
        store = opened(member.remote)
        store.until_connected(DEADLINE_S)
        assert [bridge.name for bridge in store.topology().bridges] == ["b"]
    finally:
        server.stop(member.directory)


def test_a_backup_is_restored_while_the_store_runs(
    members: list[Member], tmp_path: pathlib.Path
) -> None:
    store, file = opened(remotes(members)), tmp_path / "backup"
    store.apply(Topology(bridges=(Bridge(name="b"),)))
    cluster.backup(remotes(members), file)
    assert file.stat().st_mode & 0o777 == 0o600
    store.apply(Topology(bridges=(Bridge(name="c"),)))
    cluster.restore(remotes(members), file)
    _until(lambda: (store.run(), [b.name for b in store.topology().bridges])[1] == ["b"])
    store.change(objects.create_decision([Bridge(name="d")]), DEADLINE_S)
    assert [bridge.name for bridge in store.topology().bridges] == ["b", "d"]
    (tmp_path / "no").write_text("no backup")
    with pytest.raises(server.ServerError):
        cluster.restore(remotes(members), tmp_path / "no")
    text = tmp_path / "text"
    text.write_text("bridges: []")
    with pytest.raises(server.ServerError, match=f"{text} is no backup of a store"):
        cluster.restore(remotes(members), text)


def test_three_running_members_get_another_schema_and_keep_what_they_hold(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = server.schema()
    del older["tables"]["Bridge"]["columns"]["shared"]
    older["cksum"] = "1 1"
    with monkeypatch.context() as patched:
        patched.setattr(server, "schema", lambda: older)
        members = _started(tmp_path)
    try:
        row = '["onehop",{"op":"insert","table":"Bridge","row":{"name":"b","tunnel_key":7}}]'
        leader = _leader(members)
        server.run_program("ovsdb-client", "transact", leader.remote, row)
        assert cluster.upgrade(remotes(members))
        assert not cluster.upgrade(remotes(members))
        for member in members:  # whichever is asked
            _until(lambda member=member: "shared" in _columns_at(member, "Bridge"))
        leader.kill()
        store = opened(remotes([member for member in members if member is not leader]))
        store.until_connected(DEADLINE_S)
        (bridge,) = store.topology().bridges
        assert msgspec.structs.astuple(bridge)[:3] == ("b", False, 7)
        store.change(objects.create_decision([Bridge(name="c", shared=True)]), DEADLINE_S)
    finally:
        for member in members:
            server.stop(member.directory)


def _columns_at(member: Member, table: str) -> dict:
    """The columns of a table, as this member has them."""
    command = [server.find_program("ovsdb-client"), "--no-leader-only", "get-schema"]
    told = subprocess.run([*command, member.remote, "onehop"], check=True, capture_output=True)
    return json.loads(told.stdout)["tables"][table]["columns"]


def test_a_member_that_joins_begins_with_nothing(tmp_path: pathlib.Path) -> None:
    member = Member(tmp_path / "s")
    server.prepare(member.directory, [member.remote])
    with pytest.raises(server.ServerError, match="is there already"):
        cluster.join(member.directory, member.raft, ["tcp:127.0.0.1:1"])
    with pytest.raises(InputError):
        cluster.create(tmp_path / "other", "nowhere")
