"""Fixtures of the functional tests: they need root, Open vSwitch and FRR."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from functional.nodes import Net


@pytest.fixture
def net() -> Iterator[Net]:
    with contextlib.ExitStack() as stack:
        yield Net(stack)
