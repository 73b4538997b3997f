"""Who asks, and whether they may: bearer tokens, and the audit log of those who change things."""

from __future__ import annotations

from fastapi import Request

from onehop.controller.api.audit import Audit
from onehop.controller.api.problems import RefusedError
from onehop.controller.api.tokens import Token, Tokens
from onehop.controller.api.worker import Changed, Worker
from onehop.controller.store.client import Decide


class Access:
    """The way of requests to the store."""

    def __init__(self, worker: Worker, tokens: Tokens, audit: Audit) -> None:
        self.worker = worker
        self._tokens = tokens
        self._audit = audit

    def reader(self, request: Request) -> Token:
        """Whoever has a token (a FastAPI dependency)."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        actor = self._tokens.find(text.strip()) if scheme.lower() == "bearer" else None
        if actor is None:
            self._audit.refused(None, _client(request), _line(request), 401)
            reason = "give a token: the header Authorization: Bearer TOKEN"
            raise RefusedError(401, reason, {"WWW-Authenticate": 'Bearer realm="onehop"'})
        return actor

    def admin(self, request: Request) -> Token:
        """Who may change things (a FastAPI dependency)."""
        actor = self.reader(request)
        if actor.role != "admin":
            self._audit.refused(actor, _client(request), _line(request), 403)
            raise RefusedError(403, f"{actor.name!r} is a {actor.role} and may change nothing")
        return actor

    async def change(self, request: Request, actor: Token, decide: Decide) -> Changed:
        """Change what is stated, and write down who did."""
        changed = await self.worker.change(decide)
        self._audit.changed(actor, _client(request), _line(request), changed)
        return changed


def _client(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else ""


def _line(request: Request) -> str:
    return f"{request.method} {request.url.path}"
