"""Figures that others published about other systems: not measured here, and labelled so.

1. Each has its source, and what it was published of; hardware and load were the authors' own.
2. A range is what the authors gave, or the spread of the runs that they listed.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple


class Efficiency(NamedTuple):
    """Goodput over capacity through some uplinks."""

    uplinks: int
    least: float
    most: float


class Interruption(NamedTuple):
    """How long a system did not forward after a failure."""

    system: str
    failure: str
    runs_s: tuple[float, ...]
    source: str

    @property
    def median_s(self) -> float:
        return median(self.runs_s)

    @property
    def span(self) -> str:
        return f"{min(self.runs_s):.0f}–{max(self.runs_s):.0f} s"


MIDONET_SOURCE = "MidoNet, throughput through one to three gateways, as published by its makers"
MIDONET = (Efficiency(1, 0.87, 0.87), Efficiency(2, 0.75, 0.80), Efficiency(3, 0.80, 0.87))
# 870 Mb/s through three uplinks of 1 Gb/s, beside MidoNet's 2.6 Gb/s on the same hardware.
NEUTRON_OVS = Efficiency(3, 0.29, 0.29)
NEUTRON_OVS_SOURCE = (
    "Neutron with Open vSwitch, 870 Mb/s on three 1 Gb/s links, as published there"
)

# Neutron's highly available routers have one active node: others wait, and carry nothing.
NEUTRON_DESIGN = "one active node for each router, the others stand by (L3 HA test plan)"
NEUTRON_SOURCE = (
    "OpenStack performance documentation, “Neutron L3 HA test results Mitaka”: 3 controllers, "
    "45 compute nodes, 10 Gb/s; lost packets of a ping of one per second"
)
NEUTRON_AGENT = Interruption(
    "Neutron L3 HA",
    "active L3 agent banned",
    (2, 3, 3, 1, 5, 3, 4, 3, 4, 1, 3, 4, 26, 3, 3, 14, 3, 5, 3, 6, 6),
    NEUTRON_SOURCE,
)
NEUTRON_NODE = Interruption(
    "Neutron L3 HA",
    "active node reset",
    (14, 2, 42, 41, 43, 42, 47, 4, 15, 32, 48, 53, 57, 40),
    NEUTRON_SOURCE,
)
INTERRUPTIONS = (NEUTRON_AGENT, NEUTRON_NODE)


def neutron_bound(uplinks: int) -> float:
    """The most that one active node of several can carry: a bound by design, no measurement."""
    return 1 / uplinks
