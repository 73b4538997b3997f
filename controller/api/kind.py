"""The endpoints of one kind: list, create, read, replace, patch, delete.

1. What hosts find out can be listed and read only.
2. A change is decided on in the store's transaction: an ETag that was checked is still right
   when the change happens.
3. Every endpoint is a coroutine: what is held belongs to the event loop, and FastAPI runs plain
   functions in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from onehop.controller import objects
from onehop.controller.api import pages
from onehop.controller.api.access import Access
from onehop.controller.api.actors import Actor
from onehop.controller.api.bodies import Body
from onehop.controller.api.requests import (
    JSON,
    MERGE_PATCH,
    as_fields,
    check_etag,
    etag,
    names_etag,
    page,
    read_json,
)
from onehop.engine.model import STATED, ModelError, Problem, Resource


def add_endpoints(app: FastAPI, root: str, kind: type[Resource], access: Access) -> None:
    """Add the endpoints of `kind` under the path `root`."""
    one = "/{name:path}"  # names may have slashes, like prefixes
    reader = Depends(access.reader)
    worker = access.worker

    async def listed(request: Request, actor: Actor = reader) -> Response:
        there = objects.of_kind(worker.held, kind)
        found = page(request, kind, [one for one in there if actor.sees(one, worker.held)])
        links = {"Link": f'<{found.next}>; rel="next"'} if found.next else {}
        return json_answer(found._asdict(), headers=links)

    async def read(request: Request, name: str, actor: Actor = reader) -> Response:
        found = objects.get(worker.held, (kind.KIND, name))
        if not actor.sees(found, worker.held):
            raise objects.MissingError((kind.KIND, name))
        if names_etag(request.headers.get("if-none-match", ""), found, weak=True):
            return Response(status_code=304, headers={"ETag": etag(found)})
        return object_answer(found)

    add = _adder(app, root, kind)
    add("GET", "", listed, f"List {kind.PLURAL}", **pages.listing(kind))
    add("GET", one, read, f"Read a {kind.KIND}", **pages.one(kind))
    if kind in STATED:
        _add_changes(app, root, kind, access)


def _add_changes(app: FastAPI, root: str, kind: type[Resource], access: Access) -> None:
    changer = Depends(access.changer)
    one = "/{name:path}"

    async def create(request: Request, actor: Actor = changer) -> Response:
        raw = await read_json(request, JSON)
        many = isinstance(raw, list)
        body = Body()
        body.add(kind, raw if many else [as_fields(raw)])
        decide = objects.create_decision(body.made, body.unread)
        step = (await access.change(request, actor, decide, body.unread)).step
        if many:
            return json_answer({"items": [objects.plain(r) for r in step.put]}, 201)
        place = {"Location": f"{request.url.path}/{quote(step.put[0].name)}"}
        return object_answer(step.put[0], 201, place)

    async def replace(request: Request, name: str, actor: Actor = changer) -> Response:
        raw = {"name": name, **as_fields(await read_json(request, JSON))}
        _keep_name(kind, name, raw)
        wanted = objects.made(kind, raw, name)
        return await edit(request, name, actor, lambda held: wanted)

    async def patch(request: Request, name: str, actor: Actor = changer) -> Response:
        changes = as_fields(await read_json(request, MERGE_PATCH, JSON))
        _keep_name(kind, name, {"name": name, **changes})
        return await edit(request, name, actor, lambda held: objects.edited(held, changes))

    async def edit(
        request: Request, name: str, actor: Actor, change: Callable[[Resource], Resource]
    ) -> Response:
        ident = (kind.KIND, name)

        def agreed(held: Resource) -> Resource:
            actor.agree_to_change(held, access.worker.held)
            check_etag(request, held)
            return change(held)

        await access.change(request, actor, objects.edit_decision(ident, agreed))
        return object_answer(objects.get(access.worker.held, ident))

    async def delete(request: Request, name: str, actor: Actor = changer) -> Response:
        def agree(held: Resource) -> None:
            actor.agree_to_change(held, access.worker.held)
            check_etag(request, held)

        decide = objects.delete_decision([(kind.KIND, name)], agree)
        await access.change(request, actor, decide)
        return Response(status_code=204)

    add = _adder(app, root, kind)
    words = f"a {kind.KIND}"
    add("POST", "", create, f"Create {words}, or several at once", **pages.creation(kind))
    add("PUT", one, replace, f"Replace {words}", **pages.replacement(kind))
    add("PATCH", one, patch, f"Change fields of {words}", **pages.patch(kind))
    add("DELETE", one, delete, f"Delete {words}", **pages.deletion(kind))


def _adder(app: FastAPI, root: str, kind: type[Resource]) -> Any:
    def add(method: str, path: str, endpoint: Any, summary: str, **more: Any) -> None:
        app.add_api_route(
            f"{root}/{kind.PLURAL}{path}",
            endpoint,
            methods=[method],
            tags=[kind.PLURAL],
            summary=summary,
            operation_id=f"{method.lower()}_{kind.KIND if path else kind.PLURAL}",
            response_model=None,
            **more,
        )

    return add


def _keep_name(kind: type[Resource], name: str, raw: dict[str, Any]) -> None:
    if raw["name"] != name:
        reason = f"cannot become {raw['name']!r}: a name never changes"
        raise ModelError([Problem(kind.KIND, name, "name", reason)])


def object_answer(
    resource: Resource, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return json_answer(
        objects.plain(resource), status, {"ETag": etag(resource), **(headers or {})}
    )


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, JSON)
