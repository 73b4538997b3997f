"""What can be described, but what nothing acts on yet: refused, so that nothing is stated in vain.

A kind or an action leaves these lists when the engine and the agents serve it.
"""

from __future__ import annotations

from onehop.engine.model.resources import (
    Chain,
    FloatingIp,
    HealthMonitor,
    Pool,
    PoolMember,
    Problem,
    Resource,
    Subnet,
    Vip,
)
from onehop.engine.model.rules.base import Problems, wrong
from onehop.engine.model.view import View

KINDS: tuple[type[Resource], ...] = (Subnet, FloatingIp, HealthMonitor, Pool, PoolMember, Vip)
ACTIONS: tuple[str, ...] = ("snat", "dnat", "reverse_snat", "reverse_dnat")
REASON = "is not supported yet: nothing would act on it"


def nothing_is_stated_in_vain(view: View) -> Problems:
    for kind in KINDS:
        for resource in view.by_name(kind).values():
            yield wrong(resource, "", REASON)
    for chain in view.by_name(Chain).values():
        for place, rule in enumerate(chain.rules, 1):
            if rule.action in ACTIONS:
                yield Problem(
                    chain.KIND, chain.name, f"rules #{place} action", f"{rule.action} {REASON}"
                )
