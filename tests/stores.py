"""Clients of a store that are closed when the test that opened them ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from onehop.controller.store.client import Store

_opened: list[Store] = []


def opened(*args) -> Store:
    _opened.append(Store(*args))
    return _opened[-1]


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()
