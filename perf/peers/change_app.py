"""The agent for `ryu-manager`, which moves machines about and says how long its switch took.

It has one of a thousand ports' hosts, whose machines have spoken with all others, and no store: a
machine that moves is a step of the store as the core is told of it.  The time ends with the
switch's answer to a barrier behind the last flow-mod.  Then the same bytes go to the switch once
more, and are timed from their writing on: what the switch needs alone.
"""

from __future__ import annotations

import json
import os
import pathlib
import time

import agent_app
import msgspec
import workloads
from ryu.controller import ofp_event
from ryu.controller.handler import MAIN_DISPATCHER
from ryu.controller.handler import set_ev_cls as on
from ryu.lib import hub

from onehop.controller.agent import events
from onehop.controller.agent.core import Phase
from onehop.engine import openflow
from onehop.engine.model import Port

COUNTED = ("flows_modified", "flows_deleted")
agent_app.rows = lambda: workloads.keyed(
    workloads.stateless(int(os.environ["CHANGE_MACHINES"]), workloads.OTHERS)
)


class ChangeAgent(agent_app.BenchAgent):
    """Fills the switch, moves machines, writes what it found."""

    __module__ = __name__

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._answered = hub.Event()
        self._sent = bytearray()

    def start(self) -> object:
        hub.spawn(self._run)
        return super().start()

    @on(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _barrier(self, event: object) -> None:
        self._answered.set()

    def _run(self) -> None:
        runtime, core = self.runtime, self.runtime.core
        while core.phase is not Phase.LIVE:
            time.sleep(0.05)
        self._fill(int(os.environ["CHANGE_MACHINES"]))
        datapath = core.packets.datapath
        send = runtime.connection.send
        runtime.connection.send = lambda data: self._sent.extend(data) or send(data)
        found = []
        for n in range(int(os.environ["CHANGES"])):
            moved = msgspec.structs.replace(core.snapshot[Port.KIND][f"far{n}"], host="h0")
            before = datapath.counters
            self._sent.clear()
            began = time.perf_counter()
            runtime.tell(events.StoreStep(put=[moved]))
            told, again = time.perf_counter(), bytes(self._sent)
            self._wait()
            ended, after = time.perf_counter(), datapath.counters
            sent_again = time.perf_counter()
            send(again)
            self._wait()
            found.append({
                "ms": 1e3 * (ended - began), "decided_ms": 1e3 * (told - began),
                "switch_ms": 1e3 * (time.perf_counter() - sent_again),
                "touched": [after[name] - before[name] for name in COUNTED],
            })  # fmt: skip
            time.sleep(0.05)
        said = {"flows": datapath.flow_count, "changes": found}
        result = pathlib.Path(os.environ["CHANGE_RESULT"])
        result.with_suffix(".new").write_text(json.dumps(said))
        result.with_suffix(".new").rename(result)

    def _fill(self, machines: int) -> None:
        """As if every machine's packets had come from the switch."""
        runtime = self.runtime
        gateway = workloads.gateway_mac(agent_app.rows())
        numbers = {name: port.number for name, port in runtime.core.ports.items()}
        for source in range(1, machines + 1):
            asked = b"".join(
                workloads.packet_in(
                    workloads.one_pair(source, gateway, workloads.address(1, 1 + n)),
                    numbers[f"vm{source}"],
                )
                for n in range(workloads.OTHERS)
            )
            runtime.take(memoryview(asked))
            self._wait()

    def _wait(self) -> None:
        """Until the switch has done what it was told so far."""
        self._answered.clear()
        self.runtime.connection.send(openflow.barrier_request(1))
        self._answered.wait()
