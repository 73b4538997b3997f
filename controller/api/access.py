"""The way of requests to the store: who asks, whether they may, and the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from onehop.controller.api.actors import Actor, Authenticator, bearer
from onehop.controller.api.audit import Audit
from onehop.controller.api.problems import RefusedError
from onehop.controller.api.worker import Changed, Worker
from onehop.controller.store.client import NOTHING_UNREAD, Decide, Step
from onehop.engine.model.check import Unread
from onehop.engine.model.index import Index


class Access:
    """The way of requests to the store."""

    def __init__(
        self, worker: Worker, authenticators: Sequence[Authenticator], audit: Audit
    ) -> None:
        self.worker = worker
        self._authenticators = authenticators
        self._audit = audit

    async def reader(self, request: Request) -> Actor:
        """Whoever is known (a FastAPI dependency)."""
        for authenticator in self._authenticators:
            actor = await authenticator.actor(request.headers)
            if actor is not None:
                return actor
        self._audit.refused(None, _client(request), _line(request), 401)
        given = bearer(request.headers) or request.headers.get("x-auth-token")
        reason = "give a token: the header Authorization: Bearer TOKEN"
        reason = "nobody knows this token" if given else reason
        raise RefusedError(401, reason, {"WWW-Authenticate": 'Bearer realm="onehop"'})

    async def changer(self, request: Request) -> Actor:
        """Who may change things (a FastAPI dependency)."""
        actor = await self.reader(request)
        if actor.role == "reader":
            self._audit.refused(actor, _client(request), _line(request), 403)
            raise RefusedError(403, f"{actor.name!r} is a {actor.role} and may change nothing")
        return actor

    async def change(
        self, request: Request, actor: Actor, decide: Decide, unread: Unread = NOTHING_UNREAD
    ) -> Changed:
        """Change what is stated, as far as the actor may, and write down who did."""

        def decided(held: Index) -> Step:
            step = decide(held)
            before = {(r.KIND, r.name): held.get((r.KIND, r.name)) for r in step.put}
            put, refused = [], []
            for resource in step.put:
                try:
                    put.append(actor.made_of(resource, before[resource.KIND, resource.name]))
                except RefusedError as error:
                    refused.append(str(error))
            if refused:
                raise RefusedError(403, "\n".join(dict.fromkeys(refused)))
            return Step(put, step.remove)

        try:
            changed = await self.worker.change(decided, unread)
        except RefusedError as error:
            if error.status == 403:
                self._audit.refused(actor, _client(request), _line(request), 403)
            raise
        self._audit.changed(actor, _client(request), _line(request), changed)
        return changed


def _client(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else ""


def _line(request: Request) -> str:
    return f"{request.method} {request.url.path}"
