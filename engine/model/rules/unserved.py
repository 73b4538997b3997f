"""What can be described, but what nothing acts on yet: refused, so that nothing is stated in vain.

A kind leaves this list when the engine and the agents serve it.
"""

from __future__ import annotations

from onehop.engine.model.resources import (
    HealthMonitor,
    Resource,
)
from onehop.engine.model.rules.base import Problems, wrong
from onehop.engine.model.view import View

KINDS: tuple[type[Resource], ...] = (HealthMonitor,)
REASON = "is not supported yet: nothing would act on it"


def nothing_is_stated_in_vain(view: View) -> Problems:
    for kind in KINDS:
        for resource in view.by_name(kind).values():
            yield wrong(resource, "", REASON)
