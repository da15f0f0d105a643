"""Holds answers to the API's own description: every status, media type and member has to be in it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from claude_mem.http.app import ROUTES
from claude_mem.http.openapi.document import document

#: What the HTTP library says by itself, before there is a route.
_LIBRARY = "Error"

#: How types end that are JSON; lines of JSON are not.
_JSON = ("/json", "+json")


@cache
def closed_document() -> dict[str, Any]:
    """The description in which objects have no other members than those that are named."""
    return document(ROUTES, version="test", closed=True)


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(closed_document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path) + "/?"), path) for path in paths]


@cache
def _validator(path: str, method: str, status: str, media: str) -> jsonschema_rs.Draft202012Validator | None:
    """What checks the body of an answer; None where it is not JSON."""
    whole = closed_document()
    operation = whole["paths"][path][method]
    assert status in operation["responses"], f"{method} {path} answers {status}, which is not described"
    found = operation["responses"][status]
    if "$ref" in found:
        found = whole["components"]["responses"][found["$ref"].rpartition("/")[2]]
    content = found.get("content", {})
    if not content:
        assert media == "", f"{method} {path} {status} has a body of type {media}"
        return None
    assert media in content, f"{method} {path} answers {status} as {media!r}, which is not described"
    if not media.endswith(_JSON):
        return None
    schema = content[media]["schema"] | {"components": whole["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def check(response: httpx.Response) -> None:
    """Fail unless the answer is as the description says.

    Answers to methods and paths that do not exist, to OPTIONS and HEAD, and of the HTTP library itself are none of it.
    """
    request = response.request
    method = request.method.lower()
    raw = request.url.raw_path.decode().partition("?")[0]
    path = next((path for pattern, path in _templates() if pattern.fullmatch(raw)), None)
    if path is None or method not in closed_document()["paths"][path]:
        return
    media = response.headers.get("Content-Type", "").partition(";")[0]
    if media.endswith(_JSON) and isinstance(body := response.json(), dict) and body.get("error") == _LIBRARY:
        return
    validator = _validator(path, method, str(response.status_code), media)
    if validator is not None:
        problems = [
            f"{error.instance_path}: {error.message}" for error in validator.iter_errors(response.json())
        ]
        assert not problems, f"{method} {path} {response.status_code}: {problems}"
