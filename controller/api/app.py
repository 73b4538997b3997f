"""The API's application: the endpoints of every kind, of many kinds at once, and the watch.

1. Stateless: everything is in the store, the token file and the audit log.
2. Kinds come from the model's registry; none is named here.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap, defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from fastapi_offline import FastAPIOffline

from onehop.controller import objects
from onehop.controller.api import kind as kinds
from onehop.controller.api import pages, problems
from onehop.controller.api.access import Access
from onehop.controller.api.actors import Actor
from onehop.controller.api.bodies import Body
from onehop.controller.api.requests import JSON, as_fields, read_json
from onehop.controller.api.worker import Told
from onehop.controller.store.client import Step
from onehop.engine.model import KINDS, STATED, Resource

ROOT = "/v1"
KEEP_ALIVE_S = 15.0  # a watch says something at least so often


def make_app(access: Access) -> FastAPI:
    """The application."""

    app = FastAPIOffline(
        docs_url=f"{ROOT}/docs",
        redoc_url=None,
        openapi_url=f"{ROOT}/openapi.json",
        static_url=f"{ROOT}/static",
        title=pages.TITLE,
        redirect_slashes=False,
    )
    problems.install(app)
    pages.install(app)
    _add_bulk(app, access)
    _add_watch(app, access)
    for kind in KINDS.values():
        kinds.add_endpoints(app, ROOT, kind, access)
    return app


def _add_bulk(app: FastAPI, access: Access) -> None:
    changer = Depends(access.changer)

    @app.post(f"{ROOT}/bulk", tags=["all kinds"], summary="Create objects of many kinds at once",
              **pages.bulk())  # fmt: skip
    async def bulk(request: Request, actor: Actor = changer) -> Response:
        body = Body()
        body.add_kinds(as_fields(await read_json(request, JSON)))
        decide = objects.create_decision(body.made, body.unread)
        step = (await access.change(request, actor, decide, body.unread)).step
        return kinds.json_answer(_by_kind(step.put), 201)


def _by_kind(resources: list[Resource]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in resources:
        found[resource.PLURAL].append(objects.plain(resource))
    return found


def _add_watch(app: FastAPI, access: Access) -> None:
    reader = Depends(access.reader)

    @app.get(f"{ROOT}/watch", tags=["all kinds"], summary="Follow every change",
             **pages.watch())  # fmt: skip
    async def watch(request: Request, actor: Actor = reader) -> Response:
        words = request.query_params.getlist("kind")
        chosen = {objects.kind_named(word).KIND for word in words} or {k.KIND for k in STATED}
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_events(access, actor, chosen), 200, headers, "text/event-stream")


async def _events(access: Access, actor: Actor, chosen: set[str]) -> AsyncIterator[bytes]:
    """Server-sent events: the whole state, then each step that concerns the chosen kinds."""
    steps = access.worker.watch()
    waiting: asyncio.Task[Told] | None = None
    name = "state"
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(steps))
            done, _ = await asyncio.wait([waiting], timeout=KEEP_ALIVE_S)
            if not done:
                yield b": nothing new\n\n"
                continue
            try:
                step = _seen_by(actor, waiting.result(), access.worker.held)
                data = _concerning(step, chosen)
            except StopAsyncIteration:
                return
            waiting = None
            if name == "state" or any(data.values()):
                yield b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
            name = "step"
    finally:
        if waiting is not None:
            waiting.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting
        await steps.aclose()  # type: ignore[attr-defined]


def _seen_by(actor: Actor, told: Told, held: dict[objects.Ident, Resource]) -> Step:
    """The step as an actor sees it: what it sees no longer is removed."""
    if not actor.tenant:
        return told.step
    earlier = ChainMap({i: r for i, r in told.before.items() if r is not None}, held)
    put = [resource for resource in told.step.put if actor.sees(resource, held)]
    idents = told.before.keys() - {(resource.KIND, resource.name) for resource in put}
    remove = [i for i in idents if i in earlier.maps[0] and actor.sees(earlier[i], earlier)]
    return Step(put, remove)


def _concerning(step: Step, chosen: set[str]) -> dict[str, Any]:
    remove: dict[str, list[str]] = defaultdict(list)
    for kind, name in step.remove:
        if kind in chosen:
            remove[KINDS[kind].PLURAL].append(name)
    put = [resource for resource in step.put if resource.KIND in chosen]
    return {"put": _by_kind(put), "remove": remove}
