"""A cluster of the store's servers: RAFT, which `ovsdb-server` does by itself (ovsdb(7)).

1. A member is a directory, like a single server's, whose database is clustered; `server` runs it.
2. `create` takes what a single server left in the directory along; `join` begins with nothing.
3. A backup is a file of a single server.  Its schema need not be today's.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Sequence

import msgspec

from onehop.controller.store.address import absolute, check_addresses
from onehop.controller.store.schema import DATABASE, schema
from onehop.controller.store.server import (
    ServerError,
    database_of,
    find_program,
    is_clustered,
    prepare_database,
    run_program,
    running,
)

ELECTION_MS = 500  # a leader that says nothing for so long is replaced, 1 s later at most
TIMEOUT_S = 30


class Member(msgspec.Struct, frozen=True):
    """One server, as another one knows it."""

    id: str  # the first digits
    address: str
    self: bool


class Status(msgspec.Struct, frozen=True):
    """A cluster as one of its members sees it."""

    id: str
    role: str  # leader, follower, candidate
    leader: str  # the id of the leader, "self" or "unknown"
    term: int
    status: str  # "cluster member", "joining cluster", …
    servers: list[Member]


def create(directory: pathlib.Path, address: str, election_ms: int = ELECTION_MS) -> None:
    """Make the first member of a new cluster; `address` is for the others."""
    check_addresses(address)
    database = database_of(directory)
    if is_clustered(directory):
        raise ServerError(f"{database} is a cluster's already")
    _refuse_running(directory)
    prepare_database(directory)
    new = database.with_suffix(".new")
    new.unlink(missing_ok=True)
    timer = f"--election-timer={election_ms}"
    run_program("ovsdb-tool", timer, "create-cluster", str(new), str(database), address)
    database.replace(database.with_suffix(".single"))
    new.replace(database)


def join(directory: pathlib.Path, address: str, peers: Sequence[str]) -> None:
    """Make a further member; `peers` are the addresses of some that there are."""
    database = database_of(directory)
    _refuse_running(directory)
    if database.exists():
        raise ServerError(f"{database} is there already; a member that joins begins with nothing")
    directory.mkdir(parents=True, exist_ok=True)
    check_addresses(",".join((address, *peers)))
    run_program("ovsdb-tool", "join-cluster", str(database), DATABASE, address, *peers)


def status(directory: pathlib.Path) -> Status:
    """What the member that runs over `directory` says."""
    if running(directory) is None:
        raise ServerError(f"no server runs over {directory}")
    if not is_clustered(directory):
        raise ServerError(f"the server over {directory} is a single one")
    control = directory.resolve() / "store.ctl"
    return _read(run_program("ovs-appctl", "-t", str(control), "cluster/status", DATABASE))


def _read(text: str) -> Status:
    def field(name: str) -> str:
        found = re.search(rf"^{name}: (.*)$", text, re.MULTILINE)
        return found[1] if found else ""

    rows = re.findall(r"^ +(\S+) \((\w{4}) at (\S+)\)( \(self\))?", text, re.MULTILINE)
    names = {name: ident for name, ident, _, _ in rows}  # a member at a unix socket has its name
    return Status(
        id=field("Server ID").partition(" ")[0],
        role=field("Role"),
        leader=names.get(field("Leader"), field("Leader")),
        term=int(field("Term") or 0),
        status=field("Status"),
        servers=[Member(ident, address, bool(own)) for _, ident, address, own in rows],
    )


def backup(remote: str, file: pathlib.Path) -> None:
    """Write all that the store holds to a file, which is whole or not there."""
    content = _client("backup", remote)
    new = file.with_name(f"{file.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        os.fsync(out.fileno())
    new.replace(file)


def restore(remote: str, file: pathlib.Path) -> None:
    """Have the store hold what a backup holds, and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        copy, wanted = pathlib.Path(directory) / "copy.db", pathlib.Path(directory) / "schema"
        copy.write_bytes(file.read_bytes())
        wanted.write_text(json.dumps(schema()))
        if _database_in(copy) != DATABASE:
            raise ServerError(f"{file} is no backup of a store")
        run_program("ovsdb-tool", "convert", str(copy), str(wanted))
        _client("restore", remote, content=copy)


def _database_in(file: pathlib.Path) -> str:
    try:
        return run_program("ovsdb-tool", "db-name", str(file)).strip()
    except ServerError:  # it names the copy, which nobody knows
        return ""


def upgrade(remote: str) -> bool:
    """Give a running store, single or a cluster, this version's schema; False: it has it."""
    with tempfile.NamedTemporaryFile("w", suffix=".ovsschema") as file:
        json.dump(schema(), file)
        file.flush()
        if _client("needs-conversion", remote, file.name).strip() == b"no":
            return False
        _client("convert", remote, file.name)
    return True


def _client(command: str, remote: str, *more: str, content: pathlib.Path | None = None) -> bytes:
    remote = absolute(remote)
    name = [] if command in ("needs-conversion", "convert") else [DATABASE]
    options = ["--verbose=off", f"--timeout={TIMEOUT_S}"]
    program = [find_program("ovsdb-client"), *options, command, remote, *name, *more]
    with open(content or os.devnull, "rb") as given:  # it seeks in it
        done = subprocess.run(program, stdin=given, capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip() or f"{command} failed"
        raise ServerError(reason)
    return done.stdout


def _refuse_running(directory: pathlib.Path) -> None:
    pid = running(directory)
    if pid is not None:
        raise ServerError(f"a server runs over {directory} (process {pid}); stop it first")
