"""Enter another process's network namespace for a moment, in this thread only.

A socket belongs to the namespace that it was made in, so `with inside(pid): socket.socket()`
gives a socket of that network that can be used anywhere afterwards.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """Be in the network of process `pid` until the block ends."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(f"/proc/{pid}/ns/net")
        try:
            yield
        finally:
            _set(back)
    finally:
        os.close(back)


def _enter(path: str) -> None:
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(there)
    finally:
        os.close(there)


def _set(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):  # os.setns came with Python 3.12
        raise OSError(ctypes.get_errno(), "setns")
