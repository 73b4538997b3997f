"""Open vSwitch's own C code, where it is there: `ovstest`, which Debian does not package.

It is built from Open vSwitch's source outside this repository (docs/performance.md says how) and
found by `ONEHOP_OVSTEST` or in the path.  Without it the figures are those that were measured once
on an idle machine of this kind, and say so.

Its clock is the wall's; what it used of the CPU is put in its place, as for everything else here.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time

ELSEWHERE = {"inserts": 3.9e6, "lookups": 10e6, "classifier": 2.6e6}
LABEL = "measured once elsewhere, not in this run: no ovstest here"
PACKETS, LOOKUPS = 1_000_000, 1_000_000


def found() -> str | None:
    return os.environ.get("ONEHOP_OVSTEST") or shutil.which("ovstest")


def conntrack(what: str) -> tuple[float, str]:
    """Packets a second by one thread in batches of 32: "inserts" of connections or "lookups"."""
    program = found()
    if program is None:
        return ELSEWHERE[what], LABEL
    changes = str(int(what == "inserts"))
    command = ("test-conntrack", "benchmark", "1", str(PACKETS), "32", changes)
    said, busy = _run(program, *command)
    (took_ms,) = map(float, re.findall(r"conntrack: +(\d+) ms", said))
    return PACKETS / (took_ms / 1e3 * busy), "ovstest test-conntrack, in this run"


def classifier(flows: int, masks: int, priorities: int = 1) -> tuple[float, str]:
    """Lookups a second with wildcard tracking, of one thread."""
    program = found()
    if program is None:
        return ELSEWHERE["classifier"], LABEL
    sizes = flows, priorities, masks, 1, LOOKUPS
    said, busy = _run(program, "test-classifier", "benchmark", *map(str, sizes))
    _, took_ms = map(float, re.findall(r"classifier lookups: +(\d+) ms", said))
    return LOOKUPS / (took_ms / 1e3 * busy), "ovstest test-classifier, in this run"


def _run(*command: str) -> tuple[str, float]:
    """What it says, and which part of the time it had a CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    took = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run.stdout, min(1.0, used / took)
