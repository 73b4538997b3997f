"""The flow that covers a packet, among flows of several masks, with what told so.

The peer is Open vSwitch's classifier, `ovstest test-classifier benchmark`: as many rules in as
many tables (masks), one priority, lookups with wildcards (see peers/ovs_code.py).  Its own program
draws the fields from a few values each; here every flow is another one, and so are the packets.
"""

from __future__ import annotations

import numpy as np
import ovs_code
import pytest
from record import Meter

from onehop.engine.table import KEY_BYTES, NOWHERE, Table

FLOWS = (100, 10_000, 100_000)
MASKS = (1, 8, 32)
LOOKUPS = 20_000
Rows = np.ndarray


def masks_of(count: int) -> Rows:
    """Masks of fields as the walk notes them: both addresses, and some of the others."""
    draw = np.random.default_rng(count)
    found = np.zeros((count, KEY_BYTES), np.uint8)
    found[:, 0:4] = found[:, 16:20] = found[:, 44:48] = 255  # addresses, port
    for at, len_bytes in ((32, 6), (38, 6), (48, 2), (50, 2), (52, 2), (54, 2), (56, 1), (57, 1)):
        found[:, at : at + len_bytes] = 255 * draw.integers(0, 2, (count, 1), np.uint8)
    return found


def table_of(flows: int, masks: int) -> tuple[Table, Rows, Rows]:
    draw = np.random.default_rng(flows + masks)
    keys = draw.integers(0, 256, (flows, KEY_BYTES), np.uint8)
    each = np.unique(masks_of(masks * 2), axis=0)[:masks] if masks > 1 else masks_of(1)
    assert len(each) == masks
    bits = each[draw.permutation(flows) % masks]
    table = Table(flows)
    numbers = table.add(keys, bits)
    assert len(np.unique(numbers)) == flows
    return table, keys, numbers


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("flows", FLOWS)
def test_lookup(meter: Meter, flows: int, masks: int) -> None:
    table, keys, numbers = table_of(flows, masks)
    draw = np.random.default_rng(7)
    which = draw.integers(0, flows, LOOKUPS)
    packets = keys[which]
    found, consulted = table.cover(packets)
    assert (found == numbers[which]).all()
    assert consulted[:, 0:4].all()
    strange, _ = table.cover(draw.integers(0, 256, (1000, KEY_BYTES), np.uint8))
    assert (strange == NOWHERE).all()
    meter.time("flow lookup", lambda: table.cover(packets), n=LOOKUPS, unit="/s", rounds=15,
               flows=flows, masks=masks)  # fmt: skip


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("flows", FLOWS)
def test_ovs_classifier(meter: Meter, flows: int, masks: int) -> None:
    def note() -> None:
        rate, told = ovs_code.classifier(flows, masks)
        meter.note("flow lookup", rate, "/s", who="OVS classifier", note=told, flows=flows,
                   masks=masks)  # fmt: skip

    meter.once(note)
