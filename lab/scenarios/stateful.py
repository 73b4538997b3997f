"""Filters, translations, load balancing, and connections that work from every host: named checks,
each with real packets (`lab/acceptance/`).

A connection of each kind falls silent at the beginning and is looked at when it must have been
forgotten; the other checks fill the time.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import chain

from onehop.lab.acceptance import balancing, filters, plans, translations
from onehop.lab.acceptance.connections import Connections
from onehop.lab.acceptance.scene import Scene
from onehop.lab.lab import Lab
from onehop.lab.results import Result, header
from onehop.lab.screen import Screen


def run(lab: Lab, screen: Screen) -> Result:
    """Go through all checks."""
    started_s = time.time()
    found = []
    with ExitStack() as stack:
        scene = Scene(lab, stack)
        connections = Connections(scene)
        for what, check in chain(
            filters.steps(scene),
            plans.steps(scene),
            translations.steps(scene),
            balancing.steps(scene),
            connections.steps(),
            connections.last_steps(),
        ):
            screen.doing(what)
            found.append(check())
            screen.event(f"{found[-1].name}: {found[-1].detail}")
    return Result(**header("stateful", lab, found, started_s))
