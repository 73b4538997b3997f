"""The load: iperf3 between the machines and the outside, many parallel TCP streams each.

1. Every machine has an iperf3 server of its own at a client node, so all run at the same time.
2. Upstream the machines send, downstream they receive (``iperf3 --reverse``): machines always
   open the connections.
3. The load runs until it is stopped; what it moved is read from the kernel (`received.py`,
   `meter.py`), not from iperf3, whose own sums are not aligned in time with one another.
4. Congestion control is stated (cubic), because the default differs between machines and BBR's
   pauses of 200 ms would be measured as the network's.
5. Whoever sends at an offered rate gets no more than `CATCH_UP` of it.  iperf3 keeps the rate on
   average: after a pause it would send all that is due at once, and fill the uplinks' queues.
6. Its processes yield the cores to whatever forwards: what is short of time is then the load.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from itertools import cycle
from pathlib import Path
from typing import Literal

from onehop.lab.nodes import Node
from onehop.lab.received import Receivers
from onehop.lab.state import LabError

LoadDirection = Literal["downstream", "upstream"]
FIRST_PORT = 5201
CATCH_UP = 1.25
_QUEUE = ["burst", "64k", "limit", "8m"]  # TCP waits before it gets so long
_LISTENING = "0A"  # proc_net_tcp: TCP_LISTEN
_ESTABLISHED = "01"


class Traffic:
    """iperf3 from every machine at once, in one direction."""

    def __init__(
        self,
        machines: list[Node],
        clients: list[Node],
        direction: LoadDirection,
        *,
        streams: int = 4,
        offered_bps: float | None = None,
    ) -> None:
        """`offered_bps`: the rate of all streams together; without it they take what they get."""
        self.direction, self.streams = direction, streams
        self.pairs = list(zip(machines, cycle(clients)))  # noqa: B905 (clients are fewer)
        self.ports = range(FIRST_PORT, FIRST_PORT + len(self.pairs))
        self._rate = round(offered_bps / streams / len(self.pairs)) if offered_bps else 0
        self._servers: list[subprocess.Popen[str]] = []
        self._clients: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Traffic:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, timeout_s: float = 20.0) -> None:
        """Start all streams, and return when they are connected."""
        self._pace(self._rate)
        deadline = time.monotonic() + timeout_s
        for (_, client), port in zip(self.pairs, self.ports, strict=True):
            self._servers.append(_iperf3(client, ["--server", "--one-off", "--port", str(port)]))
        for (_, client), port in zip(self.pairs, self.ports, strict=True):
            _until(lambda c=client, p=port: _count(c.pid, p, _LISTENING) > 0, deadline)
        for (machine, client), port in zip(self.pairs, self.ports, strict=True):
            self._clients.append(_iperf3(machine, self._arguments(client, port)))
        for (_, client), port in zip(self.pairs, self.ports, strict=True):
            _until(lambda c=client, p=port: self._connected(c, p), deadline)

    def stop(self) -> None:
        """End all streams; harmless where they have ended."""
        for process in [*self._clients, *self._servers]:
            process.send_signal(signal.SIGINT)
        for process in [*self._clients, *self._servers]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=2)
                continue
            process.kill()
            process.communicate()
        self._clients, self._servers = [], []
        self._pace(0)

    def _pace(self, rate: int) -> None:
        """Let no sender send faster than its streams at `rate` want; 0: as fast as it can."""
        senders = [pair[self.direction == "downstream"] for pair in self.pairs]
        for node in {node.name: node for node in senders}.values():
            device = ["dev", node.state.interface, "root"]
            node.run(["tc", "qdisc", "del", *device], check=False)  # an earlier one's
            streams = self.streams * sum(one.name == node.name for one in senders)
            if rate:
                bps = str(round(rate * streams * CATCH_UP))
                node.run(["tc", "qdisc", "add", *device, "tbf", "rate", bps, *_QUEUE])

    def check(self) -> None:
        """A LabError where a stream has ended by itself."""
        for (machine, client), process in zip(self.pairs, self._clients, strict=False):
            if process.poll() is not None:
                said = process.communicate()[1].strip()
                raise LabError(f"iperf3 from {machine.name} to {client.name} ended: {said}")

    def receivers(self) -> Receivers:
        """The counters of the receiving side."""
        receiving = [m if self.direction == "downstream" else c for m, c in self.pairs]
        return Receivers(sorted({node.pid for node in receiving}), self.ports)

    def _arguments(self, client: Node, port: int) -> list[str]:
        reverse = ["--reverse"] if self.direction == "downstream" else []
        return [
            *("--client", client.address, "--port", str(port), "--parallel", str(self.streams)),
            *("--time", "0", "--interval", "0", "--congestion", "cubic", *reverse),
            *(["--bitrate", str(self._rate)] if self._rate else []),
        ]

    def _connected(self, client: Node, port: int) -> bool:
        self.check()
        return _count(client.pid, port, _ESTABLISHED) > self.streams  # and one for control


def _iperf3(node: Node, arguments: list[str]) -> subprocess.Popen[str]:
    return node.popen(["nice", "iperf3", *arguments], stdout=subprocess.DEVNULL)


def _count(pid: int, port: int, state: str) -> int:
    """How many TCP sockets of that namespace have this local port and state."""
    wanted = f":{port:04X}"
    rows = [
        line.split()
        for family in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
    ]
    return sum(1 for row in rows if row[1].endswith(wanted) and row[3] == state)


def _until(condition: object, deadline: float) -> None:
    assert callable(condition)
    while not condition():
        if time.monotonic() > deadline:
            raise LabError("iperf3's streams could not all connect in time")
        time.sleep(0.02)
