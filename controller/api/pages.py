"""What the OpenAPI page says about each endpoint, made from the model."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from onehop.controller.api.problems import MEDIA_TYPE
from onehop.controller.api.requests import JSON, MERGE_PATCH, MOST, PAGE
from onehop.engine.model import KINDS, STATED, Resource
from onehop.engine.model.values import fields_of

REF = "#/components/schemas/{name}"
REPLACEMENT = "Replacement"
TITLE, VERSION = "onehop", "1"
ABOUT = """The virtual network's objects. Every kind works the same way: list, create, read,
replace, patch, delete; each request is one transaction. Errors are problem details (RFC 9457)."""


def install(app: FastAPI) -> None:
    """Have `app` describe itself."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _whole(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _whole(app: FastAPI) -> dict[str, Any]:
    page = get_openapi(title=TITLE, version=VERSION, description=ABOUT, routes=app.routes)
    _, schemas = msgspec.json.schema_components(KINDS.values(), ref_template=REF)
    parts = page.setdefault("components", {})
    parts["schemas"] = {**schemas, **_replacements(schemas), "Problem": PROBLEM}
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    page["security"] = [{"token": []}]
    for operations in page["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # FastAPI's own, which never happens
            operation["responses"] |= {"4XX": FAILURE, "503": FAILURE}
    return page


def _replacements(schemas: dict[str, Any]) -> dict[str, Any]:
    """What a PUT takes: an object whose name may be left to the path."""
    found = {}
    for kind in STATED:
        schema = schemas[kind.__name__]
        required = [field for field in schema["required"] if field != "name"]
        found[f"{kind.__name__}{REPLACEMENT}"] = {**schema, "required": required}
    return found


def listing(kind: type[Resource]) -> dict[str, Any]:
    whole = {"type": "object", "properties": {
        "items": {"type": "array", "items": _ref(kind)},
        "next": {"type": ["string", "null"], "description": "the address of the next page"},
    }}  # fmt: skip
    return _described({200: ("The objects, by name", whole)}, parameters=_queries(kind))


def one(kind: type[Resource]) -> dict[str, Any]:
    header = _header("If-None-Match", "an ETag; answers 304 while the object is that")
    answers = {200: ("The object", _ref(kind)), 304: ("It is that still", None)}
    return _described(answers, parameters=[header])


def creation(kind: type[Resource]) -> dict[str, Any]:
    several = {"type": "array", "items": _ref(kind)}
    body = _body(JSON, {"oneOf": [_ref(kind), several]})
    all_made = {"type": "object", "properties": {"items": several}, "required": ["items"]}
    made = {201: ("What was made", {"oneOf": [_ref(kind), all_made]})}
    described = _described(made, status=201, requestBody=body)
    described["responses"][201]["links"] = {
        method: {"operationId": f"{method}_{kind.KIND}", "parameters": MADE_NAME}
        for method in ("get", "put", "patch", "delete")
    }
    return described


def replacement(kind: type[Resource]) -> dict[str, Any]:
    body = _body(JSON, {"$ref": REF.format(name=f"{kind.__name__}{REPLACEMENT}")})
    return _described({200: ("The object", _ref(kind))}, parameters=[IF_MATCH], requestBody=body)


def patch(kind: type[Resource]) -> dict[str, Any]:
    body = _body(MERGE_PATCH, {"type": "object"})
    return _described({200: ("The object", _ref(kind))}, parameters=[IF_MATCH], requestBody=body)


def deletion(kind: type[Resource]) -> dict[str, Any]:
    return _described({204: ("It is gone", None)}, status=204, parameters=[IF_MATCH])


def bulk() -> dict[str, Any]:
    whole = {"type": "object", "properties": {
        kind.PLURAL: {"type": "array", "items": _ref(kind)} for kind in STATED
    }}  # fmt: skip
    return _described({201: ("What was made", whole)}, status=201, requestBody=_body(JSON, whole))


def watch() -> dict[str, Any]:
    kinds = {"name": "kind", "in": "query", "description": "only these kinds",
             "schema": {"type": "array", "items": {"type": "string"}}}  # fmt: skip
    answer = {"description": "Server-sent events", "content": {"text/event-stream": {}}}
    return {"responses": {200: answer}, "openapi_extra": {"parameters": [kinds]}}


def _described(
    answers: dict[int, tuple[str, Any]], *, status: int = 200, **operation: Any
) -> dict[str, Any]:
    responses = {
        code: {"description": words, **({"content": _content(JSON, schema)} if schema else {})}
        for code, (words, schema) in answers.items()
    }
    return {"status_code": status, "responses": responses, "openapi_extra": operation}


def _queries(kind: type[Resource]) -> list[dict[str, Any]]:
    named = [field.name for field in fields_of(kind)]
    return [
        {"name": "limit", "in": "query", "schema": {
            "type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE}},
        {"name": "after", "in": "query", "schema": {"type": "string"},
         "description": "the last name of the page before"},
        *({"name": name, "in": "query", "schema": {"type": "string"},
           "description": "only objects with this in the field"} for name in named),
    ]  # fmt: skip


def _ref(kind: type[Resource]) -> dict[str, Any]:
    return {"$ref": REF.format(name=kind.__name__)}


def _body(media_type: str, schema: Any) -> dict[str, Any]:
    return {"required": True, "content": _content(media_type, schema)}


def _content(media_type: str, schema: Any) -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def _header(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}


MADE_NAME = {"name": "$response.body#/name"}  # where one object was made
IF_MATCH = _header("If-Match", "the object's ETag; 412 where it has changed since")
TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457)",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "problems": {"type": "array", "items": {"type": "object", "properties": {
            "kind": TEXT, "name": TEXT, "field": TEXT, "reason": TEXT,
        }}},
    },
}  # fmt: skip
FAILURE = {
    "description": "What is wrong",
    "content": _content(MEDIA_TYPE, {"$ref": REF.format(name="Problem")}),
}
