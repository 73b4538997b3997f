"""The store's server: one `ovsdb-server` over one file, alone or a member of a cluster.

1. A server has a directory: the database, made when it is missing and converted when the schema
   has changed, its log, its pid file, its control socket.
2. Clients and server are told the same address: "unix:PATH" or "tcp:ADDRESS:PORT".
3. Only the process that runs over this directory is ever stopped.
"""

from __future__ import annotations

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence

from onehop.controller.store.address import listening, socket_path
from onehop.controller.store.schema import DATABASE, schema

DEFAULT_DIRECTORY = "/var/lib/onehop"
DEFAULT_REMOTE = "unix:/run/onehop/store.sock"
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])


class ServerError(OSError):
    """The server could not be started or stopped."""


def prepare(directory: pathlib.Path, remotes: Sequence[str]) -> list[str]:
    """Make the database ready; returns the command that serves it in the foreground."""
    directory = directory.resolve()
    ends = [listening(remote) for remote in remotes]
    for place in (directory, *_socket_directories(remotes)):
        place.mkdir(parents=True, exist_ok=True)
    prepare_database(directory)
    return [
        find_program("ovsdb-server"),
        "--verbose=console:err",
        f"--pidfile={_pid_file(directory)}",
        f"--log-file={directory / 'store.log'}",
        f"--unixctl={directory / 'store.ctl'}",
        *(f"--remote={address}" for address in ends),
        str(database_of(directory)),
    ]


def start(directory: pathlib.Path, remotes: Sequence[str]) -> int:
    """Start a server in the background; returns its process number once it listens."""
    program, *options = prepare(directory, remotes)
    _run([program, "--detach", "--no-chdir", *options])
    pid = running(directory)
    if pid is None:
        raise ServerError(f"the store's server ended at once; see {directory / 'store.log'}")
    return pid


def stop(directory: pathlib.Path, timeout_s: float = 5.0) -> bool:
    """Stop the server of `directory` and wait for its end; False: there was none."""
    pid = running(directory)
    if pid is None:
        return False
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], timeout_s)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], timeout_s)
    finally:
        os.close(process)
    return True


def running(directory: pathlib.Path) -> int | None:
    """The process number of the server that runs over `directory`, or None."""
    directory = directory.resolve()
    try:
        pid = int(_pid_file(directory).read_text())
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(f"--pidfile={_pid_file(directory)}") in command else None


def find_program(name: str) -> str:
    """The path of a program of Open vSwitch."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise ServerError(f"{name} is missing: install Debian's package openvswitch-switch")
    return found


def _socket_directories(remotes: Iterable[str]) -> Iterable[pathlib.Path]:
    paths = [path for remote in remotes if (path := socket_path(remote)) is not None]
    return [pathlib.Path(path).parent for path in paths]


def prepare_database(directory: pathlib.Path) -> None:
    """Make a database where there is none; give one that nobody serves today's schema."""
    database = database_of(directory)
    directory.mkdir(parents=True, exist_ok=True)
    wanted = directory / "store.ovsschema"
    wanted.write_text(json.dumps(schema(), indent=1))
    if not database.exists():
        run_program("ovsdb-tool", "create", str(database), str(wanted))
    elif is_clustered(directory) or running(directory) is not None:
        return  # a cluster is converted while it runs, see `cluster.upgrade`
    elif _checksum("db", database) != _checksum("schema", wanted):
        run_program("ovsdb-tool", "convert", str(database), str(wanted))


def _checksum(what: str, file: pathlib.Path) -> str:
    return run_program("ovsdb-tool", f"{what}-cksum", str(file))


def is_clustered(directory: pathlib.Path) -> bool:
    """Whether the database in a directory is a cluster's member."""
    database = database_of(directory)
    if not database.exists():
        return False
    with database.open("rb") as file:
        return file.read(16).startswith(b"OVSDB CLUSTER")


def database_of(directory: pathlib.Path) -> pathlib.Path:
    return directory.resolve() / f"{DATABASE}.db"


def _pid_file(directory: pathlib.Path) -> pathlib.Path:
    return directory / "store.pid"


def run_program(name: str, *arguments: str) -> str:
    """Run a program of Open vSwitch and return what it prints."""
    return _run([find_program(name), *arguments])


def _run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ServerError(result.stderr.strip() or f"{command[0]} failed")
    return result.stdout
