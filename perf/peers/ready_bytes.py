"""A controller that simulates nothing: what it answers is there before it is asked.

`ready_bytes.py PORT FIRST:COUNT…` has the agent's engine answer those connections while nobody
waits; then a packet-in costs one look into a dict, and the switch gets the very flow-mods and
packet-outs that the agent would send.  What is lost beside it is the switch's loss.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator

import cbench
import testbed
import workloads

from onehop.engine import openflow

HELLO = struct.pack("!BBHI", 4, cbench.HELLO, 8, 1)
ASK_FEATURES = struct.pack("!BBHI", 4, cbench.FEATURES_REQUEST, 8, 2)
ASK_PORTS = struct.pack("!BBHIHH4x", 4, cbench.MULTIPART_REQUEST, 16, 3, cbench.PORT_DESC, 0)
MISS = openflow.static_flow(openflow.STATIC | 1, 0, {}, (("controller",),))
PACKET_IN = 10
ENTRIES = 1 << 20


class Answers:
    """The answer to each connection's first packet, but for the packet itself."""

    def __init__(self, ports: dict[str, int], ranges: Iterable[tuple[int, int]]) -> None:
        path = workloads.hot_path(
            workloads.keyed(workloads.stateful(workloads.MACHINES)), entries=ENTRIES
        )
        path.set_tunnel_port(ports[testbed.TUNNEL])
        for number in range(1, workloads.MACHINES + 1):
            path.bind(f"vm{number}", ports[f"vm{number}"])
        self._ready: dict[bytes, tuple[bytes, int, bytes]] = {}
        for first, count in ranges:
            for machine, frame in testbed.connections(count, first):
                packet_in = workloads.packet_in(frame, ports[f"vm{machine}"])
                out = path.receive(packet_in, time.monotonic_ns()).out
                at = int.from_bytes(out[2:4], "big")  # behind the flow-mod
                tail = out[at + 4 : len(out) - len(frame)]
                self._ready[frame[26:36]] = out[: at + 2], 4 + len(tail), tail

    def of(self, frame: bytes) -> bytes:
        """Addresses and source port tell connections apart here."""
        head, tail_bytes, tail = self._ready.get(frame[26:36], (b"", 0, b""))
        if not head:
            return b""
        return head + (tail_bytes + len(frame)).to_bytes(2, "big") + tail + frame


def messages(sock: socket.socket) -> Iterator[list[bytes]]:
    """Whole messages, as many as come at once."""
    data = b""
    while said := sock.recv(1 << 18):
        data, at, found = data + said, 0, []
        while at + 8 <= len(data):
            end = at + (data[at + 2] << 8 | data[at + 3])
            if end > len(data):
                break
            found.append(data[at:end])
            at = end
        data = data[at:]
        yield found


def frame_of(packet_in: bytes) -> bytes:
    """OpenFlow 1.3, section 7.4.1."""
    match_bytes = packet_in[26] << 8 | packet_in[27]
    return packet_in[24 + (match_bytes + 7) // 8 * 8 + 2 :]


def ports_of(reply: bytes) -> dict[str, int]:
    """OpenFlow 1.3, sections 7.3.5.7 and 7.2.1."""
    found = (struct.unpack_from("!I12x16s", reply, at) for at in range(16, len(reply), 64))
    return {name.rstrip(b"\0").decode(): number for number, name in found}


def main(port: int, ranges: list[tuple[int, int]]) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        sock, _ = server.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HELLO + ASK_FEATURES + ASK_PORTS)
    answers: Answers | None = None
    for found in messages(sock):
        out = []
        for message in found:
            if message[1] == PACKET_IN and answers:
                out.append(answers.of(frame_of(message)))
            elif message[1] == cbench.ECHO_REQUEST:
                out.append(message[:1] + bytes([cbench.ECHO_REPLY]) + message[2:])
            elif message[1] == cbench.MULTIPART_REPLY:
                answers = Answers(ports_of(message), ranges)
                out.append(MISS)
        sock.sendall(b"".join(out))


if __name__ == "__main__":
    main(int(sys.argv[1]), [tuple(map(int, text.split(":"))) for text in sys.argv[2:]])  # type: ignore[misc]
