"""What changes cost over HTTP beside so many ports: `python perf/measure_api.py [PORTS]`.

Starts a store and an API server of its own, creates PORTS ports (100 000) in bulks of 10 000, then
single ones, and prints the times and the server's memory as JSON.  The machine should have nothing
else to do.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))

from api_server import Client, api_server, onehop

from onehop.controller.store import server

BULK = 10_000
PER_BRIDGE = 100
SINGLES = 1000


def main(ports: int) -> None:
    directory = pathlib.Path(tempfile.mkdtemp(prefix="onehop-"))
    remote = f"unix:{directory / 'store.sock'}"
    server.start(directory, [remote])
    try:
        token = onehop("api", "init", "--directory", directory)
        with api_server(remote, directory) as url:
            print(json.dumps(_measure(Client(url, token), ports), indent=1))
    finally:
        server.stop(directory)


def _measure(api: Client, ports: int) -> dict[str, Any]:
    bridges = [{"name": f"b{n}"} for n in range((ports + SINGLES) // PER_BRIDGE + 1)]
    _create_s(api, "/bridges", bridges)
    bulks = [
        _create_s(api, "/ports", [_port(n) for n in range(start, start + BULK)])
        for start in range(0, ports, BULK)
    ]
    singles = sorted(_create_s(api, "/ports", _port(ports + n)) for n in range(SINGLES))
    return {
        "ports": ports,
        "bulk_of_10000_s": [round(bulk, 2) for bulk in bulks],
        "single_p50_ms": round(singles[SINGLES // 2] * 1000, 1),
        "single_p99_ms": round(singles[SINGLES * 99 // 100] * 1000, 1),
        "single_max_ms": round(singles[-1] * 1000, 1),
        "server_mb": _memory_mb(),
    }


def _memory_mb() -> int:
    """What the API server, this process's only child, has in memory at most."""
    (pid,) = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _port(number: int) -> dict[str, Any]:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    bridge = number // PER_BRIDGE
    return {"name": f"p{number}", "device": f"b{bridge}", "addresses": [address]}


def _create_s(api: Client, path: str, body: Any) -> float:
    started = time.perf_counter()
    answer = api.ask("POST", path, body)
    took = time.perf_counter() - started
    assert answer.status == 201, answer
    return took


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
