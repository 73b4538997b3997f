"""The flow that covers a packet is one that a search of all flows finds too."""

from __future__ import annotations

import numpy as np
import pytest

from onehop.engine.table import KEY_BYTES, NOWHERE, Table

Rows = np.ndarray


ADDRESSES = (0, 1, 2, 3, 16, 17)  # bytes of a key
PORT, REST = (44, 45), (32, 40, 49, 52, 56, 57, 58, 62)
PLACES = {"where": ADDRESSES, "what": PORT[:1] + REST, "both": ADDRESSES[:3] + PORT + REST[:3]}


def drawn(seed: int, n: int, masks: int, where: str = "both") -> tuple[Rows, Rows]:
    """Keys of few values, so that some are alike, and masks of whole bytes."""
    draw = np.random.default_rng(seed)
    keys = draw.integers(0, 3, (n, KEY_BYTES), np.uint8)
    some = np.zeros((masks, KEY_BYTES), np.uint8)
    some[:, PLACES[where]] = 255 * draw.integers(0, 2, (masks, len(PLACES[where])), np.uint8)
    return keys, some[draw.integers(0, masks, n)]


def slow(keys: Rows, masks: Rows, packet: Rows) -> set[int]:
    return set(np.flatnonzero(((keys & masks) == (packet & masks)).all(axis=1)))


@pytest.mark.parametrize("masks", (1, 2, 8, 32, 200))
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_found_like_by_asking_every_flow(seed: int, where: str, masks: int) -> None:
    keys, bits = drawn(seed, 200, masks, where)
    table = Table(1000, seed=seed)
    numbers = table.add(keys, bits)
    gone = numbers[::3]
    table.remove(gone)
    left = ~np.isin(numbers, gone)
    packets, _ = drawn(seed + 100, 300, 1)
    found, consulted = table.cover(packets)
    for packet, flow, bits_seen in zip(packets, found, consulted, strict=True):
        right = {numbers[i] for i in slow(keys, bits, packet) if left[i]}
        assert flow in right if right else flow == NOWHERE
        alone, mask_alone = table.cover(packet.reshape(1, -1))
        assert alone == flow
        assert (mask_alone == bits_seen).all()
        others = np.random.default_rng(1).integers(0, 3, (20, KEY_BYTES), np.uint8)
        alike = packet & bits_seen | others & ~bits_seen
        same, _ = table.cover(alike)
        assert (same == flow).all()


def test_flows_that_went_are_forgotten() -> None:
    keys, bits = drawn(1, 3000, 4)
    table = Table(10_000)
    for _ in range(5):
        numbers = table.add(keys, bits)
        found, _ = table.cover(keys)
        assert (found != NOWHERE).all()
        table.remove(numbers)
        found, consulted = table.cover(keys)
        assert (found == NOWHERE).all()
        assert not consulted.any()


@pytest.mark.parametrize(("count", "seeds"), ((100, range(100)), (3000, range(4))))
def test_flows_come_and_go_in_any_order(count: int, seeds: range) -> None:
    """Also while what finds them is growing; of few flows, all are asked for at each step."""
    bits = np.full((count, KEY_BYTES), 255, np.uint8)
    for seed in seeds:
        keys = np.random.default_rng(seed).integers(0, 256, (count, KEY_BYTES), np.uint8)
        table, held = Table(count, seed=seed), {}
        for n, at in enumerate(np.random.default_rng(seed).integers(0, count, 3 * count)):
            if at in held:
                table.remove(np.array([held.pop(at)], np.uint32))
            else:
                (held[at],) = table.add(keys[at : at + 1], bits[at : at + 1])
            if count == 100 or n % 200 == 0:
                found, _ = table.cover(keys)
                assert found.tolist() == [held.get(at, NOWHERE) for at in range(count)]


def test_a_table_keeps_what_it_holds_while_it_grows() -> None:
    """Far beyond where arrays get pages of their own."""
    keys, bits = distinct(70_000), np.full((70_000, KEY_BYTES), 255, np.uint8)
    table = Table(len(keys))
    numbers = np.concatenate(
        [table.add(keys[at : at + 1000], bits[at : at + 1000]) for at in range(0, len(keys), 1000)]
    )
    found, _ = table.cover(keys)
    assert (found == numbers).all()
    assert len(np.unique(numbers)) == len(keys)


def distinct(n: int) -> Rows:
    keys = np.zeros((n, KEY_BYTES), np.uint8)
    keys[:, 48:52] = np.arange(n, dtype="<u4").view("u1").reshape(-1, 4)
    return keys


def test_a_full_table_takes_no_more() -> None:
    keys, bits = drawn(1, 300, 1)
    bits[:] = 255
    numbers = Table(100).add(keys, bits)
    assert (numbers != NOWHERE).sum() == 100
    assert (numbers[100:] == NOWHERE).all()


def test_keys_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="bytes a row"):
        Table(1).cover(np.zeros((1, KEY_BYTES + 1), np.uint8))
