"""The file that a host's memory of connections lives in, mapped, so that it outlives the agent.

1. Entries are written by being changed: there is nothing to flush, and nothing is lost when the
   agent is killed.
2. Times in it are the kernel's since its boot; so a file of an earlier boot is not taken up.
3. A file of another size is one of other settings: begun anew.
"""

from __future__ import annotations

import mmap
import os
import pathlib

BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")


def open_memory(run_dir: str, host: str, size_bytes: int) -> mmap.mmap:
    """The memory of this boot; zeros where there was none."""
    directory = pathlib.Path(run_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"state-{host}-{BOOT_ID.read_text()[:8]}"
    for other in directory.glob(f"state-{host}-????????"):
        if other != path:
            other.unlink()
    return _mapped(path, size_bytes)


def _mapped(path: pathlib.Path, size_bytes: int) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_size != size_bytes:
            os.ftruncate(file, 0)
            os.ftruncate(file, size_bytes)
        return mmap.mmap(file, size_bytes)
    finally:
        os.close(file)
