"""The 1 kHz probe streams: a worker that sends and receives them all, and its handle.

One worker process holds the sockets of all ends, so that one clock stamps everything: a packet
is stamped just before it is sent, and by the kernel when it arrives.  One process, because here
waking up a thousand times a second costs more (43 us each) than sending and receiving (4 us).

1. A stream is a direction and a source port.  Its packets are numbered from 0 without gaps,
   whether or not the stream was at rest in between.
2. `sent[i]` and `received[i]` are the wall-clock times of packet i in nanoseconds; `received[i]`
   is 0 while the packet has not arrived.
3. The worker never waits for the network: sockets do not block, a full socket loses the packet
   as a wire would.
4. Sockets are not connected: of a connected one, the kernel marks packets with a random hash that
   a router on this same machine would prefer to their ports when it chooses among equal routes.
5. This module knows nothing of gateways: `aim.py` finds the streams that cross one, `gaps.py`
   says what a gap is.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from onehop.lab import netns

if TYPE_CHECKING:
    from onehop.lab.gaps import Times

INTERVAL_NS = 1_000_000
SINK_PORT = 7007
_DRAIN_EVERY = 16  # ticks between two looks at the sinks; arrivals wait in their buffers
_LATEST_NS = 50_000_000  # a sender that was held up for longer does not catch up
_PAYLOAD = struct.Struct("!HxxI")  # source port, number
_STAMP = struct.Struct("=qq")  # struct timespec
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35


class Endpoint(NamedTuple):
    """An end of probe streams: an address in the namespace of a process."""

    pid: int
    address: str


class Direction(NamedTuple):
    """From where to where, and the source ports that streams may have."""

    name: str  # "upstream"
    source: Endpoint
    sink: Endpoint
    ports: tuple[int, ...]
    target: str = ""  # the sink's address as the source knows it, where that is another one

    @property
    def to(self) -> str:
        return self.target or self.sink.address


class Stream(NamedTuple):
    """What one probe stream recorded."""

    direction: str
    port: int  # its source port
    sent: Times
    received: Times


class StreamStatus(NamedTuple):
    """How far a stream has got."""

    sent: int
    received: int
    last_received_ns: int


# -- the handle ---------------------------------------------------------------------------------


class Prober:
    """The running worker."""

    def __init__(self, directory: Path, directions: Sequence[Direction]) -> None:
        self.directions = {direction.name: direction for direction in directions}
        self._results = directory / "probe.times"
        settings = json.dumps([list(self.directions.values()), str(self._results)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "onehop.lab.probe", settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def announce(self) -> None:
        """Send one packet of every stream, so that each gets its flows."""
        self._ask({"announce": 1})

    def aim(self, ports: Mapping[str, Iterable[int]]) -> None:
        """From now on send these streams of each direction, and let all others rest."""
        self._ask({"aim": {direction: sorted(chosen) for direction, chosen in ports.items()}})

    def status(self) -> dict[tuple[str, int], StreamStatus]:
        """How far each stream has got."""
        rows = self._ask({})["streams"]
        return {(name, port): StreamStatus(*counts) for name, port, *counts in rows}

    def stop(self) -> list[Stream]:
        """End the worker and return what it recorded."""
        self._process.communicate(timeout=20)
        if self._process.returncode != 0:
            raise RuntimeError("the probe worker failed")
        return load(self._results)

    def kill(self) -> None:
        """End the worker without asking for anything; harmless where it has ended."""
        if self._process.poll() is None:
            with self._process:
                self._process.kill()

    @property
    def cpu_s(self) -> float:
        """The processor time that the worker has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the probe worker ended early")
        return dict(json.loads(answer))


def load(path: Path) -> list[Stream]:
    """What a worker left behind."""
    with path.open("rb") as file:
        index = json.loads(file.readline())
        return [
            Stream(direction, port, _times(file, count), _times(file, count))
            for direction, port, count in index
        ]


def _times(file: IO[bytes], count: int) -> Times:
    import numpy as np  # here, because the worker must start fast and does not need it

    return np.frombuffer(file.read(8 * count), dtype=np.int64)


# -- the worker ---------------------------------------------------------------------------------


