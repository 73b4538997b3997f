"""Open vSwitch's Python library, imported in silence: it imports eventlet, which warns."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ovs.db.idl import Idl, Row, SchemaHelper, Transaction
    from ovs.poller import Poller

__all__ = ["Idl", "Poller", "Row", "SchemaHelper", "Transaction"]
