"""A host with real Open vSwitch: machines on one side, the underlay on the other.

```
  machines ── vm1…vm8 ── br-int ── onehop-vx … br-phy ── eth0 ── underlay, which counts
                            │
                       the controller, in the same network namespace
```
1. Everything is in network namespaces of its own and ends with them.
2. Every packet that is sent is the first of its connection, so what arrives is counted by the
   receiving device: nothing that a program could be too slow for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import cbench
import frames
import workloads
from functional.nodes import Net, Node, link
from networks import udp

from onehop.controller.agent import namespaces

BATCH = 32  # frames of one system call
PORT = 6653
PROBES = 900_000, 100  # connections that ask whether the controller answers
ENTRIES = 1 << 22  # of the agent's table of connections
HERE = pathlib.Path(__file__).parent
QUIET_S = 1.0  # nothing comes any more
TUNNEL = "onehop-vx"
VXLAN_PORT = 4789
GATEWAYS = tuple(f"172.31.1.{n}" for n in workloads.UPLINKS)
LIBC = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Header(ctypes.Structure):  # struct msghdr
    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(Iovec)), ("n_vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


class Message(ctypes.Structure):  # struct mmsghdr
    _fields_ = (("header", Header), ("sent", ctypes.c_uint32))


class Bed:
    """The host, its machines, and the underlay."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        net = Net(stack)
        self.host, self.machines, self.underlay = map(net.node, ("host", "vms", "under"))
        link(self.host, "eth0", self.underlay, "eth0")
        for n in range(1, workloads.MACHINES + 1):
            link(self.host, f"vm{n}", self.machines, f"vm{n}")
        for address in GATEWAYS:
            self.underlay.ip("address", "add", f"{address}/16", "dev", "eth0")
        self.ovs = net.switch(self.host)
        self._plug()
        self._sockets = [stack.enter_context(_raw(self.machines, f"vm{n}"))
                         for n in range(1, workloads.MACHINES + 1)]  # fmt: skip
        with namespaces.entered(self.underlay.name):  # else its kernel would answer with errors
            deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stack.enter_context(deaf).bind(("", VXLAN_PORT))

    def _plug(self) -> None:
        tunnel = ("type=vxlan", "options:remote_ip=flow", "options:key=flow")
        self.ovs.vsctl(
            "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev",
            "--", "add-port", "br-phy", "eth0",
            "--", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev",
            "fail_mode=secure", "protocols=OpenFlow13", "other_config:disable-in-band=true",
            *(word for n in range(1, workloads.MACHINES + 1)
              for word in ("--", "add-port", "br-int", f"vm{n}")),
            "--", "add-port", "br-int", TUNNEL, "--", "set", "interface", TUNNEL, *tunnel,
        )  # fmt: skip
        self.host.ip("address", "add", "172.31.0.1/16", "dev", "br-phy")
        self.host.ip("link", "set", "br-phy", "up")
        for address in GATEWAYS:  # the tunnels know their far ends' MACs before they are needed
            with contextlib.suppress(namespaces.CommandError):
                self.host.run("ping", "-c", "1", "-W", "1", address)

    def plug_more(self, machines: int) -> None:
        """So many machines in all; the further ones are ports that lead to another bridge."""
        words = ["--may-exist", "add-br", "br-more", "--", "set", "bridge", "br-more",
                 "datapath_type=netdev"]  # fmt: skip
        for n in range(workloads.MACHINES + 1, machines + 1):
            ends = ("br-int", f"vm{n}"), ("br-more", f"more{n}")
            for (bridge, device), (_, peer) in zip(ends, ends[::-1], strict=True):
                words += ["--", "--may-exist", "add-port", bridge, device, "--", "set",
                          "interface", device, "type=patch", f"options:peer={peer}"]  # fmt: skip
        self.ovs.vsctl(*words)

    @contextlib.contextmanager
    def controlled(self, controller: cbench.Running) -> Iterator[int]:
        """The switch connected to a controller; its process."""
        with controller as pid:
            self.ovs.vsctl("set-controller", "br-int", f"tcp:127.0.0.1:{PORT}", "--", "set",
                           "controller", "br-int", "connection_mode=out-of-band",
                           "max_backoff=1000", "inactivity_probe=60000")  # fmt: skip
            try:
                _until(lambda: "true" in self.ovs.vsctl("get", "controller", "br-int",
                                                        "is_connected"), 30)  # fmt: skip
                yield pid
            finally:
                self.ovs.vsctl("del-controller", "br-int")
                self.ovs.ofctl("del-flows", "br-int")

    @contextlib.contextmanager
    def agent(self, ready: Iterable[tuple[int, int]] = ()) -> Iterator[int]:
        """The agent, answering; or one that has `ready` answers to connections (first, count)."""
        words = [f"{first}:{count}" for first, count in (*ready, PROBES)]
        peer = [sys.executable, str(HERE / "ready_bytes.py"), str(PORT), *words]
        settings = {"ONEHOP_HOST": "h1", "ONEHOP_LISTEN": f"127.0.0.1:{PORT}",
                    "ONEHOP_STATE_ENTRIES": str(ENTRIES)}  # fmt: skip
        inside = self.host.name
        with self.controlled(
            cbench.started(peer, inside=inside) if ready
            else cbench.controller("agent_app", PORT, inside=inside, **settings)
        ) as pid:  # fmt: skip
            self.answered()
            yield pid

    def answered(self) -> None:
        """Wait until packets get through: it answers, and the tunnels know their next hops."""
        probes, end = connections(PROBES[1], PROBES[0]), time.monotonic() + 30
        while True:
            before = self.arrived()
            self.send([next(probes) for _ in range(4)], 1000)
            if self.settled(before, 4) == 4:
                break
            assert time.monotonic() < end, "the controller does not come to life"

    def arrived(self) -> int:
        """IP packets that the underlay has received so far: all come out of the tunnels."""
        rows = [row.split() for row in self.underlay.run("cat", "/proc/net/snmp").splitlines()]
        names, values = (row for row in rows if row[0] == "Ip:")
        return int(values[names.index("InReceives")])

    def delivered(self) -> int:
        """Packets that the second machine has received so far."""
        device = "/sys/class/net/vm2/statistics/rx_packets"
        return int(self.machines.run("cat", device))

    def flows(self) -> int:
        """How many flows the switch holds."""
        said = self.ovs.ofctl("dump-aggregate", "br-int")
        return int(said.rpartition("flow_count=")[2])

    def flows_to(self, address: str) -> int:
        """How many of them lead through a tunnel to this address."""
        return self.ovs.ofctl("dump-flows", "br-int").count(f"{address}->tun_dst")

    def upcalls(self) -> int:
        """Packets for which the switch had no flow in its datapath so far."""
        return int(self.ovs.appctl("dpctl/show").partition("missed:")[2].split()[0])

    def forget(self) -> None:
        """The datapath's flows are gone; the switch's own are not."""
        self.ovs.appctl("revalidator/purge")

    def send(self, frames: Sequence[tuple[int, bytes]], rate: float) -> float:
        """Send (machine, frame) at a rate per second; how long it took."""
        batches = list(_batches(frames))
        began = time.perf_counter()
        sent = 0
        for machine, messages, count, _ in batches:
            wait = began + sent / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            descriptor, at = self._sockets[machine - 1].fileno(), 0
            while at < count:
                done = LIBC.sendmmsg(descriptor, ctypes.byref(messages, at * SIZE), count - at, 0)
                if done < 0:
                    raise OSError(ctypes.get_errno(), "sendmmsg")
                at += done
            sent += count
        return time.perf_counter() - began

    def settled(self, before: int, wanted: int, count: Callable[[], int] | None = None) -> int:
        """How many of the packets that were sent have arrived when no more do."""
        count = count or self.arrived
        found, since = 0, time.monotonic()
        while found < wanted and time.monotonic() - since < QUIET_S:
            now = count() - before
            if now != found:
                found, since = now, time.monotonic()
            time.sleep(0.02)
        return found


