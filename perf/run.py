"""`make bench`, `make bench-quick`: run the suites, and say which targets are met.

The engine's suites are timed by the CPU time that they use, so that what else the machine does
disturbs them least; those of the agent run on the wall's clock, for they are several processes.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import report
from record import read
from targets import TARGETS, against_the_smallest, find

HERE = pathlib.Path(__file__).parent
REPORTS = HERE.parent / "reports"
SAMPLES = HERE.parent / "build" / "samples.jsonl"


def main(arguments: list[str]) -> int:
    where = {"load_before": os.getloadavg(), "quick": "--quick" in arguments}
    SAMPLES.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--benchmark-only",
               "--benchmark-timer=time.process_time", "--benchmark-quiet",
               "--benchmark-disable-gc", "--timeout=600"]  # fmt: skip
    command += ["-m", "not long"] if where["quick"] else []
    command += [a for a in arguments if a != "--quick"] or [str(HERE)]
    failed = subprocess.run(
        command, env={**os.environ, "ONEHOP_SAMPLES": str(SAMPLES)}, check=False
    ).returncode
    where |= report.machine()
    samples = list(read(SAMPLES))
    samples += against_the_smallest(samples)
    findings = [find(target, samples) for target in TARGETS]
    report.save(findings, samples, where, REPORTS)
    report.draw(samples, REPORTS)
    report.show(findings, where)
    print(f"reports/bench.json, and {len(list(REPORTS.glob('bench-*.png')))} charts beside it")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
