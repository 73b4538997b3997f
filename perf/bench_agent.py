"""The agent's loop over TCP: packet-ins of distinct connections in, flow-mods and packet-outs out.

The peer is Ryu's own `simple_switch_13` under the same `ryu-manager`, asked by the same switch: it
knows both MACs, so it answers every packet with a flow-mod and a packet-out, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import cbench
import frames
import networks
import pytest
import workloads
from cbench import Result, Switch
from networks import mac, udp
from record import Meter

from onehop.controller.agent.desired import TUNNEL_DEVICE

RUNS = 3
ENTRIES = 1 << 20
DEVICES = {f"vm{n}": n for n in range(1, workloads.MACHINES + 1)} | {TUNNEL_DEVICE: 1000}


def tell(meter: Meter, who: str, runs: list[Result]) -> None:
    """The median run, by the wall's clock; and by the controller's own CPU time."""
    rates = sorted(run.answered / run.seconds for run in runs)
    meter.note("agent", rates[len(rates) // 2], "/s", who=who, spread=rates[-1] - rates[0],
               rounds=len(runs), connections=runs[0].answered)  # fmt: skip
    busy = sorted(run.answered / max(run.cpu_seconds, 0.01) for run in runs)
    meter.note("agent, of its own CPU time", busy[len(busy) // 2], "/s", who=who,
               rounds=len(runs), connections=runs[0].answered)  # fmt: skip


@pytest.mark.parametrize(
    "connections", (2500, 10_000, pytest.param(40_000, marks=pytest.mark.long))
)
def test_agent(meter: Meter, connections: int) -> None:
    def run() -> None:
        tell(meter, "onehop", [agent(connections) for _ in range(RUNS)])

    meter.once(run)


def agent(count: int) -> Result:
    port = cbench.free_port()
    stream = packet_ins(count + 1)
    settings = {"ONEHOP_HOST": "h1", "ONEHOP_LISTEN": f"127.0.0.1:{port}",
                "ONEHOP_STATE_ENTRIES": str(ENTRIES)}  # fmt: skip
    with cbench.controller("agent_app", port, **settings) as pid:
        switch = Switch(port, DEVICES)
        assert switch.is_answered(next(stream), 30), "the agent does not come to life"
        result = switch.run(list(stream), pid)
        switch.close()
    assert result.answered == count
    return result


def packet_ins(count: int) -> Iterator[bytes]:
    """Connections of all machines in turn, so that no port's share is used up."""
    resources = workloads.stateful(workloads.MACHINES)
    gateway = workloads.gateway_mac(resources)
    for n in range(count):
        machine = 1 + n % workloads.MACHINES
        dst = f"198.51.100.{1 + n % 200}"
        ip = udp(workloads.address(0, machine), dst, sport=1024 + n // 200, dport=53)
        frame = frames.ip_frame(gateway, workloads.mac(machine), ip)
        yield workloads.packet_in(frame.encode(), machine)


def test_simple_switch(meter: Meter) -> None:
    def run() -> None:
        tell(meter, "simple_switch_13", [simple_switch(4000) for _ in range(RUNS)])

    meter.once(run)


def simple_switch(count: int) -> Result:
    port = cbench.free_port()
    ip = udp("10.0.0.2", "10.0.0.1")
    back = workloads.packet_in(frames.ip_frame(mac(1), mac(2), ip).encode(), 2)
    there = [
        workloads.packet_in(
            frames.ip_frame(mac(2), mac(1), udp("10.0.0.1", "10.0.0.2", sport=1024 + n)).encode()
        )
        for n in range(count + 1)
    ]
    with cbench.controller("ryu.app.simple_switch_13", port) as pid:
        switch = Switch(port, {"eth1": 1, "eth2": 2})
        assert switch.is_flooded(back, 10), "it does not learn"
        assert switch.is_answered(there.pop(), 10)
        result = switch.run(there, pid)
        switch.close()
    assert result.answered == count
    return result


def test_every_packet_in_is_of_another_connection() -> None:
    assert len(set(packet_ins(3000))) == 3000
    assert networks.mac(1) == workloads.mac(1)
