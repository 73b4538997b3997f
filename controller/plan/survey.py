"""What is live: every host's agent, asked."""

from __future__ import annotations

from collections.abc import Iterable

from onehop.controller import questions
from onehop.controller.agents import Agents
from onehop.controller.plan.scene import Live


def ask(agents: Agents, hosts: Iterable[str]) -> tuple[list[Live], dict[str, str]]:
    """What the agents of `hosts` say, and why the others say nothing."""
    answers = {host: _whole(agents, host) for host in sorted(hosts)}
    live = [found for found in answers.values() if isinstance(found, Live)]
    return live, {host: found for host, found in answers.items() if isinstance(found, str)}


def _whole(agents: Agents, host: str) -> Live | str:
    """One after another: an answer is read before the next one is asked for."""
    about: questions.About | None = None
    flows: list[bytes] = []
    states: list[bytes] = []
    for question in (questions.Status(), questions.Flows(), questions.Connections()):
        reply = agents.one(question, host)
        if reply.problem:
            return reply.problem
        for said in reply.answers:
            match said:
                case questions.About():
                    about = said
                case questions.FlowsAre():
                    flows += [flow.match for flow in said.flows]
                case questions.Raw():
                    states.append(said.data)
    if about is None:
        return "it does not say how it is"
    if not about.status.live:
        return f"it is {about.status.phase}"
    return Live(host, about.numbers, flows, states, about.seed, about.status.peers)
