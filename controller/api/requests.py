"""Requests to plain data: bodies within a limit, conditions and pages of a list, ETags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from fastapi import Request

from onehop.controller import objects
from onehop.controller.api.problems import RefusedError
from onehop.engine.model import Resource

BODY_BYTES = 8 << 20  # some 40 000 ports
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PAGE, MOST = 100, 1000  # objects in a page: where nothing is said, and at most


async def read_json(request: Request, *media_types: str) -> Any:
    """The body, which is of one of `media_types`."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in media_types:
        raise RefusedError(415, f"the body is {given or 'nothing'}, not {media_types[0]}")
    body = await _read(request)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES:
            reason = f"the body is longer than {BODY_BYTES} bytes; send it in parts"
            raise RefusedError(413, reason, {"Connection": "close"})
    return bytes(body)


def as_fields(raw: Any) -> dict[str, Any]:
    """`raw`, which is an object's fields."""
    if not isinstance(raw, dict):
        raise RefusedError(400, "expected a JSON object with an object's fields")
    return raw


class Page(NamedTuple):
    """A part of a list."""

    items: list[dict[str, Any]]
    next: str | None  # the address of the following part


def page(request: Request, kind: type[Resource], found: Sequence[Resource]) -> Page:
    """The part of `found`, which is sorted by name, that the query asks for."""
    limit, after, conditions = PAGE, "", []
    for key, text in request.query_params.multi_items():
        if key == "limit":
            limit = _limit(text)
        elif key == "after":
            after = text
        else:
            conditions.append(objects.condition(kind, key, text))
    rest = [r for r in found if r.name > after and all(holds(r) for holds in conditions)]
    items = [objects.plain(resource) for resource in rest[:limit]]
    if len(rest) <= limit:
        return Page(items, None)
    query = [item for item in request.query_params.multi_items() if item[0] != "after"]
    query.append(("after", rest[limit - 1].name))
    return Page(items, f"{request.url.path}?{urlencode(query)}")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST):
        raise RefusedError(400, f"limit: {text!r} is not a number from 1 to {MOST}")
    return int(text)


def etag(resource: Resource) -> str:
    """What changes whenever the resource does, and is the same at every server."""
    digest = hashlib.sha256(msgspec.json.encode(objects.plain(resource))).hexdigest()
    return f'"{digest[:32]}"'


def names_etag(header: str, resource: Resource, *, weak: bool = False) -> bool:
    """Whether an If-Match names what `resource` is, or an If-None-Match, which compares `weak`ly.

    A proxy that compresses makes ETags weak (RFC 9110, section 8.8.3.2).
    """
    named = [part.strip() for part in header.split(",")]
    named = [part.removeprefix("W/") for part in named] if weak else named
    return "*" in named or etag(resource) in named


def check_etag(request: Request, resource: Resource) -> None:
    """Refuse where somebody else has changed the resource since the client read it."""
    header = request.headers.get("if-match")
    if header is not None and not names_etag(header, resource):
        reason = (
            f"{resource.KIND} {resource.name!r} is no longer what If-Match names; read it again"
        )
        raise RefusedError(412, reason, {"ETag": etag(resource)})
