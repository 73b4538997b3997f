"""Bring the lab up, change it while it runs, take it down.

Up, in this order (those of one line side by side):
1. claim the directory, which only one lab can have
2. Mininet's nodes and wires, kept by the holder
3. the hosts' switches · the outside router · the store, with the topology applied
4. the agents, until each says that it forwards
5. the machines' addresses and routers, where a subnet tells them
6. packets of every machine through every gateway

Down needs no record of what was started: whatever carries the lab's mark is killed, and the
namespaces end with their processes.
"""

from __future__ import annotations

import os
import pathlib
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import msgspec

from onehop.engine import model
from onehop.lab import buffers, checks, dhcp, outside, processes, state, stores
from onehop.lab.hosts import PEER_TOKEN, Host, command_line
from onehop.lab.lab import Lab
from onehop.lab.progress import Stages
from onehop.lab.state import LabError, LabState, Options, Platform
from onehop.lab.topo import Machine, Plan, generate, plan

PARALLEL = 4  # more only wait for each other on two cores
READY_S = 60.0
DOWN_S = 15.0
MOUNT_POINTS = ("/run/openvswitch", "/run/onehop", "/run/netns")


def up(
    options: Options,
    platform: Platform,
    topology: model.Topology,
    directory: pathlib.Path,
    stages: Stages,
) -> Lab:
    """A lab that carries traffic, in a claimed `directory`."""
    (directory / "topology.yaml").write_text(model.dump(topology))
    lab = hold(options, platform, plan(topology), directory, stages)
    boot(lab, plan(topology), stages)
    start_agents(lab, lab.hosts, stages)
    configure(lab, plan(topology), stages)
    reach(lab, stages)
    return lab


def claim() -> pathlib.Path:
    """Make the lab's directory, over the remains of a crash too, or say who has it."""
    directory = state.home()
    if directory.exists() and not (held(directory) or _being_made(directory)):
        down()
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise LabError(refusal(directory)) from None
    maker = (os.getpid(), processes.started(os.getpid()))
    (directory / "maker.json").write_bytes(msgspec.json.encode(maker))
    made = [path for path in MOUNT_POINTS if not os.path.isdir(path)]
    (directory / "made.json").write_bytes(msgspec.json.encode(made))
    _make_token(directory / PEER_TOKEN)
    buffers.widen(directory)
    return directory


def _make_token(path: pathlib.Path) -> None:
    path.touch(0o600)
    path.write_text(secrets.token_hex(32))


def refusal(directory: pathlib.Path) -> str:
    if held(directory):
        return "a lab is already up: `onehop lab status` shows it, `onehop lab down` ends it"
    return "a lab is being brought up: wait for it, or end it with `onehop lab down`"


def held(directory: pathlib.Path) -> bool:
    """Whether a lab lives in `directory`."""
    found = state.load(directory)
    return bool(found and processes.alive(found.holder_pid, found.holder_started))


def _being_made(directory: pathlib.Path) -> bool:
    try:
        maker = (directory / "maker.json").read_bytes()
        return processes.alive(*msgspec.json.decode(maker, type=tuple[int, int]))
    except FileNotFoundError:  # a moment after it was claimed, or from before there was a maker
        return not (directory / "made.json").exists()
    except msgspec.MsgspecError:
        return False


def topology_of(options: Options) -> model.Topology:
    """The user's file, or the lab's own topology; with keys assigned nowhere yet."""
    if options.file is None:
        return generate(options.computes, options.gateways, options.mtu)
    return model.load(pathlib.Path(options.file).read_text(), options.file)


def hold(
    options: Options, platform: Platform, plan: Plan, directory: pathlib.Path, stages: Stages
) -> Lab:
    """Start the holder and wait until it has made every node."""
    (directory / "plan.json").write_bytes(msgspec.json.encode(plan))
    (directory / "options.json").write_bytes(msgspec.json.encode(options))
    holder, names = _start_holder(directory)
    total = 3 + plan.clients + len(plan.hosts) + len(plan.machines)
    with stages.stage("nodes", total) as step:
        _follow(names, directory, step)
    nodes = msgspec.json.decode((directory / "nodes.json").read_bytes())
    made = LabState(
        options=options,
        platform=platform,
        holder_pid=holder,
        holder_started=processes.started(holder) or 0,
        store=stores.addresses(directory, options.store),
        topology=str(directory / "topology.yaml"),
        nodes=msgspec.convert(nodes, dict[str, state.NodeState]),
    )
    state.save(made, directory)
    return Lab(made, directory)


