"""The audit log: who changed what, and who was turned away; a JSON object a line.

1. A line is written by one `write` to a file opened for appending, so that several servers may
   share it.
2. Holds no token.
"""

from __future__ import annotations

import datetime
import logging
import os
import pathlib
from typing import Any

import msgspec

from onehop.controller.api.actors import Actor
from onehop.controller.api.worker import Changed

log = logging.getLogger(__name__)


class Audit:
    """An audit log."""

    def __init__(self, path: pathlib.Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def changed(self, actor: Actor, client: str, request: str, changed: Changed) -> None:
        after = {(resource.KIND, resource.name): resource for resource in changed.step.put}
        changes = [
            {"kind": kind, "name": name, "before": changed.before.get((kind, name)),
             "after": after.get((kind, name))}
            for kind, name in (*after, *changed.step.remove)
        ]  # fmt: skip
        self._write(actor, client, request, {"changes": changes})

    def refused(self, actor: Actor | None, client: str, request: str, status: int) -> None:
        self._write(actor, client, request, {"refused": status})

    def _write(self, actor: Actor | None, client: str, request: str, rest: dict[str, Any]) -> None:
        entry = {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "actor": actor and actor.name,
            "role": actor and actor.role,
            "tenant": actor and actor.tenant,
            "client": client,
            "request": request,
            **rest,
        }
        try:
            os.write(self._file, msgspec.json.encode(entry) + b"\n")
        except OSError:
            log.exception("the audit log lacks %r", entry)