class _Sender:
    """One stream's socket and its times."""

    def __init__(self, direction: Direction, port: int) -> None:
        self.direction, self.port = direction.name, port
        self.socket = _socket(direction.source, port)
        self._to = (direction.to, SINK_PORT)
        self.sent = array("q")
        self.received = array("q")
        self.arrived = 0
        self.last_ns = 0

    def send(self) -> None:
        payload = _PAYLOAD.pack(self.port, len(self.sent))
        self.sent.append(time.time_ns())
        self.received.append(0)
        with contextlib.suppress(OSError):  # unreachable or full: this packet is lost
            self.socket.sendto(payload, self._to)

    def arrive(self, number: int, now_ns: int) -> None:
        if self.received[number] == 0:
            self.received[number] = self.last_ns = now_ns
            self.arrived += 1


class _Sink:
    """The receiving end of one direction."""

    def __init__(self, direction: Direction) -> None:
        self.senders = {port: _Sender(direction, port) for port in direction.ports}
        self.socket = _socket(direction.sink, SINK_PORT)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)

    def drain(self) -> None:
        """Take what has arrived."""
        receive, senders = self.socket.recvmsg, self.senders
        unpack, stamp = _PAYLOAD.unpack_from, _STAMP.unpack_from
        while True:
            try:
                data, ancillary, _, _ = receive(64, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = stamp(ancillary[0][2])
            port, number = unpack(data)
            senders[port].arrive(number, seconds * 1_000_000_000 + nanoseconds)


class _Worker:
    """All streams, and the loop."""

    def __init__(self, directions: Iterable[Direction]) -> None:
        self.sinks = {direction.name: _Sink(direction) for direction in directions}
        self.active: list[_Sender] = []

    @property
    def senders(self) -> list[_Sender]:
        return [sender for sink in self.sinks.values() for sender in sink.senders.values()]

    def run(self) -> None:
        commands = _Commands(self)
        due = time.monotonic_ns()
        tick = 0
        while commands.running:
            due += INTERVAL_NS
            ahead = due - time.monotonic_ns()
            if ahead > 0:
                time.sleep(ahead / 1e9)
            elif ahead < -_LATEST_NS:
                due -= ahead
            for sender in self.active:
                sender.send()
            tick += 1
            if tick % _DRAIN_EVERY == 0:
                self.drain()
                commands.poll()
        self._finish()

    def drain(self) -> None:
        for sink in self.sinks.values():
            sink.drain()

    def _finish(self) -> None:
        deadline = time.monotonic() + 0.5  # what is still on its way counts
        while time.monotonic() < deadline:
            time.sleep(0.02)
            self.drain()

    def announce(self) -> None:
        for sender in self.senders:
            sender.send()
            time.sleep(0.001)

    def aim(self, ports: Mapping[str, Sequence[int]]) -> None:
        self.active = [
            self.sinks[name].senders[port] for name, chosen in ports.items() for port in chosen
        ]

    def status(self) -> dict[str, Any]:
        self.drain()
        return {
            "streams": [
                [sender.direction, sender.port, len(sender.sent), sender.arrived, sender.last_ns]
                for sender in self.senders
            ]
        }

    def save(self, path: Path) -> None:
        used = [sender for sender in self.senders if sender.sent]
        index = [(sender.direction, sender.port, len(sender.sent)) for sender in used]
        with path.open("wb") as file:
            file.write(json.dumps(index).encode() + b"\n")
            for sender in used:
                file.write(sender.sent.tobytes() + sender.received.tobytes())


class _Commands:
    """JSON lines on standard input, each answered by the streams' status on standard output."""

    def __init__(self, worker: _Worker) -> None:
        self.running = True
        self._worker = worker
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._pending = b""

    def poll(self) -> None:
        if not self._selector.select(0):
            return
        data = os.read(0, 65536)
        self.running = bool(data)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        if "announce" in command:
            self._worker.announce()
        if "aim" in command:
            self._worker.aim(command["aim"])
        print(json.dumps(self._worker.status()), flush=True)


def _socket(end: Endpoint, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in end.address else socket.AF_INET
    with netns.inside(end.pid):
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((end.address, port))
    return made


def main(settings: str) -> None:
    """Carry the streams until standard input ends, then save their times."""
    rows, path = json.loads(settings)
    worker = _Worker(
        Direction(name, Endpoint(*source), Endpoint(*sink), ports, target)
        for name, source, sink, ports, target in rows
    )
    worker.run()
    worker.save(Path(path))


if __name__ == "__main__":
    main(sys.argv[1])
