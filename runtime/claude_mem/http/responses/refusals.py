"""Shapes of refusals: as claude-mem's clients know them, and as problem details."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import WithJsonSchema

from claude_mem.http.responses.base import Shape

#: One problem of a request, in the form of zod's issues.
Issue = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "title": "Issue",
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "path": {"type": "array", "items": {"type": ["string", "integer"]}},
                "message": {"type": "string"},
            },
            "required": ["code", "path", "message"],
        }
    ),
]


class Error(Shape):
    """A refusal: `error` is for programs, `message` for people; a request that is not valid has `issues` instead."""

    error: str
    message: NotRequired[str]
    issues: NotRequired[list[Issue]]
    used: NotRequired[int]
    cap: NotRequired[int]


class Problem(Error):
    """The same as RFC 9457 problem details, for who accepts `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    requestId: NotRequired[str]
