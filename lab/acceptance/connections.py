"""Connections that work from every host, outlive agents, and are forgotten in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from onehop.lab import checks as waits
from onehop.lab.acceptance.scene import READY_S, TRIES, Scene, Step, Talk
from onehop.lab.acceptance.servers import Servers, connect, echoes
from onehop.lab.processes import kill
from onehop.lab.results import Check

SILENCE_S = 90.0  # longer than a UDP connection is remembered


class Connections:
    """One of each kind is silent from the beginning of the scenario."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.silent = self._talks()
        self.silent_s = time.monotonic()

    def steps(self) -> Iterator[Step]:
        yield "a reply through each gateway", self.any_gateway
        yield "a reply after all agents have started again", self.restart

    def last_steps(self) -> Iterator[Step]:
        yield f"a reply after {SILENCE_S:.0f} s of silence", self.silence

    def any_gateway(self) -> Check:
        came = {
            kind: [self._replies(talk, gateway) for gateway in self.scene.gateways]
            for kind, talk in self._talks().items()
        }
        detail = f"of {TRIES} each, through {' '.join(self.scene.gateways)}: {_told(came)}"
        passed = all(count == TRIES for counts in came.values() for count in counts)
        return Check("replies come through any gateway", passed, detail)

    def restart(self) -> Check:
        scene, lab = self.scene, self.scene.lab
        talks = self._talks()
        with Servers(lab, lab.topology.pool_members), scene.client.socket() as sock:
            member = connect(sock, scene.vip)
            for host in lab.hosts:
                kill(host.agent_pids())
                host.start_agent()
            waits.eventually(lambda: waits.agents_missing(lab, set(scene.gateways)), READY_S)
            came = {kind: [self._replies(t, scene.gateways[-1])] for kind, t in talks.items()}
            kept = bool(member) and echoes(sock)
        detail = (
            f"of {TRIES} each, through {scene.gateways[-1]}: {_told(came)}; "
            f"the VIP's member {member or 'nobody'} {'answers' if kept else 'does not answer'}"
        )
        passed = kept and all(counts == [TRIES] for counts in came.values())
        return Check("connections outlive all agents", passed, detail)

    def silence(self) -> Check:
        time.sleep(max(0.0, self.silent_s + SILENCE_S - time.monotonic()))
        came = {kind: [self.scene.replies(talk)] for kind, talk in self.silent.items()}
        detail = f"of {TRIES} each: {_told(came)}"
        return Check("silent connections are forgotten", not any(map(sum, came.values())), detail)

    def _talks(self) -> dict[str, Talk]:
        """From ports that are closed to strangers."""
        scene = self.scene
        return {
            "floating ip": scene.talk(scene.here, scene.free_closed()),
            "snat": scene.talk(scene.there, scene.free_closed()),
        }

    def _replies(self, talk: Talk, gateway: str) -> int:
        with self.scene.through(gateway, talk.seen[0]):
            return self.scene.replies(talk)


def _told(came: dict[str, list[int]]) -> str:
    return ", ".join(f"{kind} {' '.join(map(str, counts))}" for kind, counts in came.items())
