"""Errors as problem details (RFC 9457): one JSON object with every problem of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from onehop.controller.errors import InputError
from onehop.controller.objects import ExistsError, InUseError, MissingError
from onehop.controller.store.client import StoreError
from onehop.engine.model import ModelError, Problem

MEDIA_TYPE = "application/problem+json"


class RefusedError(Exception):
    """A request that is answered with a status other than success."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def answer(
    status: int,
    detail: str,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if problems:
        body["problems"] = [problem._asdict() for problem in problems]
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have `app` answer every error with problem details."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ModelError, _model)
    for kind, status in STATUSES.items():
        app.add_exception_handler(kind, _plain(status))
    app.add_exception_handler(Exception, _bug)


STATUSES: dict[type[Exception], int] = {
    MissingError: 404,
    ExistsError: 409,
    InUseError: 409,
    InputError: 400,
    StoreError: 503,
}


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return answer(error.status, str(error), headers=error.headers)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers, detail = dict(error.headers or {}), error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}"
    if error.status_code == 405:  # the one that is raised names a part of what is allowed
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"{request.method} cannot be done here; there are {headers['Allow']}"
    return answer(error.status_code, detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """What can be done with the path of `request`."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    there = (route for route in routes if route.path_regex.match(request.url.path))
    return sorted({method for route in there for method in route.methods or ()})


def _model(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelError)
    return answer(422, str(error), error.problems)


def _plain(status: int) -> Any:
    return lambda request, error: answer(status, str(error))


def _bug(request: Request, error: Exception) -> Response:
    return answer(500, "this is a mistake of the server, which its log tells")