def _start_holder(directory: pathlib.Path) -> tuple[int, IO[str]]:
    """Its process id, and what it says."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "onehop.lab.holder", str(directory)]
    log = directory / "holder.log"
    pid = processes.spawn(command, log=log, service="holder", stdout=writer)
    os.close(writer)
    return pid, open(reader)


def _follow(names: IO[str], directory: pathlib.Path, step: checks.Step) -> None:
    """Until the holder says an empty line."""
    with names:
        for name in names:
            if not name.strip():
                return
            step(name.strip())
    said = (directory / "holder.log").read_text().strip().splitlines()
    raise LabError(f"the nodes could not be made: {said[-1] if said else 'the holder died'}")


def boot(lab: Lab, plan: Plan, stages: Stages) -> None:
    """Everything that stands below the agents."""
    hosts = lab.hosts
    with stages.stage("switches", len(hosts) + 2) as step, ThreadPoolExecutor(PARALLEL) as pool:
        jobs = [pool.submit(_named, step, "store", lambda: start_store(lab))]
        jobs += [pool.submit(_named, step, "outside", lambda: start_outside(lab, plan))]
        jobs += [pool.submit(_named, step, host.name, host.boot) for host in hosts]
        for job in jobs:
            job.result()


def _named(step: checks.Step, name: str, job: Callable[[], None]) -> None:
    job()
    step(name)


def start_outside(lab: Lab, plan: Plan) -> None:
    outside.start(lab.node("outside"), plan)


def start_store(lab: Lab) -> None:
    """The store's servers, and the topology in them."""
    stores.start(lab)
    apply(lab)


def apply(lab: Lab, topology: model.Topology | None = None) -> None:
    """Have the store hold `topology`; without it, the lab's topology file."""
    # Polite to the switches, with which it would share no machine elsewhere.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as other:
        if topology:
            other.write(model.dump(topology))
            other.flush()
        path = other.name if topology else lab.state.topology
        command_line(["apply", "-f", path, "--store", lab.state.store], "nice")


def start_agents(lab: Lab, hosts: list[Host], stages: Stages) -> None:
    """Start the agents of `hosts` and wait until each forwards."""
    with stages.stage("agents", len(hosts)) as step:
        waiting = {host.start_agent(): host for host in hosts}
        checks.eventually(lambda: _still(waiting, step), READY_S, 0.25)


def _still(waiting: dict[int, Host], step: checks.Step) -> str:
    for pid, host in list(waiting.items()):
        if processes.started(pid) is None:
            raise LabError(
                f"agent of {host.name} ended: {last_line(host.directory / 'agent.log')}"
            )
        if (host.agent_status() or {}).get("live"):
            del waiting[pid]
            step(host.name)
    return f"agents not live: {' '.join(h.name for h in waiting.values())}" if waiting else ""


def configure(lab: Lab, plan: Plan, stages: Stages) -> None:
    """Have the machines ask the network for what a subnet tells them."""
    asking = [machine for machine in plan.machines if machine.leases]
    if not asking:
        return
    with stages.stage("addresses", len(asking)) as step, ThreadPoolExecutor(PARALLEL) as pool:
        jobs = [pool.submit(_configure, lab, machine, step) for machine in asking]
        for job in jobs:
            job.result()


def _configure(lab: Lab, machine: Machine, step: checks.Step) -> None:
    dhcp.configure(lab.node(machine.name), machine)
    step(machine.name)


def reach(lab: Lab, stages: Stages) -> None:
    """Wait until packets pass, and note it."""
    with stages.stage("packets", 1):
        lab.wait_ready(READY_S)
    lab.state = msgspec.structs.replace(lab.state, ready=True)
    state.save(lab.state, lab.directory)


def last_line(path: pathlib.Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"


def down() -> dict[str, int]:
    """End everything that carries the lab's mark; what that was. Never fails half way."""
    directory = state.home()
    was_there = directory.exists()
    killed = _kill_marked(str(directory))
    buffers.restore(directory)
    for path in _made(directory):
        _rmdir(path)
    shutil.rmtree(directory, ignore_errors=True)
    return {"labs": int(was_there), "processes": killed}


def _kill_marked(value: str) -> int:
    """Kill until none is left: a process may start another while we look."""
    killed: set[int] = set()
    deadline = time.monotonic() + DOWN_S
    while (left := _others(value)) and time.monotonic() < deadline:
        processes.kill(left)
        killed |= set(left)
        time.sleep(0.02)
    return len(killed)


def _others(value: str) -> list[int]:
    return [pid for pid in processes.of_lab(value) if pid != os.getpid()]


def _made(directory: pathlib.Path) -> list[str]:
    try:
        return msgspec.json.decode((directory / "made.json").read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        return []


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # somebody else uses it by now
