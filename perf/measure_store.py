"""How long nothing can be written when a leader dies: `python perf/measure_store.py [KILLS]`.

Three servers of a store's cluster on this machine, one client that writes without a pause, and
every time the leader is killed the time from the kill to the next write that is accepted.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

from onehop.controller import objects
from onehop.controller.store import cluster, server
from onehop.controller.store.client import Store
from onehop.engine.model import Bridge

SERVERS = 3
SETTLE_S = 3.0  # between two kills


def main(kills: int) -> None:
    base = pathlib.Path(tempfile.mkdtemp(prefix="onehop-"))
    places = [base / f"s{n}" for n in range(SERVERS)]
    try:
        _start_all(places)
        accepted, gaps_ms = _measure(places, kills)
        store = Store(_remotes(places))
        store.until_connected(30)
        held = {bridge.name for bridge in store.topology().bridges}
        store.close()
        print(json.dumps({
            "kills": kills, "gaps_ms": gaps_ms, "accepted": len(accepted),
            "lost": len(set(accepted) - held), "not_accepted_but_there": len(held - set(accepted)),
        }, indent=1))  # fmt: skip
    finally:
        for place in places:
            server.stop(place)


def _start_all(places: list[pathlib.Path]) -> None:
    raft = [f"unix:{place}/raft.sock" for place in places]
    for n, place in enumerate(places):
        if n == 0:
            cluster.create(place, raft[0])
        else:
            cluster.join(place, raft[n], raft[:1])
        server.start(place, [_remotes([place])])
    while any(cluster.status(place).status != "cluster member" for place in places):
        time.sleep(0.05)


def _remotes(places: list[pathlib.Path]) -> str:
    return ",".join(f"unix:{place}/store.sock" for place in places)


def _measure(places: list[pathlib.Path], kills: int) -> tuple[list[str], list[int]]:
    accepted: list[str] = []
    times: list[float] = []
    ending = threading.Event()

    def write() -> None:
        store = Store(_remotes(places))
        while not ending.is_set():
            name = f"b{len(accepted)}"
            store.change(objects.create_decision([Bridge(name=name)]), 60)
            accepted.append(name)
            times.append(time.monotonic())
        store.close()

    writer = threading.Thread(target=write)
    writer.start()
    killed = []
    for _ in range(kills):
        time.sleep(SETTLE_S)
        leader = next(place for place in places if cluster.status(place).role == "leader")
        pid = server.running(leader)
        assert pid is not None
        killed.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        time.sleep(SETTLE_S)
        server.start(leader, [_remotes([leader])])
    ending.set()
    writer.join()
    return accepted, [_gap_ms(times, at) for at in killed]


def _gap_ms(times: list[float], at: float) -> int:
    """From the kill to the next write; one that was on its way at the kill does not count."""
    gaps = [(later - earlier, later) for earlier, later in zip(times, times[1:], strict=False)
            if at - 1 <= earlier <= at + SETTLE_S]  # fmt: skip
    return round((max(gaps)[1] - at) * 1000)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
