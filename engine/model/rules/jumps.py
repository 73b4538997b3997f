"""Jumps between chains: they end, and they end soon.

What a packet costs at most is known before there is one: chains that jump to each other nest at
most `MAX_DEPTH` deep, and no packet meets more than `MAX_STEPS` rules.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from onehop.engine.model.resources import Chain, Problem
from onehop.engine.model.rules.base import Problems, wrong
from onehop.engine.model.view import View

MAX_DEPTH = 25
MAX_STEPS = 100_000

Jumps = dict[
    str, dict[str, int]
]  # by chain: the chains that it jumps to, the first rule that does


def jumps_end(view: View) -> Problems:
    chains = view.by_name(Chain)
    jumps = jumps_of(chains)
    while True:
        try:
            order = list(TopologicalSorter(jumps).static_order())
            break
        except CycleError as error:
            yield _loop(list(reversed(error.args[1])), jumps)
    yield from _measure(order, chains, jumps)


def jumps_of(chains: dict[str, Chain]) -> Jumps:
    jumps: Jumps = {name: {} for name in chains}
    for chain in chains.values():
        for place, rule in enumerate(chain.rules, 1):
            if rule.action == "jump" and rule.jump in chains:
                jumps[chain.name].setdefault(rule.jump, place)
    return jumps


def _loop(names: list[str], jumps: Jumps) -> Problem:
    """Report the loop from the chain of the least name on, and break it there."""
    start = names.index(min(names))
    ring = names[start:-1] + names[:start]
    place = jumps[ring[0]].pop(ring[1 % len(ring)])
    words = " -> ".join([*ring, ring[0]])
    return Problem(Chain.KIND, ring[0], f"rules #{place} jump", f"jumps in a loop: {words}")


def _measure(order: list[str], chains: dict[str, Chain], jumps: Jumps) -> Problems:
    depth: dict[str, int] = {}
    steps: dict[str, int] = {}
    for name in order:  # what is jumped to comes first
        depth[name] = max((depth[to] + 1 for to in jumps[name]), default=0)
        targets = (rule.jump for rule in chains[name].rules if rule.jump in jumps[name])
        steps[name] = len(chains[name].rules) + sum(steps[to] for to in targets if to)
        if depth[name] == MAX_DEPTH + 1:
            reason = f"jumps nest {depth[name]} deep from here, at most {MAX_DEPTH} are followed"
            yield wrong(chains[name], "rules", reason)
        if steps[name] > MAX_STEPS:
            reason = f"a packet may meet {steps[name]} rules from here on, at most {MAX_STEPS} may"
            yield wrong(chains[name], "rules", reason)
            steps[name] = 0  # who jumps here is not blamed again
