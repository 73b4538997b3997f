"""A switch that only asks: packet-ins over TCP to a controller, as many as it answers.

In the manner of cbench's throughput mode, with every packet another connection: so many are under
way at any time, and one is answered when its flow-mod and its packet-out are here.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
PACKET_OUT, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST = 13, 14, 18, 19, 20
BARRIER_REPLY, PORT_DESC = 21, 13
Running = contextlib.AbstractContextManager[int]
EXPERIMENTER, BUNDLE_HEAD = 4, 24  # a flow-mod of a bundle, and what stands before it
UNDER_WAY = 2000
START_S, ANSWER_S = 60.0, 120.0
RYU_MANAGER = pathlib.Path(sys.executable).with_name("ryu-manager")
HERE = pathlib.Path(__file__).parent


class Result(NamedTuple):
    """How it went."""

    answered: int
    seconds: float
    cpu_seconds: float  # of the controller


class Switch:
    """The switch's end of one connection."""

    def __init__(self, port: int, devices: dict[str, int]) -> None:
        self._devices = devices
        self._socket = _connect(port)
        self._unread = b""
        self.flow_mods = self.packet_outs = 0
        self._say(HELLO)

    def close(self) -> None:
        self._socket.close()

    def is_answered(self, packet_in: bytes, seconds: float) -> bool:
        """Whether this packet-in gets a flow and a packet-out."""
        flow_mods = self.flow_mods
        return self.is_flooded(packet_in, seconds) and self._until(
            lambda: self.flow_mods > flow_mods, seconds
        )

    def is_flooded(self, packet_in: bytes, seconds: float) -> bool:
        """Whether it gets a packet-out; asked again, as who is not ready yet does not hear."""
        packet_outs, end = self.packet_outs, time.monotonic() + seconds
        while time.monotonic() < end:
            self._socket.sendall(packet_in)
            if self._until(lambda: self.packet_outs > packet_outs, 1.0):
                return True
        return False

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self._hear(0.05)
        return True

    def run(self, packet_ins: Sequence[bytes], pid: int) -> Result:
        """Ask all of it."""
        self.flow_mods = self.packet_outs = sent = 0
        began, cpu = time.monotonic(), cpu_seconds(pid)
        while (done := min(self.flow_mods, self.packet_outs)) < len(packet_ins):
            room = min(done + UNDER_WAY, len(packet_ins)) - sent
            if room > UNDER_WAY // 4 or sent + room == len(packet_ins) and room:
                self._socket.sendall(b"".join(packet_ins[sent : sent + room]))
                sent += room
            self._hear(0.01)
            if time.monotonic() - began > ANSWER_S:
                break
        return Result(done, time.monotonic() - began, cpu_seconds(pid) - cpu)

    def _hear(self, seconds: float) -> None:
        if not select.select([self._socket], [], [], seconds)[0]:
            return
        said = self._socket.recv(1 << 20)
        if not said:
            raise ConnectionError("the controller hung up")
        data, at = self._unread + said, 0
        while at + 8 <= len(data):
            kind, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
            if at + length > len(data):
                break
            if kind == EXPERIMENTER and length > BUNDLE_HEAD:
                self.flow_mods += data[at + BUNDLE_HEAD + 25] == 0
            elif kind == FLOW_MOD:
                self.flow_mods += data[at + 25] == 0  # not those that change or delete
            elif kind == PACKET_OUT:
                self.packet_outs += 1
            else:
                self._answer(kind, data[at : at + length])
            at += length
        self._unread = data[at:]

    def _answer(self, kind: int, message: bytes) -> None:
        xid = int.from_bytes(message[4:8], "big")
        if kind == FEATURES_REQUEST:
            self._say(FEATURES_REPLY, struct.pack("!QIBBxxII", 1, 0, 254, 0, 0x47, 0), xid)
        elif kind == ECHO_REQUEST:
            self._say(ECHO_REPLY, message[8:], xid)
        elif kind == BARRIER_REQUEST:
            self._say(BARRIER_REPLY, b"", xid)
        elif kind == MULTIPART_REQUEST:
            what = int.from_bytes(message[8:10], "big")
            body = b"".join(map(_port, self._devices.items())) if what == PORT_DESC else b""
            self._say(MULTIPART_REPLY, struct.pack("!HH4x", what, 0) + body, xid)

    def _say(self, kind: int, body: bytes = b"", xid: int = 1) -> None:
        self._socket.sendall(struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body)


def _connect(port: int) -> socket.socket:
    end = time.monotonic() + START_S
    while True:
        try:
            found = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < end, "the controller does not listen"
            time.sleep(0.05)
            continue
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found


def _port(item: tuple[str, int]) -> bytes:
    """OFPT 1.3, section 7.2.1: up and live."""
    device, number = item
    head = struct.pack("!I4x6sxx16s", number, b"\2" + number.to_bytes(5, "big"), device.encode())
    return head + struct.pack("!IIIIIIII", 0, 4, 0, 0, 0, 0, 0, 0)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def controller(app: str, port: int, *, inside: str = "", **environment: str) -> Running:
    """`ryu-manager` with an application, listening, inside a network namespace; its process."""
    command = [str(RYU_MANAGER), "--ofp-listen-host", "127.0.0.1",
               "--ofp-tcp-listen-port", str(port), app]  # fmt: skip
    return started(command, inside=inside, **environment)


@contextlib.contextmanager
def started(command: Sequence[str], *, inside: str = "", **environment: str) -> Iterator[int]:
    """A process that finds what is here, inside a network namespace; its number."""
    path = os.pathsep.join(str(p) for p in (HERE, HERE.parent, HERE.parents[1] / "tests"))
    process = subprocess.Popen(
        [*(["nsenter", f"--net=/run/netns/{inside}"] if inside else []), *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
