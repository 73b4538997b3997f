"""Entering a network namespace: all that a process without eventlet needs of `namespaces`."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/run/netns")  # where iproute2 keeps namespaces by name
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def entered(namespace: str | Path) -> Iterator[None]:
    """Make a namespace (a name, or a path to one) this thread's own for a moment."""
    with contextlib.ExitStack() as stack:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, here)
        there = os.open(ROOT / namespace, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, there)
        _setns(there)
        stack.callback(_setns, here)
        yield


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
