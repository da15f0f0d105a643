"""OpenAPI 3.1 of all routes, from their declarations and the models of their bodies and answers.

https://spec.openapis.org/oas/v3.1.1 has the format; schemas are JSON Schema 2020-12, as pydantic makes them.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from claude_mem.http.openapi.operation import JSON, Operation, Other, operation_of
from claude_mem.http.openapi.schemas import Schemas, opened
from claude_mem.http.responses.refusals import Error, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

VERSION = "3.1.1"

_PROBLEM = "application/problem+json"
_DESCRIPTION = """\
Durable memory for coding agents. Ids are opaque text, times are milliseconds since the Unix epoch in members that end in
`Epoch`. Later releases may add members to answers. A query parameter that cannot be understood counts as not given, unless
the operation answers 400. See the HTTP reference for what each operation means."""

#: What may be refused to any key, and to any body.
_WITH_KEY = (401, 402, 403, 429, 503)
_WITH_BODY = (400, 413, 415)

_ABOUT = {
    400: "The request is not valid; each problem is named.",
    401: "No key was sent.",
    402: "A monthly cap is used up.",
    403: "The key is unknown or ended, or may not do this; or the page's origin may not.",
    404: "Nothing of that id within the key's scope.",
    409: "The state of the thing rules this out.",
    412: "It was changed since; `If-Match` names another version.",
    413: "The body is larger than the server takes.",
    415: "The body is not JSON by its `Content-Type`.",
    422: "The `Idempotency-Key` was used for another request.",
    429: "Too many requests.",
    503: "A dependency does not answer; send it again.",
}

_HEADERS: dict[str, dict[str, Any]] = {
    "RequestId": {"description": "The request's id, as in the audit log.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit": {
        "description": "Where the key's rate is limited: what is left, and seconds until it is whole again.",
        "schema": {"type": "string"},
    },
    "RateLimitPolicy": {
        "description": "Where the key's rate is limited: requests, and seconds of the window.",
        "schema": {"type": "string"},
    },
    "Replayed": {
        "description": "`true` where the answer to an earlier request with this Idempotency-Key is given again.",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "The version of what is answered.", "schema": {"type": "string"}},
}

_REPLAYS = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to send the request again: for a day it is carried out once and answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def document(routes: Iterable[web.RouteDef], *, version: str, closed: bool = False) -> dict[str, Any]:
    """The description of all routes that declare an operation.

    Parameters:
        version: of this release.
        closed: whether objects in answers have no other members than those that are named: so in this release, but clients
            should not count on it.
    """
    described = [
        (route, operation) for route in routes if (operation := operation_of(route.handler)) is not None
    ]
    schemas = Schemas([operation for _, operation in described])
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route.path, operation, schemas)
    refused = {f"Refusal{status}": _refusal(status, schemas) for status in _ABOUT}
    refused = {name: refused[name] for name in refused if name in _referenced("responses", paths)}
    named = _referenced("headers", [paths, refused])
    tags = dict.fromkeys(operation.tag for _, operation in described)
    return {
        "openapi": VERSION,
        "info": {
            "title": "claude-mem",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions if closed else opened(schemas.definitions),
            "responses": refused,
            "headers": {name: header for name, header in _HEADERS.items() if name in named},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. `X-Api-Key: <key>` does the same.",
                }
            },
        },
    }


def _referenced(kind: str, part: Any) -> set[str]:
    """Names of the components of a kind that are referred to."""
    return set(re.findall(rf"#/components/{kind}/(\w+)", orjson.dumps(part).decode()))


def _operation(path: str, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{"bearer": []}] if operation.scope else [],
        "parameters": [*_path_parameters(path), *_parameters(operation)],
        "responses": {
            **{
                str(status): _answer(status, found, operation, schemas)
                for status, found in operation.answers.items()
            },
            **{
                str(status): {"$ref": f"#/components/responses/Refusal{status}"}
                for status in sorted(refusals(path, operation))
                if status not in operation.answers
            },
        },
    }
    if operation.scope:
        described["description"] = f"Asks for the scope `{operation.scope}`."
    elif operation.local:
        described["description"] = "Answers this machine only."
    if operation.body is not None:
        content = {JSON: {"schema": schemas.body(operation.body)}}
        described["requestBody"] = {"required": operation.body_needed, "content": content}
    if operation.upload is not None:
        described["requestBody"] = {
            "required": True,
            "content": {operation.upload: {"schema": {"type": "string"}}},
        }
    return described


def refusals(path: str, operation: Operation) -> set[int]:
    """Statuses by which an operation may be refused."""
    # 403 is also for pages of other origins, which may ask nothing.
    found = {403, *operation.refusals}
    if operation.scope:
        found |= set(_WITH_KEY)
    if operation.body is not None:
        found |= set(_WITH_BODY)
    if operation.upload is not None:
        found |= set(_WITH_BODY)
    if operation.replayable:
        found |= {400, 409, 422}
    if "{" in path:
        found.add(404)
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _parameters(operation: Operation) -> list[Mapping[str, Any]]:
    described: list[Mapping[str, Any]] = [
        {
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in operation.parameters
    ]
    return [*described, _REPLAYS] if operation.replayable else described


def _answer(status: int, found: Any, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": found.description if isinstance(found, Other) else HTTPStatus(status).phrase,
        "headers": _headers(operation),
    }
    if operation.versioned:
        described["headers"]["ETag"] = _header("ETag")
    if operation.replayable:
        described["headers"]["Idempotency-Replayed"] = _header("Replayed")
    if isinstance(found, Other):
        if found.media is not None:
            schema = schemas.shape(found.shape) if found.shape is not None else {"type": "string"}
            described["content"] = {found.media: {"schema": schema}}
        if found.also is not None:
            described["content"][found.also] = {"schema": {"type": "string"}}
    else:
        described["content"] = {JSON: {"schema": schemas.shape(found)}}
    return described


def _refusal(status: int, schemas: Schemas) -> dict[str, Any]:
    headers = {"X-Request-Id": _header("RequestId")}
    if status in {429, 503}:
        headers["Retry-After"] = _header("RetryAfter")
    return {
        "description": _ABOUT[status],
        "headers": headers,
        "content": {
            JSON: {"schema": schemas.shape(Error)},
            _PROBLEM: {"schema": schemas.shape(Problem)},
        },
    }


def _headers(operation: Operation) -> dict[str, Any]:
    if not operation.scope:
        return {}
    return {
        "X-Request-Id": _header("RequestId"),
        "RateLimit": _header("RateLimit"),
        "RateLimit-Policy": _header("RateLimitPolicy"),
    }


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}
