"""Answers: JSON bodies, and errors in claude-mem's form or, for those who ask, as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http.keys import REQUEST_ID
from claude_mem.model import errors
from claude_mem.model.documents import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[errors.ClaudeMemError], int], ...] = (
    (errors.PayloadTooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.InvalidInput, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PreconditionFailed, 412),
    (errors.IdempotencyMismatch, 422),
    (errors.QuotaExceeded, 402),
    (errors.RateLimited, 429),
    (errors.Unavailable, 503),
)


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=dumps(body), status=status, content_type="application/json", headers=headers)


def without_slash(request: web.Request) -> web.Response:
    """Lead to the same path without the slash at its end, where addresses in a page are right under any proxy's prefix."""
    return web.Response(status=308, headers={"Location": f"../{request.path.rstrip('/').rpartition('/')[2]}"})


def status_of(error: errors.ClaudeMemError) -> int:
    """The HTTP status of a domain error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def refused(request: web.BaseRequest, error: errors.ClaudeMemError) -> web.Response:
    """The answer for a domain error."""
    headers = {}
    if isinstance(error, errors.RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Unavailable | errors.RequestUnderWay):
        headers["Retry-After"] = "1"
    return error_answer(request, status_of(error), body=error_body(error), headers=headers)


def error_body(error: errors.ClaudeMemError) -> dict[str, Any]:
    """The members that claude-mem's clients know, by kind of error."""
    if isinstance(error, errors.InvalidInput) and error.issues:
        issues = [
            {**issue.details, "code": issue.code, "path": list(issue.path), "message": issue.message}
            for issue in error.issues
        ]
        return {"error": error.label, "issues": issues}
    body: dict[str, Any] = {"error": error.label, "message": error.message}
    if isinstance(error, errors.QuotaExceeded):
        body |= {"used": error.used, "cap": error.cap}
    return body


def error_answer(
    request: web.BaseRequest, status: int, *, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error in the form that the request asks for."""
    if PROBLEM_TYPE not in request.headers.get("Accept", "").lower():
        return answer(body, status=status, headers=headers)
    issues = "; ".join(issue["message"] for issue in body.get("issues", []))
    message = body.get("message") or issues or HTTPStatus(status).phrase
    problem = {
        "type": f"urn:claude-mem:error:{body['error']}",
        "title": body["error"],
        "status": status,
        "detail": message,
        "instance": request.path,
        **body,
        "message": message,
    }
    request_id = request.get(REQUEST_ID)
    if request_id is not None:
        problem["requestId"] = request_id
    return web.Response(body=dumps(problem), status=status, content_type=PROBLEM_TYPE, headers=headers)
