"""FRR (zebra, bfdd, bgpd) in a namespace: started, found again, configured while it runs.

1. What runs is changed by the difference between what it was told last, as recorded beside the
   daemons' sockets, and what it should be told.
2. The daemons start empty and are told everything that way: there is one path, not two.
3. A process is ours if its command line names our PID file; no other is ever signalled.
4. Nothing blocks: commands go over the daemons' own sockets and take milliseconds at most.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType

import eventlet
import msgspec
from eventlet.green import select, socket

from onehop.controller.agent import namespaces
from onehop.controller.agent.frr_config import Block, Config, Line, commands

DAEMONS = ("zebra", "bfdd", "bgpd")  # in the order of their start
BINARIES = Path("/usr/lib/frr")
CRASHES = Path("/var/tmp/frr")
USER = "frr"
PRIORITY = "-10"  # BFD must be punctual, however loaded this host is
SOCKET_PATH_BYTES = 107  # sun_path less the final zero
START_S, STOP_S, POLL_S = 10.0, 2.0, 0.01
Record = list[tuple[str, Block, tuple[str, ...]]]  # daemon, block, lines


class FrrError(RuntimeError):
    """FRR did not start, or refused a command."""


class Frr:
    """The three daemons of one namespace and the folder of their files."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self._namespace = namespace
        self._folder = folder
        longest = len(os.fsencode(folder / "zserv.api"))
        if longest > SOCKET_PATH_BYTES:
            raise FrrError(f"{folder}: {longest} bytes are too long for a socket's path")

    @property
    def configured(self) -> Config:
        """What the daemons were told last."""
        found: dict[str, dict[Block, tuple[str, ...]]] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            for daemon, block, lines in msgspec.json.decode(
                self._record.read_bytes(), type=Record
            ):
                found.setdefault(daemon, {})[block] = lines
        return found

    @property
    def pids(self) -> list[int]:
        """The daemons that run."""
        return [pid for name in DAEMONS if (pid := self._pid(name))]

    @property
    def runs(self) -> bool:
        return len(self.pids) == len(DAEMONS)

    def start(self) -> None:
        """Start all three, empty, after what is left of earlier ones is gone."""
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        shutil.chown(self._folder, USER, USER)
        # Routes of an FRR that was killed are still there; nobody vouches for them.
        for family in ("-4", "-6"):
            namespaces.within(self._namespace, "ip", family, "route", "flush", "proto", "bgp")
        for name in DAEMONS:
            namespaces.within(self._namespace, *self._command(name))
            self._await(partial(self._answers, name), START_S, f"{name}: no answer")

    def stop(self) -> None:
        """End the daemons that run, and forget what they were told."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(FrrError):
                self._await(lambda: not self.pids, STOP_S, "still there")
        for name in DAEMONS:
            self._forget(name)
        self._record.unlink(missing_ok=True)

    def configure(self, wanted: Config) -> None:
        """Change what runs to `wanted`."""
        before = self.configured
        if before == wanted:
            return
        for name in DAEMONS:
            off, on = commands(before.get(name, {}), wanted.get(name, {}))
            if off or on:
                with Terminal(self._folder / f"{name}.vty") as terminal:
                    terminal.configure(off, strict=False)
                    terminal.configure(on, strict=True)
        self._write(wanted)

    def reset_sessions(self) -> None:
        """End all BGP sessions, to be opened again: the peers forget at once what they heard.

        A withdrawal waits 50 ms in bgpd before it is sent, the end of a session does not.
        """
        self.say("bgpd", "clear bgp *")

    def say(self, name: str, line: str) -> str:
        """Give a daemon a command, and return what it answers."""
        with Terminal(self._folder / f"{name}.vty") as terminal:
            return terminal.say(line)[1]

    def wait(self) -> None:
        """Sleep, green, until one of the daemons is gone."""
        with contextlib.ExitStack() as stack:
            gone = []
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    gone.append(os.pidfd_open(pid))
                    stack.callback(os.close, gone[-1])
            if len(gone) == len(DAEMONS):
                select.select(gone, [], [])

    @property
    def _record(self) -> Path:
        return self._folder / "configured.json"

    def _write(self, wanted: Config) -> None:
        record = [
            (d, block, lines) for d, blocks in wanted.items() for block, lines in blocks.items()
        ]
        new = self._record.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(record))
        new.replace(self._record)

    def _command(self, name: str) -> list[str]:
        folder = self._folder
        files = ["-f", "/dev/null", "-i", f"{folder / name}.pid", "-z", f"{folder / 'zserv.api'}"]
        files += ["--vty_socket", str(folder), "--log", f"file:{folder / name}.log"]
        if name == "bfdd":
            files += ["--bfdctl", str(folder / "bfdd.sock")]
        options = ["-d", "-P", "0", "--log-level", "warnings"]  # -P 0: no TCP terminal
        return ["nice", "-n", PRIORITY, str(BINARIES / name), *options, *files]

    def ask(self, name: str, question: str) -> str:
        """What a daemon says to a question; an OSError or FrrError where it does not."""
        with Terminal(self._folder / f"{name}.vty") as terminal:
            return terminal.say(question)[1]

    def _pid(self, name: str) -> int | None:
        """The process that the PID file names, if it is this daemon of ours."""
        file = self._folder / f"{name}.pid"
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return pid if os.fsencode(file) in arguments else None
        return None

    def _forget(self, name: str) -> None:
        """Remove what a daemon that has ended leaves behind, its folder for crash logs too."""
        file = self._folder / f"{name}.pid"
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text())
            if not Path(f"/proc/{pid}/exe").exists():
                shutil.rmtree(CRASHES / f"{name}.{pid}", ignore_errors=True)
        for left in (file, self._folder / f"{name}.vty"):
            left.unlink(missing_ok=True)

    def _answers(self, name: str) -> bool:
        with contextlib.suppress(OSError, FrrError), Terminal(self._folder / f"{name}.vty"):
            return self._pid(name) is not None
        return False

    def _await(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        for _ in range(int(seconds / POLL_S)):
            if condition():
                return
            eventlet.sleep(POLL_S)
        raise FrrError(f"{self._namespace}: {complaint} within {seconds:.0f} s")


class Terminal:
    """A daemon's own command line, as vtysh speaks to it: a line and a zero byte each way."""

    def __init__(self, path: Path) -> None:
        self._name = path.stem
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(START_S)
        try:
            self._socket.connect(str(path))
            self.say("enable")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def say(self, line: str) -> tuple[int, str]:
        """Give a command; its status (0: done) and its output."""
        self._socket.sendall(line.encode() + b"\0")
        answer = bytearray()
        while not (len(answer) >= 4 and answer[-4:-1] == b"\0\0\0"):
            part = self._socket.recv(1 << 16)
            if not part:
                raise FrrError(f"{self._name}: ended the conversation at {line!r}")
            answer += part
        return answer[-1], answer[:-4].decode(errors="replace").strip()

    def configure(self, lines: Iterable[Line], *, strict: bool) -> None:
        """Say each line in its block; a refused one is an error where that is `strict`."""
        within: Block | None = None
        for block, line in lines:
            if block != within:
                for step in ("end", "configure terminal", *block):
                    self._say_strictly(step)
                within = block
            (self._say_strictly if strict else self.say)(line)
        self.say("end")

    def _say_strictly(self, line: str) -> None:
        status, said = self.say(line)
        if status:
            raise FrrError(f"{self._name} refused {line!r}: {said or status}")