@contextlib.contextmanager
def listening(node: Node, device: str = "eth0") -> Iterator[socket.socket]:
    """What comes to a device: on the underlay, out of the tunnels."""
    with namespaces.entered(node.name):
        sink = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sink.bind((device, 0))
    with contextlib.closing(sink):
        sink.settimeout(5)
        yield sink


def connections(count: int, first: int = 0) -> Iterator[tuple[int, bytes]]:
    """The first packets of so many connections of all machines: `BATCH` of one, then the next."""
    resources = workloads.keyed(workloads.stateful(workloads.MACHINES))
    gateway = workloads.gateway_mac(resources)
    made = {
        machine: bytearray(
            frames.ip_frame(gateway, workloads.mac(machine),
                            udp(workloads.address(0, machine), "198.51.100.0")).encode()
        )
        for machine in range(1, workloads.MACHINES + 1)
    }  # fmt: skip
    for n in range(first, first + count):
        machine = 1 + n // BATCH % workloads.MACHINES
        frame = made[machine]
        frame[33] = 1 + n % 200
        frame[34:36] = struct.pack("!H", 1024 + n // 200 % 64_000)
        frame[24:26] = frame[40:42] = b"\0\0"
        frame[24:26] = frames.checksum(frame[14:34]).to_bytes(2, "big")
        yield machine, bytes(frame)


SIZE = ctypes.sizeof(Message)


def _batches(
    frames: Sequence[tuple[int, bytes]],
) -> Iterator[tuple[int, ctypes.Array[Message], int, object]]:
    """The messages of one system call each: all of one machine."""
    by_machine: dict[int, list[bytes]] = {}
    for machine, frame in frames:
        waiting = by_machine.setdefault(machine, [])
        waiting.append(frame)
        if len(waiting) == BATCH:
            yield machine, *_messages(by_machine.pop(machine))
    for machine, waiting in by_machine.items():
        yield machine, *_messages(waiting)


def _messages(frames: list[bytes]) -> tuple[ctypes.Array[Message], int, object]:
    kept = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
    vectors = (Iovec * len(frames))()
    messages = (Message * len(frames))()
    for at, buffer in enumerate(kept):
        vectors[at] = Iovec(ctypes.addressof(buffer), len(buffer))
        messages[at].header.vectors = ctypes.pointer(vectors[at])
        messages[at].header.n_vectors = 1
    return messages, len(frames), (kept, vectors)


def _raw(node: Node, device: str) -> socket.socket:
    with namespaces.entered(node.name):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    with namespaces.entered(node.name):
        made.bind((device, 0))
    return made


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the switch does not find the controller"
        time.sleep(0.05)


def is_possible() -> bool:
    """Whether this machine lets us: root, and Open vSwitch."""
    tools = ("ovs-vswitchd", "ovsdb-server")
    there = all(pathlib.Path("/usr/sbin", tool).exists() for tool in tools)
    return os.geteuid() == 0 and there and _namespaces()


def _namespaces() -> bool:
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0
