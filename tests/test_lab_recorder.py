"""What happened when, as scenarios record it."""

from __future__ import annotations

from typing import cast

import pytest

from onehop.lab.meter import Meter, Sample
from onehop.lab.recorder import Recorder
from onehop.lab.screen import Screen


class NoMeter:
    """No load."""

    def sample(self) -> Sample:
        return Sample(at_ns=0, received_bytes=0, wires={})


@pytest.fixture
def recorder() -> Recorder:
    screen = cast("Screen", type("Silent", (), {"event": lambda self, what: None})())
    return Recorder(cast("Meter", NoMeter()), screen, lambda: None)


def test_what_breaks_is_told_with_the_event_before_it(recorder: Recorder) -> None:
    first = recorder.event("g1 stopped") / 1e9
    second = recorder.event("g2 stopped") / 1e9
    times = [first - 1, second + 1, second + 2]
    assert recorder.after(times) == {"the start": 1, "g2 stopped": 2}
