"""What a connection costs: entries, memory, messages to other hosts. Golden counts, exact.

`python tests/test_state_counts.py` shows them, and writes the file anew after a change that is
meant. A frame puts 29 bytes around each message.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from rig import GATEWAY, VM1, datagram
from ryu.lib.packet import udp
from test_connections import ACK, SYN, SYN_ACK, VM2, Host, back, guarded, there
from test_nat_hot_path import FAR, UPLINK, answer, headers, translating

from onehop.engine import model
from onehop.engine.states import Entry, States, bytes_for, message

FILE = pathlib.Path(__file__).parent / "counts" / "state.json"
CONNECTIONS = 100
Counts = dict[str, float]
Step = tuple[Host, int, bytes]


class Ledger:
    """Two hosts, and what they tell each other."""

    def __init__(self, rows: list[model.Resource]) -> None:
        self.one, self.two = Host("h1", rows), Host("h2", rows)
        self.two.datapath.bind("up1", UPLINK)
        self.messages = self.bytes = 0

    def send(self, host: Host, data: bytes, port: int) -> bytes:
        """A packet comes in, and goes on; who has to hear of it has."""
        (out,) = host.send(data, port)
        self.messages += len(host.told)
        self.bytes += sum(len(told) for _, told in host.told)
        for other in {self.one, self.two} - {host}:
            other.hear(host)
        host.told.clear()
        return out.data

    def counts(self) -> Counts:
        entries = len(self.one.entries()) / CONNECTIONS
        assert len(self.two.entries()) == len(self.one.entries()), "both know the same"
        return {
            "entries": entries,
            "memory_bytes": entries * entry_bytes(),
            "messages": self.messages / CONNECTIONS,
            "message_bytes": self.bytes / CONNECTIONS,
        }


def entry_bytes() -> float:
    """Of a table that is full."""
    size = bytes_for(3 << 14)
    table = States(buffer=bytearray(size))
    numbers = iter(range(1 << 20))
    while table.insert(entry(next(numbers)), 0):
        pass
    return size // len(table)


def entry(number: int) -> Entry:
    return Entry("connection", 7, 17, f"10.0.{number >> 8 & 255}.{number & 255}", number >> 16,
                 "192.0.2.7", 53)  # fmt: skip


def udp_between_guarded_machines() -> Counts:
    ledger = Ledger(guarded())
    for port in range(1000, 1000 + CONNECTIONS):
        ledger.send(ledger.one, there(udp.udp(port, 2000)), VM1)
        ledger.send(ledger.two, back(udp.udp(2000, port)), VM2)
    return ledger.counts()


def tcp_between_guarded_machines() -> Counts:
    ledger = Ledger(guarded())
    for port in range(1000, 1000 + CONNECTIONS):
        for host, at, segment in (
            (ledger.one, VM1, there(SYN)),
            (ledger.two, VM2, back(SYN_ACK)),
            (ledger.one, VM1, there(ACK)),
        ):
            ledger.send(host, with_port(segment, port), at)
    return ledger.counts()


def udp_to_the_outside_through_snat() -> Counts:
    return outbound([])


def udp_to_the_outside_through_snat_by_two_gateways() -> Counts:
    """Both uplinks' hosts hear, as either may get the answers."""
    return outbound([model.PortGroup(name="edge", ports=("up1", "up2"), stateful=True)])


def outbound(more: list[model.Resource]) -> Counts:
    ledger = Ledger([*translating(CONNECTIONS), *more])
    for port in range(1000, 1000 + CONNECTIONS):
        sent = ledger.send(ledger.one, datagram(GATEWAY, FAR, src_port=port), VM1)
        public = headers_of(sent)
        ledger.send(ledger.two, answer(ledger.two, public), UPLINK)
    return ledger.counts()


def headers_of(data: bytes) -> int:
    from fake_switch import Out

    return int(headers(Out(0, data))[2].src_port)


def with_port(segment: bytes, port: int) -> bytes:
    """Of vm1, in a segment from it or to it; the checksum is nobody's business here."""
    from_vm1 = segment[26:30] == bytes([10, 0, 0, 1])
    at = 34 if from_vm1 else 36
    return segment[:at] + port.to_bytes(2, "big") + segment[at + 2 :]


def one_entry_of_ipv4() -> Counts:
    return {"message_bytes": len(message([entry(1), entry(2)])) - len(message([entry(1)]))}


def one_entry_of_ipv6() -> Counts:
    six = Entry("connection", 7, 17, "fd00::1", 1, "fd00::2", 53)
    return {"message_bytes": len(message([six, entry(1)])) - len(message([entry(1)]))}


def an_entry_in_memory() -> Counts:
    return {"memory_bytes": entry_bytes()}


WHAT: tuple[Callable[[], Counts], ...] = (
    an_entry_in_memory,
    one_entry_of_ipv4,
    one_entry_of_ipv6,
    udp_between_guarded_machines,
    tcp_between_guarded_machines,
    udp_to_the_outside_through_snat,
    udp_to_the_outside_through_snat_by_two_gateways,
)


@pytest.mark.parametrize("what", WHAT, ids=lambda what: what.__name__)
def test_a_connection_costs_what_it_should(what: Callable[[], Counts]) -> None:
    assert what() == json.loads(FILE.read_text())[what.__name__]


if __name__ == "__main__":
    found = {what.__name__: what() for what in WHAT}
    FILE.write_text(json.dumps(found, indent=2) + "\n")
    print(FILE.read_text(), end="")
