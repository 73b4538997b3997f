"""Clients of the store for commands: one for each command, or one for many in `keeping`.

1. A client is kept only while all goes well: after an error that is not about what the user gave,
   the next command gets a new one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onehop.controller.errors import InputError
from onehop.engine.model import ModelError

if TYPE_CHECKING:
    from onehop.controller.store.client import Store

Clients = dict[str, "Store"]  # by address

_kept: Clients | None = None  # None: each command has its own


@contextlib.contextmanager
def keeping() -> Iterator[Clients]:
    """Let the commands that run in it share their clients, which are told."""
    global _kept
    _kept = {}
    try:
        yield _kept
    finally:
        for client in _kept.values():
            client.close()
        _kept = None


@contextlib.contextmanager
def opened(remote: str, timeout_s: float) -> Iterator[Store]:
    """A client of the store, connected."""
    from onehop.controller.store.client import Store

    client = (_kept or {}).pop(remote, None) or Store(remote)
    keeps = False
    try:
        client.until_connected(timeout_s)
        yield client
        keeps = _kept is not None
    except (InputError, ModelError):
        keeps = _kept is not None
        raise
    finally:
        if keeps and _kept is not None:
            _kept[remote] = client
        else:
            client.close()
