"""The health monitors of this host: a namespace for each, and one process that asks.

Usable only inside an eventlet hub, like `uplinks`: the work is done by green threads of this
module's own, and no call below waits, except ``clean``.

1. A monitor's namespace outlives the agent; the process ends with it, and asks nobody meanwhile.
2. The process learns of a monitor when its namespace is whole.
3. What fails is tried again every second, and says so in ``status``.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import eventlet
import eventlet.semaphore
import msgspec
from eventlet.green import subprocess

from onehop.controller.agent import namespaces
from onehop.controller.agent.checker import Answer, Question
from onehop.controller.agent.desired import Monitor
from onehop.controller.agent.uplinks import namespace

OnAnswer = Callable[[Answer], None]

DEVICE = "monitor"  # the monitor's end of the pair
MTU = 1280  # any network can carry what IPv6 needs, and answers to it are no longer
RETRY_S = 1.0
COMMAND = (sys.executable, "-m", "onehop.controller.agent.checker")

log = logging.getLogger(__name__)


class Monitors:
    """What asks members, on this host."""

    def __init__(self, host: str, run_dir: str, on_answer: OnAnswer) -> None:
        """`on_answer` is called from a green thread."""
        self._host = host
        self._run_dir = run_dir
        self._on_answer = on_answer
        self._wanted: dict[str, Monitor] = {}
        self._built: dict[str, Monitor] = {}  # as they were asked for when they were made
        self._failed: dict[str, str] = {}
        self._process: _Process | None = None
        self._wake = eventlet.semaphore.Semaphore(0)
        self._thread = eventlet.spawn(self._work)

    def reconcile(self, monitors: Iterable[Monitor]) -> None:
        """Make these the host's monitors."""
        self._wanted = {monitor.port: monitor for monitor in monitors}
        self._wake.release()

    def status(self) -> dict[str, str]:
        """Per port of a monitor: "starting", "waiting", "asking", "failed: ..."."""
        return {port: self._state(monitor) for port, monitor in sorted(self._wanted.items())}

    def _state(self, monitor: Monitor) -> str:
        if monitor.port in self._failed:
            return f"failed: {self._failed[monitor.port]}"
        if self._built.get(monitor.port) != monitor:
            return "starting"
        return "asking" if monitor.checks else "waiting"

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            self._failed = {}
            wanted = dict(self._wanted)
            for place in _left(self._host, self._run_dir):
                if place.port not in wanted:
                    self._attempt(place.port, place.remove)
                    self._built.pop(place.port, None)
            for monitor in wanted.values():
                self._attempt(monitor.port, partial(self._build, monitor))
            self._attempt("process", self._ask)
            if self._failed:
                eventlet.spawn_after(RETRY_S, self._wake.release)

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (namespaces.CommandError, OSError) as error:
            self._failed[what] = str(error)
            log.error("%s: %s", what, error)

    def _build(self, monitor: Monitor) -> None:
        built = self._built.pop(monitor.port, None)
        if built is None or not _is_same_place(built, monitor):
            _Place.of(self._host, self._run_dir, monitor).build(monitor)
        self._built[monitor.port] = monitor

    def _ask(self) -> None:
        """Have the process ask what there is to ask, and end it where there is nothing."""
        questions = [
            Question(namespace(self._host, port), check)
            for port, monitor in self._built.items()
            for check in monitor.checks
        ]
        if not questions:
            self._stop()
            return
        if self._process is None:
            self._process = _Process(self._on_answer, self._ended)
        self._process.ask(questions)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.close()

    def _ended(self) -> None:
        """The process is gone, and nobody told it to go."""
        log.error("the process that asks members has ended: starting another one")
        self._process = None
        eventlet.spawn_after(RETRY_S, self._wake.release)


def clean(host: str, run_dir: str) -> None:
    """Remove the monitors' namespaces and links of `host` (``onehop agent clean``)."""
    for place in _left(host, run_dir):
        place.remove()


class _Process:
    """The process that asks, and the green thread that hears it."""

    def __init__(self, on_answer: OnAnswer, on_end: Callable[[], None]) -> None:
        self._on_answer = on_answer
        self._on_end = on_end
        self._child = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._thread = eventlet.spawn(self._listen)

    def ask(self, questions: list[Question]) -> None:
        with contextlib.suppress(BrokenPipeError):  # its end is noticed elsewhere
            self._child.stdin.write(msgspec.json.encode(questions) + b"\n")
            self._child.stdin.flush()

    def close(self) -> None:
        self._thread.kill()
        self._child.kill()
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()

    def _listen(self) -> None:
        while line := self._child.stdout.readline():
            self._on_answer(msgspec.json.decode(line, type=Answer))
        self._child.stdin.close()
        self._child.wait()
        self._on_end()


class _Place(NamedTuple):
    """Where a monitor lives: its namespace, its link to the bridge; and the note about them."""

    host: str
    run_dir: str
    port: str
    device: str

    @classmethod
    def of(cls, host: str, run_dir: str, monitor: Monitor) -> _Place:
        return cls(host, run_dir, monitor.port, monitor.device)

    @property
    def namespace(self) -> str:
        return namespace(self.host, self.port)

    @property
    def note(self) -> Path:
        return Path(self.run_dir, "monitors", self.namespace)

    def build(self, monitor: Monitor) -> None:
        """Make what is missing and change what differs."""
        name = self.namespace
        self.note.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(f"{self.port}\n{self.device}")
        namespaces.create(name)
        namespaces.connect(name, self.device, DEVICE, mac=monitor.mac)
        namespaces.run("ip", "link", "set", self.device, "mtu", str(MTU), "up")
        addresses = set(monitor.addresses)
        namespaces.configure(name, DEVICE, mac=monitor.mac, mtu=MTU, addresses=addresses)
        routes = (f"route replace default via {gateway}" for gateway in monitor.gateways)
        namespaces.run("ip", "-n", name, "-batch", "-", text="\n".join(routes))

    def remove(self) -> None:
        namespaces.disconnect(self.device)
        namespaces.remove(self.namespace)
        self.note.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.note.parent.rmdir()


def _left(host: str, run_dir: str) -> list[_Place]:
    """The places that agents of this host have made and not removed."""
    notes = sorted(Path(run_dir).glob("monitors/*"))
    return [_Place(host, run_dir, *note.read_text().split("\n")) for note in notes]


def _is_same_place(a: Monitor, b: Monitor) -> bool:
    return msgspec.structs.replace(a, checks=()) == msgspec.structs.replace(b, checks=())
