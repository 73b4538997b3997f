"""The protocol between agents, over a pipe in memory that loses connections when it likes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from onehop.controller.agent import peer_frames as frames
from onehop.controller.agent.peer_frames import ChannelError
from onehop.controller.agent.peer_link import SILENCE_NS, Accepter, Arrived, Inbox, Opener, Self
from onehop.controller.agent.peer_outbox import PAYLOAD_BYTES, Outbox
from onehop.controller.agent.peer_wire import WRITE_BYTES, Wire

TOKEN = b"a token that all agents know"
C1, C2 = Self("c1", TOKEN, b"first"), Self("c2", TOKEN, b"second")


def nothing() -> Iterator[bytes]:
    return iter(())


class Pair:
    """c1 tells c2; connections come and go, outbox and inbox stay."""

    def __init__(self, outbox: Outbox | None = None, *, c1: Self = C1, c2: Self = C2) -> None:
        self.outbox = Outbox(nothing) if outbox is None else outbox
        self.c1, self.c2 = c1, c2
        self.inbox: Inbox | None = Inbox()
        self.merged: list[bytes] = []
        self.wanted = self.told_all = 0
        self.connect()

    def connect(self) -> None:
        """The old connection is lost, with all that was under way."""
        self.opener = Opener(self.c1, "c2", self.outbox, bytes(32), 0)
        self.accepter = Accepter(self.c2, lambda host: self.inbox, bytes(range(32)), 0)

    def forth(self, most: int = 1 << 30) -> int:
        """At most so many bytes arrive at c2."""
        self.opener.pull()
        data = bytes(self.opener.out[:most])
        del self.opener.out[:most]
        self._merge(self.accepter.receive(data, 0))
        return len(data)

    def back(self, most: int = 1 << 30) -> int:
        data = bytes(self.accepter.out[:most])
        del self.accepter.out[:most]
        self.opener.receive(data, 0)
        return len(data)

    def converse(self) -> Pair:
        while self.forth() + self.back():
            pass
        return self

    def _merge(self, arrived: list[Arrived]) -> None:
        self.merged += [told.payload for told in arrived if told.kind == frames.STATE]
        self.wanted += sum(told.kind == frames.WANT for told in arrived)
        self.told_all += sum(told.kind == frames.DONE for told in arrived)
        if arrived:
            self.accepter.confirm(arrived[-1].number)


def test_state_arrives_in_its_order_and_is_confirmed():
    pair = Pair()
    for said in (b"one", b"two", b"three"):
        pair.outbox.put(said)
    pair.converse()
    assert pair.merged == [b"one", b"two", b"three"]
    assert len(pair.outbox) == pair.outbox.queued_bytes == 0


def test_frames_may_come_byte_by_byte():
    pair = Pair()
    pair.outbox.put(b"one")
    while pair.forth(1) + pair.back(1):
        pass
    assert pair.merged == [b"one"]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_said_twice_however_often_the_connection_breaks(seed):
    chance = random.Random(seed)
    pair = Pair()
    said = [f"{number}".encode() * chance.randint(1, 50) for number in range(200)]
    for payload in said:
        pair.outbox.put(payload)
        pair.forth(chance.randint(0, 400))
        pair.back(chance.randint(0, 400))
        if chance.random() < 0.05:
            pair.connect()
    pair.converse()
    assert pair.merged == said
    assert not len(pair.outbox)


def test_peer_that_starts_again_hears_what_it_has_not_confirmed():
    pair = Pair().converse()
    pair.outbox.put(b"one")
    pair.opener.pull()  # written, and then nobody was there
    pair.inbox, pair.c2 = Inbox(), Self("c2", TOKEN, b"third")
    pair.connect()
    assert pair.converse().merged == [b"one"]


def test_numbers_begin_anew_with_a_new_process():
    pair = Pair()
    pair.outbox.put(b"one")
    pair.outbox.put(b"two")
    pair.converse()
    pair.outbox, pair.c1 = Outbox(nothing), Self("c1", TOKEN, b"fourth")
    pair.outbox.put(b"three")
    pair.connect()
    assert pair.converse().merged == [b"one", b"two", b"three"]


def test_new_process_tells_everything_piece_by_piece():
    pieces = [bytes([number]) * 1000 for number in range(100)]
    pair = Pair(Outbox(lambda: iter(pieces), limit_bytes=10_000))
    assert pair.converse().merged == pieces
    assert pair.outbox.counters["state_resyncs"] == 1
    assert pair.told_all == 1
    assert pair.outbox.counters["state_messages_dropped"] == 0


def test_full_queue_drops_the_oldest_and_tells_everything_once_it_can():
    pair = Pair(Outbox(lambda: iter([b"everything"]), limit_bytes=1000))
    for number in range(100):
        pair.outbox.put(bytes([number]) * 100)
        pair.opener.pull()
        assert pair.outbox.queued_bytes <= 1000
    pair.converse()
    assert pair.outbox.counters["state_messages_dropped"] == 90
    assert pair.merged == [*(bytes([n]) * 100 for n in range(90, 100)), b"everything"]


def test_want_is_heard_once_however_often_it_was_said():
    pair = Pair()
    pair.outbox.want()
    pair.outbox.want()
    assert pair.converse().wanted == 1
    pair.outbox.want()
    assert pair.converse().wanted == 2


def test_token_that_differs_is_refused_by_both_ends():
    pair = Pair(c2=Self("c2", b"quite another token", b"second"))
    pair.outbox.put(b"secret")
    pair.forth()
    with pytest.raises(ChannelError, match="token"):
        pair.back()
    assert b"secret" not in pair.opener.out
    pair = Pair()
    pair.forth()
    with pytest.raises(ChannelError, match="'c1': its token is another one"):
        pair.accepter.receive(frames.frame(frames.PROOF, bytes(32)), 0)
    assert not pair.accepter.peer


def test_proof_of_another_conversation_is_refused():
    pair = Pair().converse()
    recorded = Opener(C1, "c2", Outbox(nothing), bytes(32), 0)
    spoken = bytes(recorded.out)
    recorded.receive(_answer(spoken, bytes(range(32))), 0)
    proof = bytes(recorded.out[len(spoken) :])
    again = Accepter(C2, lambda host: Inbox(), bytes(reversed(range(32))), 0)
    again.receive(spoken, 0)
    with pytest.raises(ChannelError, match="token"):
        again.receive(proof, 0)
    assert pair.accepter.peer == "c1"


def _answer(spoken: bytes, nonce: bytes) -> bytes:
    accepter = Accepter(C2, lambda host: Inbox(), nonce, 0)
    accepter.receive(spoken, 0)
    return bytes(accepter.out)


def test_frame_that_was_changed_on_its_way_is_refused():
    pair = Pair().converse()
    pair.outbox.put(b"one")
    pair.opener.pull()
    pair.opener.out[-1] ^= 1
    with pytest.raises(ChannelError, match="code"):
        pair.forth()


def test_frame_that_is_said_twice_is_refused():
    pair = Pair().converse()
    pair.outbox.put(b"one")
    pair.opener.pull()
    pair.opener.out += bytes(pair.opener.out)
    with pytest.raises(ChannelError, match="code"):
        pair.forth()


def test_host_that_is_not_in_the_topology_is_refused():
    pair = Pair()
    pair.inbox = None
    with pytest.raises(ChannelError, match="'c1' is not in the topology"):
        pair.converse()


def test_host_that_another_one_answers_for_is_refused():
    pair = Pair(c2=Self("c3", TOKEN, b"second"))
    with pytest.raises(ChannelError, match="'c1' looks for 'c2'"):
        pair.converse()


def test_later_minor_version_may_say_more(monkeypatch):
    pair = Pair().converse()
    pair.opener._say(99, b"a frame that nobody knows yet")
    pair.outbox.put(b"one")
    assert pair.converse().merged == [b"one"]
    told = frames.msgspec.msgpack.decode(_body_of_hello())
    told |= {"minor": 7, "colour": "green"}
    assert frames.hello(frames.msgspec.msgpack.encode(told)).minor == 7


def test_another_major_version_is_refused_in_words():
    told = frames.msgspec.msgpack.decode(_body_of_hello()) | {"major": 2}
    with pytest.raises(ChannelError, match="version 2, this agent 1"):
        frames.hello(frames.msgspec.msgpack.encode(told))


def _body_of_hello() -> bytes:
    splitter = frames.Splitter()
    splitter.feed(bytes(Pair().opener.out))
    return splitter.next().body


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_refused_or_waited_for_and_nothing_else(seed):
    noise = random.Random(seed).randbytes(5000)
    for data in (noise, frames.frame(frames.HELLO, noise[:100]), bytes(5) + noise):
        accepter = Accepter(C2, lambda host: Inbox(), bytes(32), 0)
        with pytest.raises(ChannelError):
            accepter.receive(data, 0)


def test_end_that_hears_nothing_gives_up():
    pair = Pair().converse()
    pair.opener.tick(SILENCE_NS)
    with pytest.raises(ChannelError, match="does not answer"):
        pair.opener.tick(SILENCE_NS + 1)
    pair.accepter.tick(SILENCE_NS)
    with pytest.raises(ChannelError, match="silent"):
        pair.accepter.tick(SILENCE_NS + 1)


def test_ping_is_answered_when_there_is_nothing_to_say():
    pair = Pair().converse()
    pair.opener.tick(SILENCE_NS)
    assert pair.forth() and pair.back()


def test_message_that_is_too_long_for_a_frame_comes_with_everything():
    pair = Pair(Outbox(lambda: iter([b"everything"])))
    pair.converse()
    pair.outbox.put(bytes(PAYLOAD_BYTES + 1))
    pair.outbox.put(bytes(PAYLOAD_BYTES))
    pair.converse()
    assert pair.merged == [b"everything", bytes(PAYLOAD_BYTES), b"everything"]


class Pit:
    """A socket that takes whatever it is given."""

    taken = 0

    def send(self, data: bytearray) -> int:
        self.taken += len(data)
        return len(data)


def test_one_write_does_not_go_on_until_everything_is_told():
    piece = bytes(WRITE_BYTES // 4)
    pair = Pair(Outbox(lambda: iter([piece] * 12))).converse()
    pair.connect()
    pair.outbox.resync()
    pair.forth()
    pair.back()
    pair.forth()  # proven; nothing of everything yet
    pit = Pit()
    wire = Wire(pit, pair.opener)  # type: ignore[arg-type]
    pair.back()
    wire.write()
    assert WRITE_BYTES <= pit.taken < 3 * WRITE_BYTES
    assert wire.is_behind
    while wire.is_behind:
        wire.write()
    assert pit.taken > 12 * len(piece)
