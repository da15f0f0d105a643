"""What an answer of the server means: the reply that its call asked for, or one of ``errors``. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from claude_mem.client import errors, retry

if TYPE_CHECKING:
    import httpx

    from claude_mem.client.call import Call

ReplyT = TypeVar("ReplyT")


def read_reply(call: Call[ReplyT], response: httpx.Response) -> ReplyT:
    """The call's reply.

    Raises:
        ClaudeMemApiError: the answer stands for an error, or is not this API's; see ``errors`` for which.
    """
    if not (response.is_success or response.status_code in call.accepts):
        raise _error_of(response)
    try:
        content = response.json()
    except ValueError as error:
        raise errors.UnexpectedReply(
            f"{call.method} {call.path} was not answered with JSON. "
            "Check that the server URL points to a claude-mem server.",
            status=response.status_code,
        ) from error
    return call.parse(content)


def _error_of(response: httpx.Response) -> errors.ClaudeMemApiError:
    """The error that an answer outside 2xx stands for."""
    try:
        body = response.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    issues = body.get("issues")
    issues = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    message = body.get("message") or "; ".join(_issue_text(issue) for issue in issues)
    details: dict[str, Any] = {
        "status": response.status_code,
        "error": str(body.get("error") or response.reason_phrase),
        "request_id": response.headers.get("X-Request-Id"),
        "issues": issues,
    }
    message = str(message or "The server gave no reason.")
    if response.status_code == retry.TOO_MANY_REQUESTS:
        asked = retry.parse_retry_after(response.headers.get("Retry-After"))
        return errors.RateLimited(message, retry_after=asked, **details)
    if response.status_code >= 500:
        return errors.ServerUnavailable(message, **details)
    return errors.STATUS_ERRORS.get(response.status_code, errors.UnexpectedReply)(message, **details)


def _issue_text(issue: dict[str, Any]) -> str:
    path = issue.get("path")
    place = ".".join(str(part) for part in path) if isinstance(path, list) else ""
    message = str(issue.get("message", "invalid"))
    return f"{place}: {message}" if place else message
