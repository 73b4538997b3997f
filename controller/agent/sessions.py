"""How the BGP sessions of an uplink are, as bgpd tells it (`show bgp summary json`).

1. What bgpd says is taken field by field: what is missing, or is something else, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from onehop.controller.questions import Session

COMMAND = "show bgp summary json"


def sessions(uplink: str, said: str) -> Iterator[Session]:
    """The sessions of `uplink`, one for each neighbor, of what bgpd has said."""
    try:
        families = msgspec.json.decode(said)
    except msgspec.MsgspecError:
        return
    found: dict[str, Session] = {}
    for family in families.values() if isinstance(families, dict) else ():
        for neighbor, told in _peers(family).items():
            session = _session(uplink, str(neighbor), told)
            before = found.get(session.neighbor)
            found[session.neighbor] = _sum(before, session) if before else session
    yield from (found[neighbor] for neighbor in sorted(found))


def _peers(family: Any) -> dict[str, dict[str, Any]]:
    peers = family.get("peers") if isinstance(family, dict) else None
    found = peers.items() if isinstance(peers, dict) else ()
    return {name: told for name, told in found if isinstance(told, dict)}


def _session(uplink: str, neighbor: str, told: dict[str, Any]) -> Session:
    return Session(
        uplink=uplink,
        neighbor=neighbor,
        asn=_integer(told, "remoteAs"),
        state=str(told.get("state", "unknown")),
        up_s=_integer(told, "peerUptimeMsec") / 1e3,
        received=_integer(told, "pfxRcd"),
        sent=_integer(told, "pfxSnt"),
    )


def _sum(one: Session, other: Session) -> Session:
    """One session that carries two families."""
    return msgspec.structs.replace(
        one, received=one.received + other.received, sent=one.sent + other.sent
    )


def _integer(told: dict[str, Any], name: str) -> int:
    value = told.get(name, 0)
    return value if isinstance(value, int) else 0
