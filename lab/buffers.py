"""Room for packets while a switch waits for a core.

Open vSwitch in userspace reads its ports from packet sockets, whose buffers have the kernel's
default size: 208 KiB hold about a dozen jumbo frames, so whenever one of many switches on few
cores waits for 4 ms, a full uplink loses packets behind the shaper, and BFD's with them.  While a
lab is up the default is ROOM_BYTES (over 60 ms of a full uplink); afterwards it is as before.

1. The kernel has one default for all namespaces, so this is the only thing that the lab changes
   outside of its own.
2. It is put back only where nobody else has changed it meanwhile.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOM_BYTES = 4 << 20
DEFAULT = Path("/proc/sys/net/core/rmem_default")
_RECORD = "rmem_default"


def widen(directory: Path, setting: Path = DEFAULT) -> None:
    """Make room, and note in `directory` what was there; where that is forbidden, go without."""
    before = setting.read_text()
    if int(before) >= ROOM_BYTES:
        return
    with contextlib.suppress(OSError):
        (directory / _RECORD).write_text(before)
        setting.write_text(f"{ROOM_BYTES}\n")


def restore(directory: Path, setting: Path = DEFAULT) -> None:
    """Put back what `widen` noted; harmless where it did not."""
    with contextlib.suppress(OSError):
        before = (directory / _RECORD).read_text()
        if int(setting.read_text()) == ROOM_BYTES:
            setting.write_text(before)
