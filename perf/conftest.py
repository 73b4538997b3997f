"""`meter`: what the benchmarks measure with; where it goes is said by ONEHOP_SAMPLES.

What is `long` is left out of runs without clocks.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from record import Meter, Sample, write


@pytest.fixture
def meter(benchmark: Any) -> Iterator[Meter]:
    samples: list[Sample] = []
    yield Meter(benchmark, samples)
    if "ONEHOP_SAMPLES" in os.environ:
        write(samples, pathlib.Path(os.environ["ONEHOP_SAMPLES"]))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: not in a quick run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("benchmark_disable"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
