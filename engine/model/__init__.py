"""What users state: the resources of the virtual topology, their fields and their rules.

The single definition.  The YAML files, the store's schema and the engine's input are all
derived from the structs in `resources`; a field is written once.

1. Every resource is frozen and is known by its kind and its name.
2. A reference to another resource is that resource's name, and is annotated with ``Ref``.
3. What a host finds out while it runs (``STATE``) has the same form as what users state
   (``STATED``), names the host that owns it, and counts only while that host is alive; all but
   the health of members, which counts until somebody knows better.
4. `check` finds every problem of a whole topology; nothing else may refuse one later.
"""

from onehop.engine.model import resources
from onehop.engine.model.change import diff
from onehop.engine.model.check import check
from onehop.engine.model.files import dump, load
from onehop.engine.model.keys import assign_keys, router_mac
from onehop.engine.model.resources import *  # noqa: F403
from onehop.engine.model.texts import read_ether_type, read_ports, read_protocol

__all__ = [
    "assign_keys",
    "check",
    "diff",
    "dump",
    "load",
    "read_ether_type",
    "read_ports",
    "read_protocol",
    "router_mac",
]
__all__ += resources.__all__
